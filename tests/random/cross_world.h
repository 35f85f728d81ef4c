// cross_world.h - the files of the cross driver, what they must hold, and the numbers under which they are open.
//
// A Slot is a number of the process at which, one after the other, many files are open. Requests are submitted under a
// shared hold of it, so that it is known which file they are for; it is closed, or given another file, under an
// exclusive hold, while requests are outstanding. Nobody waits for a hold: who does not get it does something else, so
// that a signal handler may try, too.
#ifndef AIOX_TESTS_RANDOM_CROSS_WORLD_H
#define AIOX_TESTS_RANDOM_CROSS_WORLD_H

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "rng.h"

namespace cross {

using random_driver::Pattern;
using random_driver::Rng;

constexpr size_t kBlockBytes = 4096;
constexpr size_t kRecordBytes = 64;

enum class Kind : uint8_t { kBlocks, kSlow, kTail, kPipe };

// A block of a file with fixed blocks: one chain of requests has it at a time.
struct Block {
  std::atomic<bool> is_taken{false};
  std::atomic<uint64_t> key{0};  // of what it holds; changed by who has it
};

struct File {
  Kind kind = Kind::kBlocks;
  int number = 0;
  bool is_direct = false;
  bool is_append = false;  // of kTail: by O_APPEND, else each write names the end
  std::string path;
  int look_fd = -1;  // for looking from outside; never closed
  std::vector<Block> blocks;
  std::atomic<bool> is_taken{false};  // of kTail: one chain at a time
  std::vector<uint64_t> records;      // of kTail: their keys, by who has it
};

// A file at a slot. Never freed: a request may ask about it long after.
struct Opening {
  File* file = nullptr;
  std::atomic<bool> is_over{false};  // from here on its requests may end with ECANCELED
  std::atomic<int> chains{0};        // that have begun and are not finished
  // Its number was an O_DIRECT file's, and changed hands unseen: reads are handed to the kernel without another look,
  // and end with ECANCELED where that refuses them.
  bool may_lose_reads = false;
  // Of a pipe.
  int feed_fd = -1;
  std::atomic<bool> is_read{false};  // one reader at a time
  std::atomic<uint64_t> fed{0}, got{0};
};

class Slot {
 public:
  bool try_share() {
    int holds = holds_.load(std::memory_order_relaxed);
    return holds >= 0 && holds_.compare_exchange_strong(holds, holds + 1, std::memory_order_acquire);
  }
  void unshare() { holds_.fetch_sub(1, std::memory_order_release); }
  bool try_own() {
    int none = 0;
    return holds_.compare_exchange_strong(none, -1, std::memory_order_acquire);
  }
  void disown() { holds_.store(0, std::memory_order_release); }

  int fd = -1;                 // -1: nothing is open
  FILE* stream = nullptr;      // whose number it is, where there is one
  Opening* opening = nullptr;

 private:
  std::atomic<int> holds_{0};  // -1: exclusive
};

constexpr size_t kSlots = 24;
constexpr size_t kPipeTokenBytes = 8;

extern Slot g_slots[kSlots];
extern std::vector<File> g_files;
extern std::string g_canary;

// What may be left out, to find what a failure takes.
enum Without : unsigned {
  kWithoutChange = 1,
  kWithoutCancel = 2,
  kWithoutHandlers = 4,
  kWithoutLeaving = 8,
  kWithoutForks = 16,
  kWithoutStreams = 32,
  kWithoutReplacing = 64,  // dup2 and dup3
  kWithoutRefused = 128,
  kWithoutNative = 256,
  kWithoutPipes = 512,
  kWithoutReopening = 1024,  // freopen
  kWithoutUnseen = 2048,     // what the library cannot see: system calls by instruction
  kWithoutTables = 4096,     // threads with descriptor tables of their own
};
extern unsigned g_without;

void fill_block(void* buffer, const File& file, uint64_t key);
bool holds_block(const void* buffer, const File& file, uint64_t key);
void fill_record(void* buffer, uint64_t key);
bool holds_record(const void* buffer, uint64_t key);

// In the directory. `has_slow`: a FUSE file is among them, that hangs and fails from time to time.
void make_files(const std::string& directory, bool has_slow);
// Everything at rest: every file must hold what the model says.
void check_files();

// Of a slot that the caller owns. change: closes it, or puts another file there, in one of all ways.
void change(Slot& slot, Rng& rng);
void fill_empty(Slot& slot, Rng& rng);
void close_slot(Slot& slot, Rng& rng);
// Signal-safe: by close() only; false: a stream's number.
bool close_in_handler(Slot& slot);

int open_slow();  // -1: there is none
void hold_slow(bool is_held);
void fail_slow(int64_t offset);
constexpr size_t kFailingBlocks = 4;  // of the slow file: the others never fail

[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace cross
#endif
