#include <cstdarg>
#include <cstdio>
#include <stdexcept>

#include "dtype.h"

namespace langevin {

void fault(const char* format, ...) {
  char message[256];
  va_list args;
  va_start(args, format);
  std::vsnprintf(message, sizeof message, format, args);
  va_end(args);
  throw std::runtime_error(message);
}

const char* nameOf(DType t) {
  static const char* const names[] = {"f32", "f64", "bf16", "i32", "u8"};
  return names[static_cast<int>(t)];
}

}  // namespace langevin
