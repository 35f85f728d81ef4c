#include "submit_latency/dirt.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace bench {

namespace {

struct Dirt {
  double pages = 0;
  double background_threshold = 0;
  double threshold = 0;
  double waits_from() const { return (background_threshold + threshold) / 2; }
};

bool read_dirt(Dirt* dirt) {
  FILE* file = std::fopen("/proc/vmstat", "re");
  if (file == nullptr) return false;
  char name[64];
  long long value;
  while (std::fscanf(file, "%63s %lld", name, &value) == 2) {
    auto pages = static_cast<double>(value);
    if (std::strcmp(name, "nr_dirty") == 0 || std::strcmp(name, "nr_writeback") == 0) dirt->pages += pages;
    if (std::strcmp(name, "nr_dirty_background_threshold") == 0) dirt->background_threshold = pages;
    if (std::strcmp(name, "nr_dirty_threshold") == 0) dirt->threshold = pages;
  }
  std::fclose(file);
  return dirt->threshold > 0;
}

[[noreturn]] void make_dirt(int fd, size_t size_bytes, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  constexpr size_t kChunkBytes = 1 << 20;
  static char chunk[kChunkBytes];
  for (;;) {
    for (size_t at = 0; at < size_bytes; at += kChunkBytes) {
      if (pwrite(fd, chunk, kChunkBytes, static_cast<off_t>(at)) < 0) _exit(1);
    }
  }
}

}  // namespace

double dirt_percent() {
  Dirt dirt;
  return read_dirt(&dirt) ? 100 * dirt.pages / dirt.waits_from() : -1;
}

DirtMaker::DirtMaker(const char* directory) {
  Dirt dirt;
  struct statvfs disk = {};
  std::string path = std::string(directory) + "/aio_dirt.XXXXXX";
  if (!read_dirt(&dirt)) {
    reason_ = "/proc/vmstat does not tell the dirty thresholds";
    return;
  }
  auto page_bytes = static_cast<double>(sysconf(_SC_PAGESIZE));
  auto size_bytes = static_cast<size_t>(1.5 * dirt.waits_from() * page_bytes);
  if (statvfs(directory, &disk) != 0 ||
      static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize) < 2 * static_cast<double>(size_bytes)) {
    reason_ = "the disk has not twice as much free as can be dirty";
    return;
  }
  int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) {
    reason_ = "no file can be made";
    return;
  }
  unlink(path.c_str());
  pid_t parent = getpid();
  process_ = fork();
  if (process_ == 0) make_dirt(fd, size_bytes, parent);
  close(fd);
  if (process_ < 0) {
    reason_ = "fork failed";
    return;
  }
  for (int i = 0; i < 300 && dirt_percent() < 100; i++) usleep(100'000);
}

DirtMaker::~DirtMaker() {
  if (process_ < 0) return;
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

}  // namespace bench
