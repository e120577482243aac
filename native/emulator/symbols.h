// Names of functions of this process, for reports.
#pragma once
#include <string>

namespace emulator {

/// The demangled name of the function at `address`, without its parameters; its address in hexadecimal where there is
/// no symbol for it.
std::string symbolName(const void* address);

}  // namespace emulator
