// binary, compare and where, with broadcasting by zero strides.
//
// Each operand's axes are merged for itself, so that a dense operand and a scalar have one axis and a channel vector
// two; then a thread makes one group of up to sixteen bytes of the dense result, and reads each operand by one load
// where its elements lie together, once where they are one, or element by element (GroupedOperand). The index of a
// group costs about 20 instructions for each axis beyond the first.
//
// Dense f32: 12 bytes and one operation per element, at memory speed (3.0 TB/s on an H100: 250·10⁹ elements/s); a
// scalar or a channel vector stays in L1, which leaves 8 bytes.
//
// Not measured on hardware.
#include "../strided.h"
#include "elementwise.h"

namespace langevin::cuda {

namespace {

constexpr int kBinaryKinds = static_cast<int>(Binary::minimum) + 1;
constexpr int kCompareKinds = static_cast<int>(Compare::greaterEqual) + 1;

/// The larger of the two, or NaN where either is.
template <class C>
LANGEVIN_DEVICE C maximumOf(C u, C v) {
  const C larger = u > v ? u : v;  // v where either is NaN
  return u != u ? u : larger;
}
template <class C>
LANGEVIN_DEVICE C minimumOf(C u, C v) {
  const C smaller = u < v ? u : v;
  return u != u ? u : smaller;
}

/// Of two's complement numbers that wrap, as numpy: n / 0 = 0.
LANGEVIN_DEVICE int32_t quotient(int32_t u, int32_t v) {
  return v == 0 ? 0 : v == -1 ? static_cast<int32_t>(0u - static_cast<uint32_t>(u)) : u / v;
}
LANGEVIN_DEVICE float quotient(float u, float v) { return u / v; }

/// What + − · are computed in: unsigned for i32, so that overflow wraps.
template <class C>
struct Ring {
  using type = C;
};
template <>
struct Ring<int32_t> {
  using type = uint32_t;
};

/// u = u ∘ v, element by element.
template <class C, int N>
LANGEVIN_DEVICE void combine(Binary kind, Group<C, N>& u, const Group<C, N>& v) {
  using R = typename Ring<C>::type;
  const auto with = [&](const auto& f) {
    for (int i = 0; i < N; ++i) u.v[i] = static_cast<C>(f(u.v[i], v.v[i]));
  };
  switch (kind) {
    case Binary::add:
      return with([](C a, C b) { return static_cast<R>(a) + static_cast<R>(b); });
    case Binary::sub:
      return with([](C a, C b) { return static_cast<R>(a) - static_cast<R>(b); });
    case Binary::mul:
      return with([](C a, C b) { return static_cast<R>(a) * static_cast<R>(b); });
    case Binary::div:
      return with([](C a, C b) { return quotient(a, b); });
    case Binary::maximum:
      return with([](C a, C b) { return maximumOf(a, b); });
    case Binary::minimum:
      return with([](C a, C b) { return minimumOf(a, b); });
  }
}

/// result = u ∘ v ? 1 : 0, element by element.
template <class C, int N>
LANGEVIN_DEVICE void decide(Compare kind, const Group<C, N>& u, const Group<C, N>& v, Group<uint8_t, N>& result) {
  const auto with = [&](const auto& f) {
    for (int i = 0; i < N; ++i) result.v[i] = f(u.v[i], v.v[i]);
  };
  switch (kind) {
    case Compare::equal:
      return with([](C a, C b) { return a == b; });
    case Compare::notEqual:
      return with([](C a, C b) { return a != b; });
    case Compare::less:
      return with([](C a, C b) { return a < b; });
    case Compare::lessEqual:
      return with([](C a, C b) { return a <= b; });
    case Compare::greater:
      return with([](C a, C b) { return a > b; });
    case Compare::greaterEqual:
      return with([](C a, C b) { return a >= b; });
  }
}

template <class T>
using Operand = GroupedOperand<kGroup<T>>;

template <class T>
__global__ void binaryKernel(Binary kind, const T* a, Operand<T> aAt, const T* b, Operand<T> bAt, T* y, int64_t n) {
  ptx::waitForPrevious();
  ptx::allowNext();
  constexpr int N = kGroup<T>;
  for (int64_t begin = firstGroup<N>(); begin < n; begin += groupStride<N>()) {
    auto u = widenGroup(aAt.load(a, begin, n));
    combine(kind, u, widenGroup(bAt.load(b, begin, n)));
    storeGroup(y, begin, n, narrowGroup<T>(u.v));
  }
}

template <class T>
__global__ void compareKernel(Compare kind, const T* a, Operand<T> aAt, const T* b, Operand<T> bAt, uint8_t* y,
                              int64_t n) {
  constexpr int N = kGroup<T>;
  for (int64_t begin = firstGroup<N>(); begin < n; begin += groupStride<N>()) {
    Group<uint8_t, N> result{};
    decide(kind, widenGroup(aAt.load(a, begin, n)), widenGroup(bAt.load(b, begin, n)), result);
    storeGroup(y, begin, n, result);
  }
}

template <class W>
__global__ void whereKernel(const uint8_t* condition, Operand<W> conditionAt, const W* a, Operand<W> aAt, const W* b,
                            Operand<W> bAt, W* y, int64_t n) {
  constexpr int N = kGroup<W>;
  for (int64_t begin = firstGroup<N>(); begin < n; begin += groupStride<N>()) {
    const Group<uint8_t, N> choice = conditionAt.load(condition, begin, n);
    Group<W, N> u = aAt.load(a, begin, n);
    const Group<W, N> v = bAt.load(b, begin, n);
    for (int i = 0; i < N; ++i) u.v[i] = choice.v[i] ? u.v[i] : v.v[i];
    storeGroup(y, begin, n, u);
  }
}

void binary(Stream& stream, int64_t kind, In a, In b, Out y, Dims shape, Dims aStrides, Dims bStrides) {
  const int64_t n = countOf(shape);
  withNumber(y.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const left = a.as<T>(0);
    const T* const right = b.as<T>(0);
    T* const target = y.as<T>(n);
    if (kind < 0 || kind >= kBinaryKinds) fault("there is no binary kind %lld", static_cast<long long>(kind));
    if (n == 0) return;
    checkReach(a, shape, aStrides, 0);
    checkReach(b, shape, bStrides, 0);
    stream.launch(binaryKernel<T>, overlapped(loopOverGroups<kGroup<T>>(stream, n), target), static_cast<Binary>(kind),
                  left, Operand<T>(shape, aStrides), right, Operand<T>(shape, bStrides), target, n);
  });
}

void compare(Stream& stream, int64_t kind, In a, In b, Out y, Dims shape, Dims aStrides, Dims bStrides) {
  const int64_t n = countOf(shape);
  withNumber(a.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const left = a.as<T>(0);
    const T* const right = b.as<T>(0);
    uint8_t* const target = y.as<uint8_t>(n);
    if (kind < 0 || kind >= kCompareKinds) fault("there is no compare kind %lld", static_cast<long long>(kind));
    if (n == 0) return;
    checkReach(a, shape, aStrides, 0);
    checkReach(b, shape, bStrides, 0);
    stream.launch(compareKernel<T>, loopOverGroups<kGroup<T>>(stream, n), static_cast<Compare>(kind), left,
                  Operand<T>(shape, aStrides), right, Operand<T>(shape, bStrides), target, n);
  });
}

/// Calls f with an unsigned integer as wide as T: choosing needs no arithmetic.
template <class T, class F>
void withWordLike(const F& f) {
  if constexpr (sizeof(T) == 8) return f(uint64_t{});
  if constexpr (sizeof(T) == 4) return f(uint32_t{});
  if constexpr (sizeof(T) == 2) return f(uint16_t{});
  if constexpr (sizeof(T) == 1) return f(uint8_t{});
}

void where(Stream& stream, In condition, In a, In b, Out y, Dims shape, Dims conditionStrides, Dims aStrides,
           Dims bStrides) {
  const int64_t n = countOf(shape);
  const uint8_t* const choice = condition.as<uint8_t>(0);
  withAny(y.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const left = a.as<T>(0);
    const T* const right = b.as<T>(0);
    T* const target = y.as<T>(n);
    if (n == 0) return;
    checkReach(condition, shape, conditionStrides, 0);
    checkReach(a, shape, aStrides, 0);
    checkReach(b, shape, bStrides, 0);
    withWordLike<T>([&](auto word) {
      using W = decltype(word);
      stream.launch(whereKernel<W>, loopOverGroups<kGroup<W>>(stream, n), choice, Operand<W>(shape, conditionStrides),
                    reinterpret_cast<const W*>(left), Operand<W>(shape, aStrides), reinterpret_cast<const W*>(right),
                    Operand<W>(shape, bStrides), reinterpret_cast<W*>(target), n);
    });
  });
}

}  // namespace

void fillBroadcast(OpTable& ops) {
  ops.binary = binary;
  ops.compare = compare;
  ops.where = where;
}

}  // namespace langevin::cuda
