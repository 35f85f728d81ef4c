#include "cli/program/library_search.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace aiox::cli {
namespace {

constexpr const char* kCacheFile = "/etc/ld.so.cache";
constexpr char kCacheMagic[] = "glibc-ld.so.cache1.1";

struct CacheHeader {
  char magic[20];
  std::uint32_t count;
  std::uint32_t strings_bytes;
  std::uint32_t unused[5];
};
struct CacheEntry {
  std::int32_t flags;
  std::uint32_t name_offset;  // from the header on, as the next one
  std::uint32_t path_offset;
  std::uint32_t os_version;
  std::uint64_t hardware;
};

// Name to path; of several with a name the loader takes the first that suits it, which is decided by looking at the
// file.
std::multimap<std::string, std::string> read_cache() {
  std::multimap<std::string, std::string> found;
  std::ifstream in(kCacheFile, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  // Old caches have the new one behind theirs.
  const std::size_t begin = bytes.find(kCacheMagic);
  CacheHeader header;
  if (begin == std::string::npos || bytes.size() - begin < sizeof header) return found;
  std::memcpy(&header, bytes.data() + begin, sizeof header);
  const auto text = [&](std::uint32_t offset) {
    return offset < bytes.size() - begin ? std::string(bytes.c_str() + begin + offset) : std::string();
  };
  const std::size_t room = (bytes.size() - begin - sizeof header) / sizeof(CacheEntry);
  for (std::size_t i = 0; i < std::min<std::size_t>(header.count, room); ++i) {
    CacheEntry entry;
    std::memcpy(&entry, bytes.data() + begin + sizeof header + i * sizeof entry, sizeof entry);
    found.emplace(text(entry.name_offset), text(entry.path_offset));
  }
  return found;
}

bool suits(const std::string& path) {
  std::string error;
  const auto image = read_elf_image(path, &error);
  return image && image->is_native && image->is_dynamic;
}

void replace_all(std::string* text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text->find(from, at)) != std::string::npos; at += to.size()) {
    text->replace(at, from.size(), to);
  }
}

std::string find_in(const std::vector<std::string>& directories, const std::string& name) {
  for (const std::string& directory : directories) {
    const std::string candidate = (directory.empty() ? "." : directory) + "/" + name;
    if (suits(candidate)) return candidate;
  }
  return {};
}

}  // namespace

LibrarySearch::LibrarySearch(const std::string& library_path) : cache_(read_cache()) {
  for (std::size_t at = 0; at < library_path.size();) {
    const std::size_t end = std::min(library_path.find_first_of(":;", at), library_path.size());
    library_path_.push_back(library_path.substr(at, end - at));
    at = end + 1;
  }
}

std::vector<std::string> LibrarySearch::expanded(const std::vector<std::string>& directories,
                                                 const std::string& origin) {
  const std::string folder = std::filesystem::path(origin).parent_path().string();
  std::vector<std::string> found = directories;
  for (std::string& directory : found) {
    for (const char* spelling : {"${ORIGIN}", "$ORIGIN"}) replace_all(&directory, spelling, folder);
    for (const char* spelling : {"${LIB}", "$LIB"}) replace_all(&directory, spelling, "lib/" AIOX_LIBRARY_ARCHITECTURE);
  }
  return found;
}

std::string LibrarySearch::find(const std::string& name, const ElfImage& image, const std::string& origin,
                                const std::vector<std::string>& inherited_rpath) const {
  if (name.find('/') != std::string::npos) return suits(name) ? name : std::string();
  std::string path;
  // A file with DT_RUNPATH has no say by DT_RPATH, nor have those through which it was come upon.
  if (image.runpath.empty()) path = find_in(inherited_rpath, name);
  if (path.empty()) path = find_in(library_path_, name);
  if (path.empty()) path = find_in(expanded(image.runpath, origin), name);
  if (!path.empty()) return path;
  const auto [first, last] = cache_.equal_range(name);
  for (auto at = first; at != last; ++at) {
    if (suits(at->second)) return at->second;
  }
  return find_in({"/lib/" AIOX_LIBRARY_ARCHITECTURE, "/usr/lib/" AIOX_LIBRARY_ARCHITECTURE, "/lib64", "/usr/lib64",
                  "/lib", "/usr/lib"},
                 name);
}

}  // namespace aiox::cli
