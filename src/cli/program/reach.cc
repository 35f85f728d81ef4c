#include "cli/run/program.h"

#include <elf.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <vector>

namespace aiox::cli {
namespace {

constexpr auto kNativeClass = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;
constexpr std::size_t kInterpreterBytesMax = 4096;

#if defined(__LP64__)
using ElfHeader = Elf64_Ehdr;
using ElfSegment = Elf64_Phdr;
#else
using ElfHeader = Elf32_Ehdr;
using ElfSegment = Elf32_Phdr;
#endif

bool is_executable_file(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

template <typename Value>
bool read_at(std::istream& in, std::uint64_t offset, Value* value) {
  in.clear();
  in.seekg(static_cast<std::streamoff>(offset));
  return static_cast<bool>(in.read(reinterpret_cast<char*>(value), sizeof *value));
}

// The kernel marks such a start as secure, and the loader then ignores names with a slash in LD_PRELOAD.
std::optional<std::string> gains_privileges(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return {};
  if ((status.st_mode & S_ISUID) != 0 && status.st_uid != ::geteuid()) return "is setuid";
  if ((status.st_mode & S_ISGID) != 0 && status.st_gid != ::getegid()) return "is setgid";
  if (::geteuid() != 0 && ::getxattr(path.c_str(), "security.capability", nullptr, 0) > 0) return "has file capabilities";
  return {};
}

// The interpreter that the file asks for; empty for a static program.
std::string elf_interpreter(std::istream& in, const ElfHeader& header) {
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    ElfSegment segment;
    if (!read_at(in, header.e_phoff + std::uint64_t{i} * header.e_phentsize, &segment)) break;
    if (segment.p_type != PT_INTERP || segment.p_filesz > kInterpreterBytesMax) continue;
    std::string name(segment.p_filesz, '\0');
    in.seekg(static_cast<std::streamoff>(segment.p_offset));
    in.read(name.data(), static_cast<std::streamsize>(name.size()));
    return name.c_str();
  }
  return {};
}

std::optional<std::string> unreachable_elf(std::istream& in, const unsigned char (&ident)[EI_NIDENT]) {
  if (ident[EI_CLASS] != kNativeClass) return kNativeClass == ELFCLASS64 ? "is a 32-bit program" : "is a 64-bit program";
  ElfHeader header;
  if (!read_at(in, 0, &header)) return {};
  const std::string interpreter = elf_interpreter(in, header);
  if (interpreter.empty()) return "is statically linked";
  if (interpreter.find("musl") != std::string::npos) return "uses musl, not glibc";
  return {};
}

std::string script_interpreter(std::istream& in) {
  std::string line;
  in.clear();
  in.seekg(2);
  std::getline(in, line);
  const std::size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string::npos) return {};
  return line.substr(begin, line.find_first_of(" \t\r", begin) - begin);
}

std::optional<std::string> out_of_reach(const std::string& path, bool follow_script) {
  std::ifstream in(path, std::ios::binary);
  unsigned char ident[EI_NIDENT] = {};
  const bool is_long_enough = in && in.read(reinterpret_cast<char*>(ident), sizeof ident);
  if (follow_script && in.gcount() > 2 && std::memcmp(ident, "#!", 2) == 0) {
    const std::string interpreter = script_interpreter(in);
    const auto reason = out_of_reach(interpreter, false);
    if (reason) return "is run by " + interpreter + ", which " + *reason;
    return {};
  }
  if (auto reason = gains_privileges(path)) return reason;
  if (is_long_enough && std::memcmp(ident, ELFMAG, SELFMAG) == 0) return unreachable_elf(in, ident);
  return {};
}

}  // namespace

std::optional<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  const std::string places = path != nullptr ? path : "/bin:/usr/bin";
  for (std::size_t at = 0; at <= places.size();) {
    const std::size_t end = std::min(places.find(':', at), places.size());
    const std::string place = places.substr(at, end - at);
    const std::string candidate = (place.empty() ? "." : place) + "/" + name;
    if (is_executable_file(candidate)) return candidate;
    at = end + 1;
  }
  return {};
}

std::optional<std::string> out_of_reach(const std::string& path) { return out_of_reach(path, true); }

}  // namespace aiox::cli
