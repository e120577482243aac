// Handles: a stale or invented one is an error, never another buffer's memory.
#include "../addon/handles.h"

#include <cmath>
#include <limits>

#include "check.h"

namespace {

using langevin::Buffer;
using langevin::DType;
using langevin::HandleError;
using langevin::Handles;

Buffer bufferOf(int64_t count) {
  Buffer buffer;
  buffer.count = count;
  buffer.dtype = DType::f32;
  return buffer;
}

bool refuses(const Handles& handles, double handle) {
  try {
    handles.resolve(handle);
    return false;
  } catch (const HandleError&) {
    return true;
  }
}

TEST("a handle finds its buffer until it is removed, and never after") {
  Handles handles;
  const double a = handles.add(bufferOf(1)), b = handles.add(bufferOf(2));
  CHECK(a != 0 && b != 0 && a != b);
  CHECK(handles.resolve(a).count == 1 && handles.resolve(b).count == 2 && handles.live() == 2);
  CHECK(handles.remove(a).count == 1);
  CHECK(refuses(handles, a) && handles.live() == 1);
  const double c = handles.add(bufferOf(3));  // takes the slot of a, with another generation
  CHECK(c != a && refuses(handles, a) && handles.resolve(c).count == 3);
}

TEST("removing twice is an error") {
  Handles handles;
  const double a = handles.add(bufferOf(1));
  handles.remove(a);
  bool thrown = false;
  try {
    handles.remove(a);
  } catch (const HandleError&) {
    thrown = true;
  }
  CHECK(thrown);
}

TEST("numbers that were never handles are errors") {
  Handles handles;
  const double a = handles.add(bufferOf(1));
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double wrong : {0.0, -0.0, -1.0, 1.0, 4194303.0, a + 1, a + 4194304, a - 4194304, -a, std::nan(""),
                             infinity, -infinity, 9007199254740992.0, 1e300}) {
    CHECK(refuses(handles, wrong));
  }
}

TEST("a slot that is reused a million times never repeats a handle") {
  Handles handles;
  double last = 0;
  for (int i = 0; i < 1000000; ++i) {
    const double handle = handles.add(bufferOf(1));
    CHECK(handle > last);
    last = handle;
    handles.remove(handle);
  }
  CHECK(handles.live() == 0);
}

}  // namespace

TEST_MAIN
