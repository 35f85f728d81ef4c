// target.cc - see target.h.
#include "target.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "options.h"
#include "rng.h"

namespace random_driver {

namespace {

constexpr uint64_t kMiB = 1024 * 1024;
constexpr uint64_t kSharedBytes = 2 * kMiB;
constexpr uint64_t kRegionBytes = 512 * 1024;
constexpr uint64_t kFarBegin = 5 * 1024 * kMiB;  // past what 32 bits can say

// O_DIRECT's alignment differs between devices: found by trying.
size_t direct_alignment(int fd) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 4096, 8192) != 0) fail("no memory");
  memset(memory, 0, 8192);
  if (pwrite(fd, memory, 8192, 0) != 8192) fail("O_DIRECT write: %s", strerror(errno));
  size_t result = pread(fd, static_cast<char*>(memory) + 512, 512, 512) == 512 ? 512 : 4096;
  free(memory);
  if (ftruncate(fd, 0) != 0) fail("ftruncate: %s", strerror(errno));
  return result;
}

}  // namespace

void Lane::add(Slot* slot) {
  slot->order = ++order;
  slot->lane_index = outstanding.size();
  if (cancel_all_active > 0) slot->cancel_attempted = true;
  outstanding.push_back(slot);
}

void Lane::remove(Slot* slot) {
  Slot* moved = outstanding.back();
  outstanding[slot->lane_index] = moved;
  moved->lane_index = slot->lane_index;
  outstanding.pop_back();
}

Target* TargetSet::add_file(const char* kind, const std::string& directory, bool is_direct, bool is_divided,
                            bool is_append) {
  std::string path = directory + "/aiox-random-XXXXXX";
  int plain = mkstemp(path.data());
  if (plain < 0) fail("cannot create a file in %s: %s", directory.c_str(), strerror(errno));
  int flags = O_RDWR | O_CLOEXEC | (is_direct ? O_DIRECT : 0);
  int fd = open(path.c_str(), flags);
  int append_fd = is_append && fd >= 0 ? open(path.c_str(), flags | O_APPEND) : -1;
  unlink(path.c_str());
  if (fd < 0) {
    printf("left out: %s on %s (%s)\n", kind, directory.c_str(), strerror(errno));
    close(plain);
    return nullptr;
  }
  auto target = std::make_unique<Target>();
  target->name = std::string(kind) + " #" + std::to_string(files.size());
  target->alignment = is_direct ? direct_alignment(fd) : 1;
  target->role = is_append ? Role::kAppendFile : Role::kFile;
  target->fd = is_append ? append_fd : fd;
  target->check_fd = plain;
  if (is_append) close(fd);
  target->is_divided = is_divided;
  target->is_on_disk = directory == g_options.directory;
  if (is_divided) target->initial_end = kRegionBytes * g_options.threads;
  if (ftruncate(plain, off_t(target->initial_end)) != 0) fail("ftruncate: %s", strerror(errno));
  for (unsigned i = 0; i < (is_divided ? g_options.threads : 1); ++i) {
    auto lane = std::make_unique<Lane>();
    uint64_t key = mix64(g_options.seed ^ ++content_keys_ * kGolden);
    if (is_append) {
      lane->records = std::make_shared<RecordModel>(key, target->name.c_str());
    } else {
      lane->file = std::make_unique<FileModel>(key, target->initial_end);
    }
    lane->begin = is_divided ? i * kRegionBytes : 0;
    lane->size_bytes = is_divided ? kRegionBytes : kSharedBytes;
    if (!is_divided) lane->far_begin = kFarBegin, lane->far_size_bytes = kMiB;
    target->lanes.push_back(std::move(lane));
  }
  files.push_back(std::move(target));
  return files.back().get();
}

void TargetSet::add_stream(const char* kind, int read_fd, int write_fd, bool is_socket) {
  auto model_mutex = std::make_shared<std::mutex>();
  std::string name = std::string(kind) + " #" + std::to_string(streams.size());
  auto model = std::make_shared<RecordModel>(mix64(g_options.seed ^ ++content_keys_ * kGolden), name.c_str());
  Stream stream{};
  for (bool is_reader : {true, false}) {
    auto target = std::make_unique<Target>();
    target->name = name;
    target->role = is_reader ? Role::kStreamRead : Role::kStreamWrite;
    target->fd = is_reader ? read_fd : write_fd;
    target->is_socket = is_socket;
    target->lanes.push_back(std::make_unique<Lane>());
    target->lanes[0]->records = model;
    target->lanes[0]->records_mutex = model_mutex;
    (is_reader ? stream.reader : stream.writer) = target.get();
    stream_ends.push_back(std::move(target));
  }
  streams.push_back(stream);
}

void TargetSet::create() {
  const std::string disk = g_options.directory, memory = "/dev/shm";
  for (unsigned i = 0; i < g_options.files; ++i) switch (i % 8) {
      case 0: add_file("shared buffered", disk, false, false, false); break;
      case 1: add_file("divided O_DIRECT", disk, true, true, false); break;
      case 2: add_file("append buffered", disk, false, false, true); break;
      case 3: add_file("divided tmpfs", memory, false, true, false); break;
      case 4: add_file("shared O_DIRECT", disk, true, false, false); break;
      case 5: add_file("divided buffered", disk, false, true, false); break;
      case 6: add_file("append O_DIRECT", disk, true, false, true); break;
      case 7: add_file("shared tmpfs", memory, false, false, false); break;
    }
  if (files.empty()) fail("no file could be created");
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe2: %s", strerror(errno));
  add_stream("pipe", ends[0], ends[1], false);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair: %s", strerror(errno));
  add_stream("socket", ends[0], ends[1], true);
  // The other direction of the same descriptors. The C library runs one request at a time on a descriptor, so there a
  // write behind a read that waits for its answer would never run.
  if (g_options.answered_by_aiox) add_stream("socket back", ends[1], ends[0], true);
}

void TargetSet::check_end_state() {
  for (auto& target : files) {
    struct stat status {};
    if (fstat(target->check_fd, &status) != 0) fail("fstat: %s", strerror(errno));
    uint64_t end = uint64_t(status.st_size);
    std::string wrong;
    if (target->role == Role::kAppendFile) {
      std::vector<char> buffer(kMiB);
      for (uint64_t position = 0; wrong.empty() && position < end;) {
        ssize_t got = pread(target->check_fd, buffer.data(), buffer.size(), off_t(position));
        if (got <= 0) fail("plain pread of %s came short", target->name.c_str());
        wrong = target->lanes[0]->records->feed(buffer.data(), size_t(got));
        position += uint64_t(got);
      }
      if (wrong.empty()) wrong = target->lanes[0]->records->check_end();
    } else {
      uint64_t model_end = target->is_divided ? target->initial_end : target->lanes[0]->file->end();
      if (end != model_end)
        wrong = "end state: size is " + std::to_string(end) + ", must be " + std::to_string(model_end);
      for (auto& lane : target->lanes) {
        auto part = [&](uint64_t from, uint64_t to) {
          if (wrong.empty() && from < end) wrong = lane->file->check_file(target->check_fd, from, std::min(to, end));
        };
        part(lane->begin, lane->begin + lane->size_bytes + (target->is_divided ? 0 : kMiB));
        if (lane->far_size_bytes) part(lane->far_begin - kMiB, lane->far_begin + lane->far_size_bytes + kMiB);
      }
    }
    if (!wrong.empty()) fail("%s: %s", target->name.c_str(), wrong.c_str());
  }
  for (const Stream& stream : streams) {
    std::string wrong = stream.reader->lanes[0]->records->check_end();
    if (!wrong.empty()) fail("%s", wrong.c_str());
  }
}

}  // namespace random_driver
