#include "cli/run/imports.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

extern char** environ;

namespace aiox::cli {
namespace {

// A file's bytes, each access to which is checked: it may be cut short, or no ELF file at all.
class File {
 public:
  explicit File(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status{};
    if (fd >= 0 && ::fstat(fd, &status) == 0 && status.st_size > 0) {
      size_ = static_cast<std::size_t>(status.st_size);
      void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
      if (address != MAP_FAILED) begin_ = static_cast<const char*>(address);
    }
    if (fd >= 0) ::close(fd);
  }
  ~File() {
    if (begin_ != nullptr) ::munmap(const_cast<char*>(begin_), size_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  template <typename Value>
  const Value* at(std::uint64_t offset, std::uint64_t count = 1) const {
    const bool fits = begin_ != nullptr && offset <= size_ && count <= (size_ - offset) / sizeof(Value);
    return fits ? reinterpret_cast<const Value*>(begin_ + offset) : nullptr;
  }
  // Up to the next zero byte; empty: there is none.
  std::string_view text(std::uint64_t offset) const {
    if (begin_ == nullptr || offset >= size_) return {};
    const void* end = std::memchr(begin_ + offset, 0, size_ - offset);
    if (end == nullptr) return {};
    return {begin_ + offset, static_cast<std::size_t>(static_cast<const char*>(end) - begin_) - offset};
  }

 private:
  const char* begin_ = nullptr;
  std::size_t size_ = 0;
};

bool begins(std::string_view name, std::string_view with) { return name.substr(0, with.size()) == with; }

bool may_lead_to_aio(std::string_view name) {
  if (begins(name, "aio_") || begins(name, "lio_listio")) return true;
  if (begins(name, "io_") && !begins(name, "io_uring_")) return true;
  if (name == "syscall" || name == "system" || name == "popen" || name == "dlopen" || name == "dlmopen") return true;
  return begins(name, "exec") || begins(name, "fexecve") || begins(name, "posix_spawn");
}

// Whether a file imports such a name; nothing: it cannot be told.
std::optional<bool> imports_aio(const File& file) {
  const auto* header = file.at<ElfW(Ehdr)>(0);
  if (header == nullptr || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return {};
  if (header->e_ident[EI_CLASS] != (sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32)) return {};
  const auto* sections = file.at<ElfW(Shdr)>(header->e_shoff, header->e_shnum);
  if (header->e_shoff == 0 || header->e_shentsize != sizeof(ElfW(Shdr)) || sections == nullptr) return {};
  for (unsigned i = 0; i < header->e_shnum; ++i) {
    const ElfW(Shdr)& section = sections[i];
    if (section.sh_type != SHT_DYNSYM || section.sh_link >= header->e_shnum) continue;
    const std::uint64_t count = section.sh_size / sizeof(ElfW(Sym));
    const auto* symbols = file.at<ElfW(Sym)>(section.sh_offset, count);
    if (symbols == nullptr) return {};
    for (std::uint64_t k = 0; k < count; ++k) {
      if (symbols[k].st_shndx != SHN_UNDEF) continue;
      if (may_lead_to_aio(file.text(sections[section.sh_link].sh_offset + symbols[k].st_name))) return true;
    }
    return false;
  }
  return {};
}

std::string loader_of(const File& file) {
  const auto* header = file.at<ElfW(Ehdr)>(0);
  const auto* segments = header != nullptr ? file.at<ElfW(Phdr)>(header->e_phoff, header->e_phnum) : nullptr;
  for (unsigned i = 0; segments != nullptr && i < header->e_phnum; ++i) {
    if (segments[i].p_type == PT_INTERP) return std::string(file.text(segments[i].p_offset));
  }
  return {};
}

std::string output_of(std::vector<std::string> words) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  const int error = ::posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::string text;
  char part[4096];
  for (ssize_t count = 0; error == 0 && (count = ::read(ends[0], part, sizeof part)) > 0;) {
    text.append(part, static_cast<std::size_t>(count));
  }
  ::close(ends[0]);
  int status = 0;
  if (error != 0 || ::waitpid(child, &status, 0) != child || status != 0) return {};
  return text;
}

// "name => path (address)", of each library but libc, whose own imports say nothing; nothing: the loader does not say.
std::optional<std::vector<std::string>> libraries_of(const std::string& loader, const std::string& path) {
  const std::string text = output_of({loader, "--list", path});
  if (text.empty()) return {};
  std::vector<std::string> paths;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    const std::size_t arrow = line.find("=> ");
    if (arrow == std::string::npos) continue;
    const std::string library = line.substr(arrow + 3, line.find(" (", arrow) - arrow - 3);
    if (library == "not found") return {};
    if (library.find("/libc.so") == std::string::npos && library.find("/ld-linux") == std::string::npos &&
        library.find("/libaiox") == std::string::npos) {
      paths.push_back(library);
    }
  }
  return paths;
}

}  // namespace

bool is_without_aio(const std::string& path) {
  const File program(path);
  const auto has = imports_aio(program);
  if (!has || *has) return false;
  const std::string loader = loader_of(program);
  if (loader.empty()) return false;
  const auto libraries = libraries_of(loader, path);
  if (!libraries) return false;
  for (const std::string& library : *libraries) {
    const auto library_has = imports_aio(File(library));
    if (!library_has || *library_has) return false;
  }
  return true;
}

}  // namespace aiox::cli
