#include "cross_world.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "../support/slow_file.h"

namespace cross {

Slot g_slots[kSlots];
std::vector<File> g_files;
std::string g_canary;
unsigned g_without = 0;

namespace {

constexpr size_t kBlocks = 96;
std::unique_ptr<aiox_test::SlowFile> g_slow;

int open_file(const File& file) {
  if (file.kind == Kind::kSlow) return g_slow->open(O_RDWR);
  const int flags = O_RDWR | O_CLOEXEC | (file.is_direct ? O_DIRECT : 0) | (file.is_append ? O_APPEND : 0);
  return ::open(file.path.c_str(), flags, 0600);
}

uint64_t pattern_key(const File& file, uint64_t key) { return key * 1024 + static_cast<uint64_t>(file.number); }

void make_blocks(File* file) {
  file->blocks = std::vector<Block>(kBlocks);
  std::unique_ptr<void, void (*)(void*)> buffer(aligned_alloc(kBlockBytes, kBlockBytes), free);
  for (size_t i = 0; i < kBlocks; ++i) {
    file->blocks[i].key = i;
    fill_block(buffer.get(), *file, i);
    const auto at = static_cast<off_t>(i * kBlockBytes);
    if (pwrite(file->look_fd, buffer.get(), kBlockBytes, at) != static_cast<ssize_t>(kBlockBytes))
      fail("no room on the disk");
  }
}

void make_file(File* file, const std::string& directory, int number) {
  file->number = number;
  file->path = directory + "/cross." + std::to_string(getpid()) + "." + std::to_string(number);
  if (file->kind == Kind::kSlow) {
    file->look_fd = open_file(*file);
  } else {
    const int fd = ::open(file->path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) fail("open %s: %s", file->path.c_str(), strerror(errno));
    file->look_fd = fd;
  }
  // Out of the way of the numbers that are used again and again.
  const int high = fcntl(file->look_fd, F_DUPFD_CLOEXEC, 700);
  ::close(file->look_fd);
  file->look_fd = high;
  if (file->kind != Kind::kTail) make_blocks(file);
  if (!file->is_direct || file->kind == Kind::kSlow) return;
  const int direct = open_file(*file);
  if (direct < 0) file->is_direct = false;
  if (direct >= 0) ::close(direct);
}

File& any_file(Rng& rng) { return g_files[rng.below(g_files.size())]; }

Opening* new_opening(File* file) {
  auto* opening = new Opening;
  opening->file = file;
  return opening;
}

// A descriptor that may have any number, and what it is open on.
int open_any(Rng& rng, Opening** opening) {
  static File pipe_file;
  pipe_file.kind = Kind::kPipe;
  if (rng.chance(20) && (g_without & kWithoutPipes) == 0) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe2: %s", strerror(errno));
    *opening = new_opening(&pipe_file);
    (*opening)->feed_fd = fcntl(ends[1], F_DUPFD_CLOEXEC, 600);
    ::close(ends[1]);
    return ends[0];
  }
  File& file = any_file(rng);
  *opening = new_opening(&file);
  const int fd = open_file(file);
  if (fd < 0) fail("open %s: %s", file.path.c_str(), strerror(errno));
  return fd;
}

// By an instruction of the program's own, which no library sees. False: not here, or it has failed.
bool dup3_unseen([[maybe_unused]] int from, [[maybe_unused]] int to) {
#if defined(__x86_64__)
  long result = SYS_dup3;
  register long flags asm("rdx") = O_CLOEXEC;
  asm volatile("syscall" : "+a"(result) : "D"(long{from}), "S"(long{to}), "r"(flags) : "rcx", "r11", "memory");
  return result == to;
#else
  return false;
#endif
}

// What is open at the slot is about to go. Before the call: it is then that its requests may be cancelled.
void begin_end(Slot& slot) { slot.opening->is_over.store(true); }

void ended(Opening* opening) {
  if (opening->feed_fd >= 0) ::close(opening->feed_fd);
  opening->feed_fd = -1;
}

File& any_plain_file(Rng& rng) {
  for (;;) {
    File& file = any_file(rng);
    if (file.kind == Kind::kBlocks && !file.is_direct) return file;
  }
}

}  // namespace

void fill_block(void* buffer, const File& file, uint64_t key) {
  Pattern(pattern_key(file, key)).fill(buffer, 0, kBlockBytes);
}
bool holds_block(const void* buffer, const File& file, uint64_t key) {
  return Pattern(pattern_key(file, key)).first_difference(buffer, 0, kBlockBytes) == Pattern::kEqual;
}
void fill_record(void* buffer, uint64_t key) { Pattern(key).fill(buffer, 0, kRecordBytes); }
bool holds_record(const void* buffer, uint64_t key) {
  return Pattern(key).first_difference(buffer, 0, kRecordBytes) == Pattern::kEqual;
}

void make_files(const std::string& directory, bool has_slow) {
  if (has_slow) g_slow = std::make_unique<aiox_test::SlowFile>();
  g_files = std::vector<File>(has_slow ? 11 : 10);
  for (size_t i = 0; i < g_files.size(); ++i) {
    File& file = g_files[i];
    if (i >= 6) file.kind = Kind::kTail;
    if (i >= 8) file.is_append = true;
    if (i == 10) file.kind = Kind::kSlow, file.is_append = false;
    file.is_direct = i < 2;
    make_file(&file, directory, static_cast<int>(i));
  }
}

void check_files() {
  std::unique_ptr<char, void (*)(void*)> buffer(static_cast<char*>(aligned_alloc(kBlockBytes, kBlockBytes)), free);
  for (File& file : g_files) {
    for (size_t i = 0; i < file.blocks.size(); ++i) {
      const auto at = static_cast<off_t>(i * kBlockBytes);
      if (pread(file.look_fd, buffer.get(), kBlockBytes, at) != static_cast<ssize_t>(kBlockBytes))
        fail("file %d is short", file.number);
      if (!holds_block(buffer.get(), file, file.blocks[i].key))
        fail("at the end file %d does not hold what it must at block %zu", file.number, i);
    }
    struct stat status{};
    fstat(file.look_fd, &status);
    const size_t bytes = file.kind == Kind::kTail ? file.records.size() * kRecordBytes : kBlocks * kBlockBytes;
    if (file.kind != Kind::kSlow && static_cast<size_t>(status.st_size) != bytes) {
      fail("at the end file %d has %lld bytes, not %zu", file.number, static_cast<long long>(status.st_size), bytes);
    }
    for (size_t i = 0; i < file.records.size(); ++i) {
      const auto at = static_cast<off_t>(i * kRecordBytes);
      if (pread(file.look_fd, buffer.get(), kRecordBytes, at) != static_cast<ssize_t>(kRecordBytes))
        fail("a record is short");
      if (!holds_record(buffer.get(), file.records[i]))
        fail("at the end record %zu of file %d is another", i, file.number);
    }
    if (file.kind != Kind::kSlow) unlink(file.path.c_str());
  }
}

void close_slot(Slot& slot, Rng& rng) {
  begin_end(slot);
  const auto number = static_cast<unsigned>(slot.fd);
  if (slot.stream != nullptr) {
    fclose(slot.stream);
  } else if (rng.chance(30)) {
    if (close_range(number, number, 0) != 0) fail("close_range: %s", strerror(errno));
  } else if (::close(slot.fd) != 0) {
    fail("close: %s", strerror(errno));
  }
  ended(slot.opening);
  slot.stream = nullptr;
  slot.fd = -1;
}

bool close_in_handler(Slot& slot) {
  if (slot.fd < 0 || slot.stream != nullptr) return false;
  begin_end(slot);
  ::close(slot.fd);
  ended(slot.opening);
  slot.fd = -1;
  return true;
}

void fill_empty(Slot& slot, Rng& rng) {
  if (rng.chance(20) && (g_without & kWithoutStreams) == 0) {
    File& file = any_plain_file(rng);
    slot.stream = fopen(file.path.c_str(), "r+e");
    if (slot.stream == nullptr) fail("fopen: %s", strerror(errno));
    slot.fd = fileno(slot.stream);
    slot.opening = new_opening(&file);
    return;
  }
  slot.fd = open_any(rng, &slot.opening);
}

void change(Slot& slot, Rng& rng) {
  if (slot.fd < 0) return fill_empty(slot, rng);
  const uint64_t how = rng.below(100);
  if (how < 40) {
    close_slot(slot, rng);
    if (rng.chance(80)) fill_empty(slot, rng);
    return;
  }
  Opening* const before = slot.opening;
  if (slot.stream != nullptr) {
    if ((g_without & kWithoutReopening) != 0) return;
    File& file = any_plain_file(rng);
    begin_end(slot);
    slot.stream = freopen(file.path.c_str(), "r+e", slot.stream);
    if (slot.stream == nullptr) fail("freopen: %s", strerror(errno));
    slot.fd = fileno(slot.stream);
    slot.opening = new_opening(&file);
    ended(before);
    return;
  }
  // Nothing is outstanding: the rest, between the look at a number and its use, nobody can close.
  if (how >= 90 && before->chains == 0 && (g_without & kWithoutUnseen) == 0) {
    Opening* next = nullptr;
    const int fd = open_any(rng, &next);
    if (dup3_unseen(fd, slot.fd)) {
      begin_end(slot);
      ended(before);
      static const bool has_direct_lane = getenv("AIOX_DIRECT") == nullptr;  // or it is said to be off
      next->may_lose_reads = has_direct_lane && (before->file->is_direct || before->may_lose_reads);
      slot.opening = next;
    } else {
      ended(next);
    }
    ::close(fd);
    return;
  }
  if (how < 50) {  // refused: nothing changes, and no request ends
    if ((g_without & kWithoutRefused) != 0) return;
    if (dup2(9999, slot.fd) != -1 || dup3(slot.fd, slot.fd, 0) != -1) fail("dup2 of nothing");
    return;
  }
  if ((g_without & kWithoutReplacing) != 0) return;
  Opening* next = nullptr;
  const int fd = open_any(rng, &next);
  begin_end(slot);
  if ((how < 75 ? dup2(fd, slot.fd) : dup3(fd, slot.fd, O_CLOEXEC)) != slot.fd) fail("dup2: %s", strerror(errno));
  ::close(fd);
  ended(before);
  slot.opening = next;
}

int open_slow() { return g_slow != nullptr ? g_slow->open(O_RDWR) : -1; }

void hold_slow(bool is_held) {
  if (g_slow == nullptr) return;
  for (const auto op : {aiox_test::SlowOp::kRead, aiox_test::SlowOp::kWrite, aiox_test::SlowOp::kFsync}) {
    if (is_held) {
      g_slow->hold(op);
    } else {
      g_slow->release(op);
    }
  }
}
void fail_slow(int64_t offset) {
  if (g_slow != nullptr) g_slow->fail_at(offset);
}

}  // namespace cross
