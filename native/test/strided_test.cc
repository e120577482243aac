// Index spaces and division by invariants: what strided copies and broadcasting rely on, at sizes that no test of an op
// can have.
#include "../core/strided.h"

#include "../core/divider.h"
#include "check.h"

namespace {

using namespace langevin;

TEST("a divider gives the quotient of every kind of number") {
  constexpr int64_t most = INT64_MAX;
  const int64_t divisors[] = {1,        2,   3, 5, 7, 10, 160, 255, 256, 257, 65535, 3221225473, int64_t{1} << 40,
                              most / 3, most};
  for (const int64_t d : divisors) {
    const Divider divider(d);
    CHECK(divider.divisor() == d);
    for (int64_t n = 0; n < 2000; ++n) CHECK(divider.quotient(n) == n / d);
    for (int shift = 0; shift < 63; ++shift) {
      const int64_t power = int64_t{1} << shift;
      for (const int64_t n : {power - 1, power, most - power, power / d * d, power / d * d + (d - 1) % power}) {
        if (n >= 0) CHECK(divider.quotient(n) == n / d);
      }
    }
    for (int64_t n = d; n > 0 && n <= most - d; n = n > most / 3 ? most : n * 3) {
      CHECK(divider.quotient(n - 1) == (n - 1) / d && divider.quotient(n) == n / d);
    }
  }
}

Dims dims(std::initializer_list<int64_t> values, int64_t padding) {
  Dims result;
  int axis = 0;
  for (; axis + static_cast<int>(values.size()) < kMaxRank; ++axis) result.d[axis] = padding;
  for (const int64_t v : values) result.d[axis++] = v;
  return result;
}
Dims shapeOf(std::initializer_list<int64_t> extents) { return dims(extents, 1); }
Dims stridesOf(std::initializer_list<int64_t> strides) { return dims(strides, 0); }

TEST("axes that all operands step through evenly become one") {
  const Dims dense = stridesOf({12, 4, 1}), row = stridesOf({0, 0, 1}), none = stridesOf({0, 0, 0});
  const Dims shape = shapeOf({2, 3, 4});
  CHECK(mergeAxes<2>(shape, {&dense, &dense}).rank == 1);
  CHECK(mergeAxes<2>(shape, {&dense, &none}).rank == 1);
  const IndexSpace<2> vector = mergeAxes<2>(shape, {&dense, &row});
  CHECK(vector.rank == 2 && vector.count == 24);
  CHECK(vector.extent[0] == 6 && vector.extent[1] == 4 && vector.extent[2] == 1);
  CHECK(vector.stride[0][0] == 4 && vector.stride[1][0] == 0 && vector.stride[1][1] == 1);
}

TEST("a scalar space has one axis of one element") {
  const Dims strides = stridesOf({});
  const IndexSpace<1> space = mergeAxes<1>(shapeOf({}), {&strides});
  CHECK(space.rank == 1 && space.count == 1 && space.extent[0] == 1);
}

TEST("a copy is walked in the order of its target, and a transpose is seen") {
  // y[c, r] = x[r, c], named by x's axes.
  const IndexSpace<2> transpose = inTargetOrder(shapeOf({30, 20}), stridesOf({20, 1}), stridesOf({1, 30}));
  CHECK(transpose.rank == 2 && transpose.extent[0] == 20 && transpose.extent[1] == 30);
  CHECK(transpose.stride[1][1] == 1 && transpose.stride[0][0] == 1);
  CHECK(transposedAxis(transpose) == 0);
  const IndexSpace<2> slice = inTargetOrder(shapeOf({30, 20}), stridesOf({40, 1}), stridesOf({20, 1}));
  CHECK(slice.rank == 2 && transposedAxis(slice) == 1);
}

TEST("strides out of reach are a fault") {
  In buffer;
  double data[6];
  buffer.data = data;
  buffer.count = 6;
  const auto reaches = [&](const Dims& shape, const Dims& strides, int64_t offset) {
    try {
      checkReach(buffer, shape, strides, offset);
      return true;
    } catch (const std::exception&) {
      return false;
    }
  };
  CHECK(reaches(shapeOf({2, 3}), stridesOf({3, 1}), 0) && !reaches(shapeOf({2, 3}), stridesOf({3, 1}), 1));
  CHECK(reaches(shapeOf({6}), stridesOf({-1}), 5) && !reaches(shapeOf({6}), stridesOf({-1}), 4));
  CHECK(!reaches(shapeOf({2}), stridesOf({INT64_MAX}), 1) && !reaches(shapeOf({INT64_MAX}), stridesOf({3}), 0));
  CHECK(!reaches(shapeOf({1}), stridesOf({0}), -1) && !reaches(shapeOf({1}), stridesOf({0}), 6));
}

}  // namespace

TEST_MAIN
