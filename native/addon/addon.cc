// The only code that knows JavaScript. One instance per environment (main thread or worker thread): its own device,
// its own handles. Exports the device's functions and one function per op.
#define NAPI_VERSION 9
// In a worker thread that is being terminated an error can no longer be thrown to JavaScript: it is dropped, not fatal.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>

#include "bind.h"

namespace langevin {

namespace {

[[noreturn]] void throwWithCode(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  throw error;
}

DType dtypeNamed(Napi::Env env, const std::string& name) {
  for (const DType t : {DType::f32, DType::f64, DType::bf16, DType::i32, DType::u8}) {
    if (name == nameOf(t)) return t;
  }
  throwWithCode(env, "ARGUMENT", "unknown dtype " + name);
}

/// Bytes of a typed array, an ArrayBuffer view of any kind.
struct HostBytes {
  uint8_t* data;
  size_t bytes;
};
HostBytes bytesOf(const Napi::Value& value) {
  if (!value.IsTypedArray()) throwWithCode(value.Env(), "ARGUMENT", "a typed array is needed");
  Napi::TypedArray array = value.As<Napi::TypedArray>();
  return {static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset(), array.ByteLength()};
}

class Addon;

/// A read in the queue; ends with copied(context, fault), whatever happens.
struct ReadCall {
  Device* device;
  void* host;
  const void* source;
  size_t bytes;
  Device::Copied copied;
  void* context;

  static void run(Stream& stream, void* arguments) {
    const ReadCall& call = *static_cast<ReadCall*>(arguments);
    try {
      call.device->copyToHost(stream, call.host, call.source, call.bytes, call.copied, call.context);
    } catch (const DeviceLost& error) {
      call.fail(error);
      throw;
    } catch (const std::exception& error) {
      call.fail(error);
    }
  }
  void fail(const std::exception& error) const {
    const std::string before = device->takeFault();
    copied(context, before.empty() ? std::string("read: ") + error.what() : before);
  }
};

/// What a reader that waits shares with the thread that copies.
struct SyncRead {
  std::mutex mutex;
  std::condition_variable finished;
  bool done = false;
  std::string fault;

  static void copied(void* context, const std::string& fault) {
    SyncRead& read = *static_cast<SyncRead*>(context);
    std::lock_guard<std::mutex> lock(read.mutex);
    read.fault = fault;
    read.done = true;
    read.finished.notify_one();
  }
  void wait() {
    std::unique_lock<std::mutex> lock(mutex);
    finished.wait(lock, [&] { return done; });
  }
};

/// A pending asynchronous read: the device copies into the typed array, which `keep` holds alive, and hands the
/// request back to the JavaScript thread, which settles the promise.
struct ReadRequest {
  Addon* addon;
  Napi::ObjectReference keep;
  Napi::Promise::Deferred deferred;
  std::string fault;
};

struct WriteCall {
  Device* device;
  void* target;
  std::vector<uint8_t> bytes;
};

class Addon {
 public:
  Addon(Napi::Env env, Napi::Object exports) : device_(openDevice()), binding_{device_.get(), &handles_} {
    napi_value label = Napi::String::New(env, "langevin read");
    napi_create_threadsafe_function(env, nullptr, nullptr, label, 0, 1, nullptr, nullptr, this, &Addon::settle,
                                    &settleFunction_);
    napi_unref_threadsafe_function(env, settleFunction_);
    // Hooks run last in, first out: the executor is stopped before the thread-safe function is torn down.
    napi_add_env_cleanup_hook(
        env, [](void* addon) { delete static_cast<Addon*>(addon); }, this);

    exports.Set("backend", Napi::String::New(env, backendName()));
    method(env, exports, "alloc", &Addon::alloc);
    method(env, exports, "free", &Addon::free);
    method(env, exports, "write", &Addon::write);
    method(env, exports, "readSync", &Addon::readSync);
    method(env, exports, "read", &Addon::read);
    method(env, exports, "synchronize", &Addon::synchronize);
    method(env, exports, "memory", &Addon::memory);
    method(env, exports, "resetPeak", &Addon::resetPeak);
    method(env, exports, "setMemoryLimit", &Addon::setMemoryLimit);
    method(env, exports, "threads", &Addon::threads);
    method(env, exports, "setThreads", &Addon::setThreads);
    method(env, exports, "properties", &Addon::properties);
    method(env, exports, "variant", &Addon::variant);
    method(env, exports, "variants", &Addon::variants);
    method(env, exports, "setVariant", &Addon::setVariant);
    method(env, exports, "setPrecision", &Addon::setPrecision);
    exports.Set("captures", Napi::Boolean::New(env, device_->captures()));
    method(env, exports, "beginCapture", &Addon::beginCapture);
    method(env, exports, "endCapture", &Addon::endCapture);
    method(env, exports, "replay", &Addon::replay);
    method(env, exports, "disposeGraph", &Addon::disposeGraph);
    exports.Set("hasLanes", Napi::Boolean::New(env, device_->hasLanes()));
    method(env, exports, "replayLanes", &Addon::replayLanes);

    Napi::Object ops = Napi::Object::New(env);
    Napi::Object signatures = Napi::Object::New(env);
    exports.Set("ops", ops);
    exports.Set("signatures", signatures);
    bindOps(env, ops, signatures);
  }

 private:
  using Method = Napi::Value (Addon::*)(const Napi::CallbackInfo&);

  void method(Napi::Env env, Napi::Object exports, const char* name, Method member) {
    exports.Set(name, Napi::Function::New(
                          env,
                          [this, member](const Napi::CallbackInfo& info) -> Napi::Value {
                            try {
                              return (this->*member)(info);
                            } catch (const HandleError& error) {
                              throwWithCode(info.Env(), "HANDLE", error.message);
                            } catch (const DeviceLost& error) {
                              throwWithCode(info.Env(), "DEVICE", error.what());
                            } catch (const std::bad_alloc&) {
                              throwWithCode(info.Env(), "OUT_OF_MEMORY", "cannot allocate host memory");
                            }
                          },
                          name));
  }

  template <auto member>
  void bind(napi_env env, napi_value ops, Napi::Object signatures, const char* name) {
    Op<member>::name = name;
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, &Op<member>::call, &binding_, &function);
    napi_set_named_property(env, ops, name, function);
    signatures.Set(name, Op<member>::signature());
  }

  void bindOps(Napi::Env env, Napi::Object ops, Napi::Object signatures);

  // alloc(count, dtype) → handle
  Napi::Value alloc(const Napi::CallbackInfo& info) {
    const double count = info[0].As<Napi::Number>().DoubleValue();
    const DType dtype = dtypeNamed(info.Env(), info[1].As<Napi::String>());
    if (!(count >= 0) || count > 1e15)
      throwWithCode(info.Env(), "OUT_OF_MEMORY", "cannot allocate " + std::to_string(count) + " elements");
    const size_t bytes = static_cast<size_t>(count) * sizeOf(dtype);
    Buffer buffer;
    buffer.data = device_->allocate(bytes);
    buffer.count = static_cast<int64_t>(count);
    buffer.dtype = dtype;
    if (!buffer.data) throwWithCode(info.Env(), "OUT_OF_MEMORY", "cannot allocate " + std::to_string(bytes) + " bytes");
    return Napi::Number::New(info.Env(), handles_.add(buffer));
  }

  // free(handle)
  Napi::Value free(const Napi::CallbackInfo& info) {
    release(handles_.remove(info[0].As<Napi::Number>().DoubleValue()));
    return info.Env().Undefined();
  }

  void release(const Buffer& buffer) {
    device_->release(buffer.data, static_cast<size_t>(buffer.count) * sizeOf(buffer.dtype));
  }

  Buffer transferTarget(const Napi::CallbackInfo& info, const HostBytes& host) {
    const Buffer buffer = handles_.resolve(info[0].As<Napi::Number>().DoubleValue());
    const size_t bytes = static_cast<size_t>(buffer.count) * sizeOf(buffer.dtype);
    if (host.bytes != bytes) {
      throwWithCode(
          info.Env(), "ARGUMENT",
          "the typed array has " + std::to_string(host.bytes) + " bytes, the buffer " + std::to_string(bytes));
    }
    return buffer;
  }

  // write(handle, typedArray): the array may change as soon as this returns
  Napi::Value write(const Napi::CallbackInfo& info) {
    const HostBytes host = bytesOf(info[1]);
    const Buffer buffer = transferTarget(info, host);
    new (device_->reserve()) WriteCall{device_.get(), buffer.data, {host.data, host.data + host.bytes}};
    device_->submit({"write",
                     [](Stream& stream, void* arguments) {
                       WriteCall& call = *static_cast<WriteCall*>(arguments);
                       call.device->copyFromHost(stream, call.target, call.bytes.data(), call.bytes.size());
                     },
                     [](void* arguments) { static_cast<WriteCall*>(arguments)->~WriteCall(); }});
    return info.Env().Undefined();
  }

  // readSync(handle, typedArray): waits
  Napi::Value readSync(const Napi::CallbackInfo& info) {
    const HostBytes host = bytesOf(info[1]);
    const Buffer buffer = transferTarget(info, host);
    SyncRead read;
    new (device_->reserve()) ReadCall{device_.get(), host.data, buffer.data, host.bytes, &SyncRead::copied, &read};
    device_->submit({"read", &ReadCall::run, [](void*) {}});
    read.wait();
    throwFault(info.Env(), read.fault);
    return info.Env().Undefined();
  }

  // read(handle, typedArray) → Promise<void>
  Napi::Value read(const Napi::CallbackInfo& info) {
    const HostBytes host = bytesOf(info[1]);
    const Buffer buffer = transferTarget(info, host);
    auto* request =
        new ReadRequest{this, Napi::Persistent(info[1].As<Napi::Object>()), Napi::Promise::Deferred(info.Env()), {}};
    const Napi::Value promise = request->deferred.Promise();
    if (pendingReads_++ == 0) napi_ref_threadsafe_function(info.Env(), settleFunction_);
    // Settled when the copy is done; on tear-down the promise is left pending, as nobody is there to see it.
    new (device_->reserve()) ReadCall{device_.get(), host.data, buffer.data, host.bytes, &Addon::copied, request};
    device_->submit({"read", &ReadCall::run, [](void*) {}});
    return promise;
  }

  static void copied(void* context, const std::string& fault) {
    auto* request = static_cast<ReadRequest*>(context);
    if (request->addon->closing_) return;
    request->fault = fault;
    napi_call_threadsafe_function(request->addon->settleFunction_, request, napi_tsfn_nonblocking);
  }

  static void settle(napi_env rawEnv, napi_value, void* context, void* data) {
    std::unique_ptr<ReadRequest> request(static_cast<ReadRequest*>(data));
    if (!rawEnv) return;
    Napi::Env env(rawEnv);
    Napi::HandleScope scope(env);
    Addon& addon = *static_cast<Addon*>(context);
    if (--addon.pendingReads_ == 0) napi_unref_threadsafe_function(env, addon.settleFunction_);
    try {
      if (request->fault.empty()) {
        request->deferred.Resolve(env.Undefined());
      } else {
        Napi::Error error = Napi::Error::New(env, request->fault);
        error.Set("code", Napi::String::New(env, addon.faultCode()));
        request->deferred.Reject(error.Value());
      }
    } catch (const Napi::Error&) {
      // A worker thread that is being terminated may run no more JavaScript; nobody is there to see the promise.
    }
  }

  const char* faultCode() const { return device_->lost() ? "DEVICE" : "FAULT"; }

  void throwFault(Napi::Env env, const std::string& message) {
    if (!message.empty()) throwWithCode(env, faultCode(), message);
  }

  // synchronize(): waits until every call enqueued so far is done
  Napi::Value synchronize(const Napi::CallbackInfo& info) {
    device_->waitUntilIdle();
    throwFault(info.Env(), device_->takeFault());
    return info.Env().Undefined();
  }

  Napi::Value memory(const Napi::CallbackInfo& info) {
    const Device::Memory m = device_->memory();
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("buffers", static_cast<double>(handles_.live()));
    result.Set("liveBytes", static_cast<double>(m.liveBytes));
    result.Set("peakBytes", static_cast<double>(m.peakBytes));
    result.Set("cachedBytes", static_cast<double>(m.cachedBytes));
    result.Set("scratchBytes", static_cast<double>(m.scratchBytes));
    return result;
  }
  Napi::Value resetPeak(const Napi::CallbackInfo& info) {
    device_->resetPeak();
    return info.Env().Undefined();
  }
  Napi::Value setMemoryLimit(const Napi::CallbackInfo& info) {
    device_->setMemoryLimit(static_cast<size_t>(info[0].As<Napi::Number>().DoubleValue()));
    return info.Env().Undefined();
  }
  Napi::Value threads(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), device_->threads()); }
  Napi::Value setThreads(const Napi::CallbackInfo& info) {
    device_->setThreads(info[0].As<Napi::Number>().Int32Value());
    return info.Env().Undefined();
  }
  Napi::Value variant(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), device_->variant()); }
  Napi::Value variants(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), device_->variants()); }
  Napi::Value setVariant(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), device_->setVariant(info[0].As<Napi::String>()));
  }

  Napi::Value setPrecision(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), device_->setPrecision(info[0].As<Napi::String>()));
  }
  Napi::Value properties(const Napi::CallbackInfo& info) {
    Napi::Object result = Napi::Object::New(info.Env());
    for (const auto& [name, value] : device_->properties()) result.Set(name, value);
    return result;
  }

  // beginCapture(): what went wrong before is told now, where the capture waits for it
  Napi::Value beginCapture(const Napi::CallbackInfo& info) {
    if (device_->captureWaits()) {
      device_->waitUntilIdle();
      throwFault(info.Env(), device_->takeFault());
    }
    device_->beginCapture();
    return info.Env().Undefined();
  }
  // endCapture() → graph
  Napi::Value endCapture(const Napi::CallbackInfo& info) {
    const int64_t graph = device_->endCapture();
    if (device_->captureWaits()) {
      const std::string fault = device_->takeFault();
      if (!fault.empty()) device_->disposeGraph(graph);
      throwFault(info.Env(), fault);
    }
    return Napi::Number::New(info.Env(), static_cast<double>(graph));
  }
  // replay(graph, stepOffset)
  Napi::Value replay(const Napi::CallbackInfo& info) {
    device_->replay(info[0].As<Napi::Number>().Int64Value(), info[1].As<Napi::Number>().Int64Value());
    return info.Env().Undefined();
  }
  // replayLanes([[graph, stepOffset, firstElement], …], times, steps)
  Napi::Value replayLanes(const Napi::CallbackInfo& info) {
    const auto whole = [](const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); };
    const Napi::Array given = info[0].As<Napi::Array>();
    std::vector<Device::Lane> lanes;
    for (uint32_t i = 0; i < given.Length(); ++i) {
      const Napi::Array lane = given.Get(i).As<Napi::Array>();
      lanes.push_back({whole(lane.Get(0u)), whole(lane.Get(1u)), whole(lane.Get(2u))});
    }
    device_->replayLanes(lanes, whole(info[1]), whole(info[2]));
    return info.Env().Undefined();
  }
  // disposeGraph(graph)
  Napi::Value disposeGraph(const Napi::CallbackInfo& info) {
    device_->disposeGraph(info[0].As<Napi::Number>().Int64Value());
    return info.Env().Undefined();
  }

  ~Addon() {
    closing_ = true;
    // What JavaScript did not free goes with its environment: a worker thread that ends leaves no device memory behind.
    handles_.forEachLive([&](const Buffer& buffer) { release(buffer); });
    device_.reset();
  }

  std::atomic<bool> closing_{false};
  std::unique_ptr<Device> device_;
  Handles handles_;
  Binding binding_;
  napi_threadsafe_function settleFunction_ = nullptr;
  int pendingReads_ = 0;
};

#define LANGEVIN_BIND(op) bind<&OpTable::op>(env, ops, signatures, #op)

void Addon::bindOps(Napi::Env env, Napi::Object ops, Napi::Object signatures) {
  LANGEVIN_BIND(fill);
  LANGEVIN_BIND(convert);
  LANGEVIN_BIND(stridedCopy);
  LANGEVIN_BIND(gatherRows);
  LANGEVIN_BIND(scatterRows);
  LANGEVIN_BIND(unary);
  LANGEVIN_BIND(unaryBackward);
  LANGEVIN_BIND(binary);
  LANGEVIN_BIND(compare);
  LANGEVIN_BIND(where);
  LANGEVIN_BIND(accumulate);
  LANGEVIN_BIND(leakyRelu);
  LANGEVIN_BIND(leakyReluBackward);
  LANGEVIN_BIND(dropout);
  LANGEVIN_BIND(reduce);
  LANGEVIN_BIND(argmax);
  LANGEVIN_BIND(pick);
  LANGEVIN_BIND(pickBackward);
  LANGEVIN_BIND(matmul);
  LANGEVIN_BIND(conv2d);
  LANGEVIN_BIND(conv2dBackwardInput);
  LANGEVIN_BIND(conv2dBackwardWeight);
  LANGEVIN_BIND(avgPool2d);
  LANGEVIN_BIND(avgPool2dBackward);
  LANGEVIN_BIND(norm);
  LANGEVIN_BIND(normBackward);
  LANGEVIN_BIND(channelAffine);
  LANGEVIN_BIND(softmax);
  LANGEVIN_BIND(softmaxBackward);
  LANGEVIN_BIND(logsumexp);
  LANGEVIN_BIND(logsumexpBackward);
  LANGEVIN_BIND(crossEntropy);
  LANGEVIN_BIND(crossEntropyBackward);
  LANGEVIN_BIND(energyHead);
  LANGEVIN_BIND(energyHeadBackward);
  LANGEVIN_BIND(randomUniform);
  LANGEVIN_BIND(randomNormal);
  LANGEVIN_BIND(randomInt);
  LANGEVIN_BIND(sgldUpdate);
  LANGEVIN_BIND(adam);
  LANGEVIN_BIND(sgd);
  LANGEVIN_BIND(movingAverage);
  LANGEVIN_BIND(sumSquares);
  LANGEVIN_BIND(clipScale);
  LANGEVIN_BIND(imageBatch);
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  try {
    new Addon(env, exports);  // owned by the environment's cleanup hook
  } catch (const DeviceUnavailable& unavailable) {
    Napi::Error error = Napi::Error::New(env, unavailable.what());
    error.Set("code", Napi::String::New(env, "DEVICE"));
    error.Set("hint", Napi::String::New(env, unavailable.hint));
    throw error;
  }
  return exports;
}

}  // namespace

}  // namespace langevin

Napi::Object InitAddon(Napi::Env env, Napi::Object exports) { return langevin::init(env, exports); }
NODE_API_MODULE(NODE_GYP_MODULE_NAME, InitAddon)
