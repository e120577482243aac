// conformance                  runs every case and prints the hash of its output
// conformance --record FILE    … and writes the outputs, a line for each case: its name, a tab, its bytes in
// hexadecimal conformance --compare FILE   … and compares with what was recorded; fails where an output differs. A file
// that is not
//                              there, or a case that is not in it: "not recorded on hardware"
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>

#include "conformance.h"

namespace langevin::conformance {

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

namespace {

std::string inHexadecimal(const Bytes& bytes) {
  static const char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

uint64_t hashOf(const Bytes& bytes) {  // FNV-1a
  uint64_t hash = 0xcbf29ce484222325u;
  for (const unsigned char byte : bytes) hash = (hash ^ byte) * 0x100000001b3u;
  return hash;
}

std::map<std::string, std::string> readRecorded(const char* path) {
  std::map<std::string, std::string> recorded;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t tab = line.find('\t');
    if (line.empty() || line[0] == '#' || tab == std::string::npos) continue;
    recorded[line.substr(0, tab)] = line.substr(tab + 1);
  }
  return recorded;
}

int run(const char* record, const char* compare) {
  cudaDeviceProp device;
  if (cudaGetDeviceProperties(&device, 0) != cudaSuccess) {
    std::printf("conformance: no CUDA device\n");
    return 2;
  }
  const int architecture = 10 * device.major + device.minor;
  const std::map<std::string, std::string> recorded =
      compare ? readRecorded(compare) : std::map<std::string, std::string>();
  std::ofstream file;
  if (record) {
    int driver = 0;
    cudaDriverGetVersion(&driver);
    file.open(record);
    file << "# " << device.name << ", sm_" << architecture << ", CUDA driver " << driver << "\n";
  }
  int same = 0, different = 0, missing = 0, failed = 0;
  for (const Case& c : cases()) {
    if (c.architecture > architecture) {
      std::printf("skip       %s (needs sm_%d)\n", c.name.c_str(), c.architecture);
      continue;
    }
    Bytes bytes;
    try {
      bytes = c.run();
    } catch (const test::Failure& failure) {
      ++failed;
      std::printf("FAILED     %s: %s (%s)\n", c.name.c_str(), failure.message.c_str(),
                  cudaGetErrorString(cudaGetLastError()));
      continue;
    }
    const std::string text = inHexadecimal(bytes);
    if (record) file << c.name << "\t" << text << "\n";
    const auto found = recorded.find(c.name);
    const char* verdict = "ran";
    if (compare && found == recorded.end()) {
      ++missing;
      verdict = "not recorded on hardware";
    } else if (compare && found->second == text) {
      ++same;
      verdict = "same as recorded";
    } else if (compare && c.rounding) {
      verdict = "differs as recorded: the rounding of sums is not modelled";
    } else if (compare) {
      ++different;
      verdict = "DIFFERS from what was recorded";
    }
    std::printf("%016llx %s: %s\n", static_cast<unsigned long long>(hashOf(bytes)), c.name.c_str(), verdict);
    if (compare && found != recorded.end() && found->second != text) {
      size_t at = 0;
      while (at < text.size() && at < found->second.size() && text[at] == found->second[at]) ++at;
      std::printf("           first at byte %zu of %zu\n", at / 2, bytes.size());
    }
  }
  if (compare) {
    std::printf("%d same, %d different, %d not recorded on hardware, %d failed\n", same, different, missing, failed);
  } else {
    std::printf("%zu cases, %d failed\n", cases().size(), failed);
  }
  return different + failed > 0 ? 1 : 0;
}

}  // namespace
}  // namespace langevin::conformance

int main(int count, char** arguments) {
  const char* record = nullptr;
  const char* compare = nullptr;
  for (int i = 1; i < count; ++i) {
    const bool takesFile = i + 1 < count;
    if (std::strcmp(arguments[i], "--record") == 0 && takesFile) {
      record = arguments[++i];
    } else if (std::strcmp(arguments[i], "--compare") == 0 && takesFile) {
      compare = arguments[++i];
    } else {
      std::fprintf(stderr, "usage: conformance [--record FILE] [--compare FILE]\n");
      return 2;
    }
  }
  return langevin::conformance::run(record, compare);
}
