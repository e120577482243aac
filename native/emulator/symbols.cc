#include "symbols.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#if defined(__linux__)
#  include <elf.h>
#endif

namespace emulator {

namespace {

#if defined(__linux__)
/// Kernels are local symbols, which dladdr does not see; the file's own table has them.
std::string nameInFile(const char* path, uintptr_t offset) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path, "rb"), &std::fclose);
  if (!file) return {};
  Elf64_Ehdr header;
  if (std::fread(&header, sizeof header, 1, file.get()) != 1 || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_shentsize != sizeof(Elf64_Shdr)) {
    return {};
  }
  const auto read = [&](auto& items, uint64_t at) {
    return std::fseek(file.get(), static_cast<long>(at), SEEK_SET) == 0 &&
           std::fread(items.data(), sizeof items[0], items.size(), file.get()) == items.size();
  };
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  if (!read(sections, header.e_shoff)) return {};
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
    std::vector<Elf64_Sym> symbols(section.sh_size / sizeof(Elf64_Sym));
    std::vector<char> names(sections[section.sh_link].sh_size);
    if (!read(symbols, section.sh_offset) || !read(names, sections[section.sh_link].sh_offset)) return {};
    for (const Elf64_Sym& symbol : symbols) {
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && offset >= symbol.st_value &&
          offset < symbol.st_value + symbol.st_size && symbol.st_name < names.size()) {
        return &names[symbol.st_name];
      }
    }
  }
  return {};
}
#endif

std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free);
  std::string readable = status == 0 ? text.get() : name;
  // Parameters say little here; template arguments, which may hold parentheses, say much.
  int depth = 0;
  for (size_t i = 0; i < readable.size(); ++i) {
    if (readable[i] == '<') ++depth;
    if (readable[i] == '>') --depth;
    if (readable[i] == '(' && depth == 0 && readable.compare(i, 11, "(anonymous ") != 0) return readable.substr(0, i);
  }
  return readable;
}

}  // namespace

std::string symbolName(const void* address) {
  Dl_info info{};
  if (dladdr(address, &info) != 0) {
    if (info.dli_sname && info.dli_saddr == address) return demangled(info.dli_sname);
#if defined(__linux__)
    const auto base = reinterpret_cast<uintptr_t>(info.dli_fbase);
    // In a program that is not position-independent, symbols are addresses already.
    for (const uintptr_t offset : {reinterpret_cast<uintptr_t>(address) - base, reinterpret_cast<uintptr_t>(address)}) {
      const std::string name = info.dli_fname ? nameInFile(info.dli_fname, offset) : std::string();
      if (!name.empty()) return demangled(name.c_str());
    }
#endif
  }
  char text[32];
  std::snprintf(text, sizeof text, "%p", address);
  return text;
}

}  // namespace emulator
