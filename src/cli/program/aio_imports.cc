#include "cli/program/aio_imports.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <set>
#include <string_view>
#include <utility>

#include "cli/program/library_search.h"

namespace aiox::cli {
namespace {

constexpr std::string_view kPosixNames[] = {"aio_read",    "aio_write",  "aio_fsync",  "aio_error", "aio_return",
                                            "aio_suspend", "aio_cancel", "lio_listio", "aio_init"};
constexpr std::string_view kNativeNames[] = {"io_setup",      "io_destroy",      "io_submit",     "io_cancel",
                                             "io_getevents",  "io_pgetevents",   "io_queue_init", "io_queue_run",
                                             "io_queue_wait", "io_queue_release"};
// More than any program has: a circle of files that need one another by ever new names ends here.
constexpr std::size_t kLibrariesMax = 2000;

struct Visit {
  std::string path;
  ElfImage image;
  std::vector<std::string> rpath;  // of the files on the way to it, and its own
};

bool starts_programs(const std::string& name) {
  for (const std::string_view begin : {"exec", "fexecve", "posix_spawn", "system", "popen"}) {
    if (name.rfind(begin, 0) == 0) return true;
  }
  return false;
}

bool is_uring(const std::string& name) { return name.rfind("io_uring_", 0) == 0; }

void add_uring_user(const Visit& visit, AioImports* found) {
  const auto& symbols = visit.image.symbols;
  const auto& functions = visit.image.local_functions;
  const auto is_import = [](const ElfSymbol& symbol) { return symbol.is_imported && is_uring(symbol.name); };
  const bool has_any = std::any_of(symbols.begin(), symbols.end(), is_import) ||
                       std::any_of(functions.begin(), functions.end(), is_uring);
  if (has_any && visit.image.soname.rfind("liburing", 0) != 0) found->uring_users.push_back(visit.path);
}

void add_imports(const Visit& visit, AioImports* found) {
  add_uring_user(visit, found);
  for (const ElfSymbol& symbol : visit.image.symbols) {
    if (!symbol.is_imported) continue;
    if (symbol.name == "dlopen" || symbol.name == "dlmopen") found->may_load_more = true;
    if (starts_programs(symbol.name)) found->may_start_programs = true;
    AioInterface interface = AioInterface::kByNumber;
    if (is_posix_aio(symbol.name)) {
      interface = AioInterface::kPosix;
    } else if (is_native_aio(symbol.name)) {
      interface = AioInterface::kNative;
    } else if (symbol.name != "syscall") {
      continue;
    }
    found->imports.push_back({interface, symbol.name, symbol.version, symbol.from_library, visit.path});
  }
}

// Whose own imports say nothing of the program.
bool is_passed_over(const ElfImage& image) {
  return !image.aiox_version.empty() || image.soname == "libc.so.6" || image.soname.rfind("ld-linux", 0) == 0;
}

}  // namespace

bool is_posix_aio(const std::string& name) {
  std::string_view plain = name;
  if (plain.size() > 2 && plain.substr(plain.size() - 2) == "64") plain.remove_suffix(2);
  return std::find(std::begin(kPosixNames), std::end(kPosixNames), plain) != std::end(kPosixNames);
}

bool is_native_aio(const std::string& name) {
  return std::find(std::begin(kNativeNames), std::end(kNativeNames), name) != std::end(kNativeNames);
}

bool AioImports::has_calls() const {
  return std::any_of(imports.begin(), imports.end(),
                     [](const AioImport& import) { return import.interface != AioInterface::kByNumber; });
}

bool AioImports::is_certainly_without() const {
  return imports.empty() && linked_in.empty() && is_all_known && !may_load_more && !may_start_programs;
}

bool AioImports::comes_before_libc(const NeededLibrary& library) const {
  for (const NeededLibrary& each : libraries) {
    if (each.name == library.name) return true;
    if (each.name == "libc.so.6") return false;
  }
  return true;
}

AioImports find_aio_imports(const std::string& path, const ElfImage& program, const std::string& library_path) {
  AioImports found;
  for (const std::string& name : program.local_functions) {
    if (is_native_aio(name)) found.linked_in.push_back(name);
  }
  const LibrarySearch search(library_path);
  std::set<std::string> seen;
  std::vector<Visit> visits;
  visits.push_back({path, program, LibrarySearch::expanded(program.rpath, path)});
  // Breadth first, as the loader does it.
  for (std::size_t at = 0; at < visits.size() && visits.size() < kLibrariesMax; ++at) {
    if (!is_passed_over(visits[at].image)) add_imports(visits[at], &found);
    for (const std::string& name : std::vector<std::string>(visits[at].image.needed)) {
      if (!seen.insert(name).second) continue;
      const Visit& visit = visits[at];
      const std::string library = search.find(name, visit.image, visit.path, visit.rpath);
      found.libraries.push_back({name, library, visit.path});
      std::string error;
      auto image = library.empty() ? std::nullopt : read_elf_image(library, &error);
      if (!image) {
        found.is_all_known = false;
        continue;
      }
      std::vector<std::string> rpath = LibrarySearch::expanded(image->rpath, library);
      rpath.insert(rpath.end(), visit.rpath.begin(), visit.rpath.end());
      visits.push_back({library, std::move(*image), std::move(rpath)});
    }
  }
  return found;
}

bool is_certainly_without_aio(const std::string& path, const std::optional<ElfImage>& image) {
  if (!image || !image->is_native || image->interpreter.empty()) return false;
  const char* library_path = std::getenv("LD_LIBRARY_PATH");
  return find_aio_imports(path, *image, library_path != nullptr ? library_path : "").is_certainly_without();
}

}  // namespace aiox::cli
