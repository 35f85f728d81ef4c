// library_search.h - where the loader finds a needed library: DT_RPATH, LD_LIBRARY_PATH, DT_RUNPATH, /etc/ld.so.cache,
// and the default folders, in that order (ld.so(8)).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/program/elf_image.h"

namespace aiox::cli {

class LibrarySearch {
 public:
  // `library_path` is LD_LIBRARY_PATH as the program will have it.
  explicit LibrarySearch(const std::string& library_path);

  // The path of the library that `image`, the file `origin`, calls `name`; empty when the loader would not find it.
  // `inherited_rpath` is that of the files through which `origin` was come upon.
  std::string find(const std::string& name, const ElfImage& image, const std::string& origin,
                   const std::vector<std::string>& inherited_rpath) const;

  // $ORIGIN and its like replaced.
  static std::vector<std::string> expanded(const std::vector<std::string>& directories, const std::string& origin);

 private:
  std::vector<std::string> library_path_;
  std::multimap<std::string, std::string> cache_;
};

}  // namespace aiox::cli
