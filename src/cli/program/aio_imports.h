// aio_imports.h - which AIO calls a program takes from which library, itself or through the libraries that it needs.
// Files are read; nothing is run, so what a program brings in by dlopen(3) is not seen.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/program/elf_image.h"

namespace aiox::cli {

enum class AioInterface {
  kPosix,    // <aio.h>
  kNative,   // <libaio.h>
  kByNumber  // syscall(2), which may or may not be used for native AIO
};

struct AioImport {
  AioInterface interface;
  std::string name;
  std::string version;       // as bound at link time; empty for none
  std::string from_library;  // likewise
  std::string importer;      // the file that calls it
};

struct NeededLibrary {
  std::string name;
  std::string path;  // empty: the loader will not find it
  std::string needed_by;
};

struct AioImports {
  std::vector<AioImport> imports;
  std::vector<NeededLibrary> libraries;
  std::vector<std::string> linked_in;    // libaio's functions inside the program: no library can answer in their place
  std::vector<std::string> uring_users;  // files that make io_uring calls by liburing: what they do so passes aiox by
  bool may_load_more = false;            // by dlopen
  bool may_start_programs = false;       // by exec and its like: they may do AIO
  bool is_all_known = true;              // false: a library is missing or cannot be read

  // Whether there is a call that aiox would answer: of either interface.
  bool has_calls() const;
  // Whether there is none and nothing that could bring one in.
  bool is_certainly_without() const;
  // Whether the loader asks this one of `libraries` before libc, so that its close is the program's. Where libc comes
  // first aiox does not see what is closed, and leaves native AIO to the kernel.
  bool comes_before_libc(const NeededLibrary& library) const;
};

bool is_posix_aio(const std::string& name);
bool is_native_aio(const std::string& name);

// Of a dynamic program of this machine's kind. `library_path`: LD_LIBRARY_PATH as it will have it.
AioImports find_aio_imports(const std::string& path, const ElfImage& program, const std::string& library_path);

// Of any file, whose `image` has been read, under this process's LD_LIBRARY_PATH; false also where it cannot be told.
bool is_certainly_without_aio(const std::string& path, const std::optional<ElfImage>& image);

}  // namespace aiox::cli
