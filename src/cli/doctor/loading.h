// loading.h - whether the loader takes the preload library, found by starting a program with it; and which libaio there
// is.
#pragma once

#include <string>
#include <vector>

namespace aiox::cli::doctor {

struct Preloading {
  std::string library;
  std::string version;    // by the note in it
  std::string problem;    // why AIO calls of a preloaded program are not answered by it; empty when they are
  bool is_tried = false;  // false also where no process could be started to try it
};

Preloading try_preloading();

struct LibaioFile {
  std::string path;
  bool is_aiox;         // the drop-in, in the distribution's place
  std::string version;  // of aiox
};

// Those that the loader finds by the names libaio.so.1 and libaio.so.1t64.
std::vector<LibaioFile> find_libaio();

}  // namespace aiox::cli::doctor
