// Turns a member of the op table into a JavaScript function, by the types of its parameters alone: reads the call's
// numbers, resolves handles, and enqueues the call on the device.
#pragma once
#define NAPI_VERSION 9
#include <node_api.h>

#include <cmath>
#include <new>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "../core/device.h"
#include "handles.h"

namespace langevin {

/// The most JavaScript arguments of any op (where: 4 buffers and four Dims).
constexpr size_t kMaxArguments = 40;

/// Reads a call's arguments one after another; the first wrong one throws ArgumentError.
struct ArgumentError {
  std::string message;
};

class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info, void** data) : env_(env) {
    count_ = kMaxArguments;
    napi_get_cb_info(env, info, &count_, values_, nullptr, data);
  }

  size_t count() const { return count_; }

  double number() {
    double value;
    if (next_ >= count_ || napi_get_value_double(env_, values_[next_], &value) != napi_ok) {
      throw ArgumentError{"argument " + std::to_string(next_ + 1) + " must be a number"};
    }
    ++next_;
    return value;
  }

  int64_t integer() {
    const double value = number();
    if (!(std::fabs(value) <= 9007199254740992.0) || value != std::trunc(value)) {
      throw ArgumentError{"argument " + std::to_string(next_) + " must be a whole number"};
    }
    return static_cast<int64_t>(value);
  }

  /// An array of handles, resolved.
  template <class B>
  void list(const Handles& handles, std::vector<B>& out) {
    uint32_t length = 0;
    if (next_ >= count_ || napi_get_array_length(env_, values_[next_], &length) != napi_ok) {
      throw ArgumentError{"argument " + std::to_string(next_ + 1) + " must be an array of handles"};
    }
    // Grows as handles resolve: the length alone is no reason to allocate.
    for (uint32_t i = 0; i < length; ++i) {
      napi_value element;
      double handle = 0;
      napi_get_element(env_, values_[next_], i, &element);
      napi_get_value_double(env_, element, &handle);
      B buffer;
      static_cast<Buffer&>(buffer) = handles.resolve(handle);
      out.push_back(buffer);
    }
    ++next_;
  }

 private:
  napi_env env_;
  napi_value values_[kMaxArguments];
  size_t count_ = 0;
  size_t next_ = 0;
};

/// How one parameter type is read from JavaScript (`read`), kept in the queue (`Stored`), and passed on (`pass`).
template <class T>
struct Parameter {
  using Stored = T;
  static constexpr const char* name = "integer";
  static T read(Arguments& arguments, const Handles&) { return static_cast<T>(arguments.integer()); }
  static T pass(const Stored& stored) { return stored; }
};
template <>
struct Parameter<double> {
  using Stored = double;
  static constexpr const char* name = "number";
  static double read(Arguments& arguments, const Handles&) { return arguments.number(); }
  static double pass(double stored) { return stored; }
};
template <>
struct Parameter<bool> {
  using Stored = bool;
  static constexpr const char* name = "flag";
  static bool read(Arguments& arguments, const Handles&) { return arguments.number() != 0; }
  static bool pass(bool stored) { return stored; }
};

template <class B, bool optional>
struct BufferParameter {
  using Stored = B;
  static B read(Arguments& arguments, const Handles& handles) {
    const double handle = arguments.number();
    B buffer;
    if (!(optional && handle == 0)) static_cast<Buffer&>(buffer) = handles.resolve(handle);
    return buffer;
  }
  static B pass(const B& stored) { return stored; }
};
template <>
struct Parameter<In> : BufferParameter<In, false> {
  static constexpr const char* name = "in";
};
template <>
struct Parameter<OptIn> : BufferParameter<OptIn, true> {
  static constexpr const char* name = "in?";
};
template <>
struct Parameter<Out> : BufferParameter<Out, false> {
  static constexpr const char* name = "out";
};
template <>
struct Parameter<OptOut> : BufferParameter<OptOut, true> {
  static constexpr const char* name = "out?";
};
template <>
struct Parameter<InOut> : BufferParameter<InOut, false> {
  static constexpr const char* name = "inout";
};
template <class B>
struct Parameter<List<B>> {
  using Stored = std::vector<B>;
  static constexpr const char* name = "list";
  static Stored read(Arguments& arguments, const Handles& handles) {
    Stored buffers;
    arguments.list(handles, buffers);
    return buffers;
  }
  static List<B> pass(const Stored& stored) { return {stored.data(), static_cast<int64_t>(stored.size())}; }
};

/// A struct of integers only, read field by field.
template <class T>
struct IntegersParameter {
  using Stored = T;
  static T read(Arguments& arguments, const Handles&) {
    int64_t fields[sizeof(T) / sizeof(int64_t)];
    for (int64_t& field : fields) field = arguments.integer();
    T value;
    std::memcpy(&value, fields, sizeof value);
    return value;
  }
  static T pass(const T& stored) { return stored; }
};
template <>
struct Parameter<Dims> : IntegersParameter<Dims> {
  static constexpr const char* name = "dims";
};
template <>
struct Parameter<ConvShape> : IntegersParameter<ConvShape> {
  static constexpr const char* name = "convShape";
};
template <>
struct Parameter<PoolShape> : IntegersParameter<PoolShape> {
  static constexpr const char* name = "poolShape";
};
template <>
struct Parameter<NormShape> : IntegersParameter<NormShape> {
  static constexpr const char* name = "normShape";
};
template <>
struct Parameter<Philox> : IntegersParameter<Philox> {
  static constexpr const char* name = "philox";
};

/// What a bound function needs at call time; one per environment.
struct Binding {
  Device* device;
  Handles* handles;
};

template <auto member>
struct Op;
template <class... Ps, void (*OpTable::*member)(Stream&, Ps...)>
struct Op<member> {
  using Kernel = void (*)(Stream&, Ps...);
  struct Stored {
    Kernel kernel;
    std::tuple<typename Parameter<Ps>::Stored...> values;
  };
  static_assert(sizeof(Stored) <= kTaskBytes, "the op's arguments do not fit the queue: raise kTaskBytes");

  template <size_t... I>
  static void invoke(Stream& stream, Stored& stored, std::index_sequence<I...>) {
    stored.kernel(stream, Parameter<Ps>::pass(std::get<I>(stored.values))...);
  }
  static void run(Stream& stream, void* arguments) {
    invoke(stream, *static_cast<Stored*>(arguments), std::index_sequence_for<Ps...>{});
  }
  static void drop(void* arguments) { static_cast<Stored*>(arguments)->~Stored(); }

  static inline const char* name = "";

  static napi_value call(napi_env env, napi_callback_info info) {
    Binding* binding;
    Arguments arguments(env, info, reinterpret_cast<void**>(&binding));
    try {
      // Braces: read from left to right.
      Stored stored{binding->device->ops().*member, std::tuple<typename Parameter<Ps>::Stored...>{
                                                        Parameter<Ps>::read(arguments, *binding->handles)...}};
      if (!stored.kernel) throw ArgumentError{std::string("the ") + backendName() + " backend has no such op"};
      new (binding->device->reserve()) Stored(std::move(stored));
      binding->device->submit({name, &run, &drop});
    } catch (const HandleError& error) {
      napi_throw_error(env, "HANDLE", (std::string(name) + ": " + error.message).c_str());
    } catch (const ArgumentError& error) {
      napi_throw_error(env, "ARGUMENT", (std::string(name) + ": " + error.message).c_str());
    } catch (const std::bad_alloc&) {
      napi_throw_error(env, "OUT_OF_MEMORY", (std::string(name) + ": cannot allocate host memory").c_str());
    }
    return nullptr;
  }

  /// The parameter kinds in order, which a test compares with contract.ts.
  static std::string signature() {
    std::string text;
    ((text += (text.empty() ? "" : " ") + std::string(Parameter<Ps>::name)), ...);
    return text;
  }
};

}  // namespace langevin
