// contexts_main.cc - the seeded random driver of native AIO: contexts that many threads share, submit to, take from,
// cancel in and destroy, checked against models.
//
//   random_contexts [--seed N] [--seconds N] [--threads N] [--canary data|event]
//
// aiox is linked in, so that sanitizers see it. What must hold: every accepted request ends with one event, unless its
// context is destroyed first; its result and its data are what the model of its region says; a request that io_cancel
// has cancelled says so; an eventfd counts every end; a pipe loses no byte; and nothing hangs. Exit status: 0 good, 1
// not.
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include "rng.h"
#include "shim/libaio.h"

using namespace aiox::shim;
using random_driver::Pattern;
using random_driver::Rng;

namespace {

constexpr size_t kRegionBytes = 16384, kRegions = 96, kBlock = 4096;
constexpr unsigned kRooms = 5, kOperations = 48, kFiles = 2, kPipes = 3, kListMax = 8;
constexpr size_t kPipeBytes = 64;
constexpr timespec kNow = {};

uint64_t g_seed;
unsigned g_seconds = 5, g_threads = 4;
std::string g_canary;
std::atomic<uint64_t> g_events{0}, g_submitted{0}, g_cancelled{0}, g_destroyed{0}, g_refused{0};
std::atomic<uint64_t> g_last_key{1};

[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "FAILED (seed %llu): ", static_cast<unsigned long long>(g_seed));
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  _exit(1);
}

void on_alarm(int) {
  static const char kText[] = "FAILED: it hangs\n";
  if (write(2, kText, sizeof kText - 1) < 0) _exit(3);
  _exit(1);
}

int64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

struct Operation;

// A part of a file that one operation, or a write and the read right behind it, has for itself.
struct Region {
  std::mutex mu;                   // of the fields below, taken for moments
  bool is_taken = false;
  Operation* write = nullptr;
  Operation* read = nullptr;
  unsigned left = 0;               // of the two, those that have not ended
  uint64_t key = 0;                // what it holds: Pattern(key) from its first byte on
  uint64_t other_key = 0;          // or this, where a context was destroyed under a write; 0: no doubt
};

struct File {
  int fd = -1;
  bool is_direct = false;
  Region regions[kRegions];
};

struct PipePair {
  int ends[2] = {-1, -1};
  std::atomic<int64_t> put{0}, got{0}, in_doubt{0};  // bytes
};

File g_files[kFiles];
PipePair g_pipes[kPipes];

enum class Kind { kRead, kWrite, kSync, kPoll, kPipeRead, kPipeWrite, kNothing };

struct Operation {
  std::mutex mu;                   // held by who submits, cancels or ends it; before Region::mu
  enum class State { kFree, kPrepared, kSubmitted };
  std::atomic<State> state{State::kFree};
  Kind kind = Kind::kNothing;
  iocb block = {};
  File* file = nullptr;
  Region* region = nullptr;
  PipePair* pipe = nullptr;
  uint64_t key = 0;                // of a write
  size_t length = 0, skip = 0;     // in its region
  bool is_counted = false;         // by the eventfd
  bool may_be_refused = false;     // RWF_NOWAIT
  bool is_cancelled = false;
  std::atomic<bool> has_ended{false};  // and waits for the other one of its region
  int64_t result = 0;
  char* buffer = nullptr;
  std::vector<iovec> vectors;
};

struct Room {
  std::shared_mutex mu;            // exclusively: nobody is at the context
  aio_context_t context = 0;
  bool is_read_from_memory = false;
  std::atomic<bool> is_dying{false};  // io_destroy cancels, and some events may still be taken
  std::mutex reader_mu;
  int event_fd = -1;
  std::atomic<uint64_t> counted{0};  // accepted ones that the eventfd is to count
  Operation operations[kOperations];
};

Room g_rooms[kRooms];

// From the end of one context to its next life no other one begins or moves: it might do so at the same address, and
// who is still at the old one would be at a stranger's.
std::mutex g_lives_mu;

// ---- The model ----

bool is_pattern(const char* data, uint64_t key, size_t position, size_t length) {
  return Pattern(key).first_difference(data, position, length) == Pattern::kEqual;
}

void check_read(const Operation& operation, uint64_t key) {
  if (operation.result < 0) return;
  if (is_pattern(operation.buffer + operation.skip, key, operation.skip, static_cast<size_t>(operation.result))) return;
  fail("a read of %zu at %lld gave what is not there", operation.length,
       static_cast<long long>(operation.block.aio_offset));
}

void release(Operation* operation) {
  operation->kind = Kind::kNothing;
  operation->region = nullptr;
  operation->state.store(Operation::State::kFree, std::memory_order_release);
}

// One of the operations of a region has ended, with operation->result, or was not accepted.
void leave_region(Operation* operation) {
  Region* region = operation->region;
  std::lock_guard lock(region->mu);
  operation->has_ended = true;
  if (--region->left > 0) return;
  Operation* write = region->write;
  Operation* read = region->read;
  if (write != nullptr && write->result == static_cast<int64_t>(write->length)) {
    region->key = write->key + (g_canary == "data" ? 1 : 0);
  }
  if (read != nullptr) check_read(*read, region->key);
  region->write = region->read = nullptr;
  region->is_taken = false;
  if (write != nullptr) release(write);
  if (read != nullptr) release(read);
}

void end(Room& room, Operation* operation, const io_event& event) {
  if (event.obj != reinterpret_cast<uintptr_t>(&operation->block)) fail("an event of another control block");
  std::unique_lock lock(operation->mu);
  if (operation->state.load() != Operation::State::kSubmitted || operation->has_ended) fail("an event too many");
  operation->result = event.res;
  const int64_t result = event.res;
  const auto length = static_cast<int64_t>(operation->length);
  const bool is_poll = operation->kind == Kind::kPoll;
  if (operation->is_cancelled && result != (is_poll ? 0 : -ECANCELED)) {
    fail("a cancelled request ended with %lld", static_cast<long long>(result));
  }
  const bool is_said_cancelled =
      result == (is_poll ? 0 : -ECANCELED) && (operation->is_cancelled || room.is_dying.load());
  g_events.fetch_add(1, std::memory_order_relaxed);
  auto expect = [&](bool is_right) {
    if (!is_right) {
      fail("kind %d (opcode %u, flags %d, descriptor %u) of %lld at %lld ended with %lld",
           static_cast<int>(operation->kind), operation->block.aio_lio_opcode, operation->block.aio_rw_flags,
           operation->block.aio_fildes, static_cast<long long>(length),
           static_cast<long long>(operation->block.aio_offset), static_cast<long long>(result));
    }
  };
  switch (operation->kind) {
    case Kind::kSync: expect(result == 0 || is_said_cancelled); break;
    case Kind::kPoll: expect(is_said_cancelled || (result & (POLLIN | POLLHUP)) != 0); break;
    case Kind::kPipeRead:
      expect(is_said_cancelled || (result > 0 && result <= length));
      for (int64_t i = 0; i < result; i++) expect(operation->buffer[i] == 0x5a);
      if (result > 0) operation->pipe->got.fetch_add(result);
      break;
    case Kind::kPipeWrite:
      expect(is_said_cancelled || result == length);
      if (result > 0) operation->pipe->put.fetch_add(result);
      break;
    case Kind::kRead:
    case Kind::kWrite: {
      const bool is_refused = operation->may_be_refused && (result == -EAGAIN || (result > 0 && result < length));
      expect(result == length || is_said_cancelled || is_refused);
      leave_region(operation);
      return;
    }
    case Kind::kNothing: fail("an event of nothing");
  }
  release(operation);
}

// ---- Threads ----

class Driver {
 public:
  explicit Driver(unsigned number) : number_(number) {}
  void run(int64_t until_ms) {
    for (uint64_t i = 0; now_ms() < until_ms; i++) step(Rng(g_seed, number_, i));
  }

 private:
  Operation* claim(Room& room) {
    for (Operation& operation : room.operations) {
      auto state = Operation::State::kFree;
      if (!operation.state.compare_exchange_strong(state, Operation::State::kPrepared, std::memory_order_acquire))
        continue;
      operation.block = {};
      operation.is_cancelled = operation.is_counted = operation.may_be_refused = false;
      operation.has_ended.store(false);
      operation.region = nullptr;
      operation.pipe = nullptr;
      operation.skip = 0;
      return &operation;
    }
    return nullptr;
  }

  // nullptr: it was somebody else's. What is in doubt is looked up.
  Region* claim_region(File& file, size_t index) {
    Region& region = file.regions[index];
    std::lock_guard lock(region.mu);
    if (region.is_taken) return nullptr;
    region.is_taken = true;
    if (region.other_key == 0) return &region;
    std::unique_ptr<char, void (*)(void*)> content(static_cast<char*>(aligned_alloc(kBlock, kRegionBytes)), free);
    if (pread(file.fd, content.get(), kRegionBytes, static_cast<off_t>(index * kRegionBytes)) != kRegionBytes)
      fail("pread");
    // All of one: a write that was cancelled has done nothing, or it was not cancelled. (Writes here are of whole
    // regions.)
    if (is_pattern(content.get(), region.other_key, 0, kRegionBytes)) {
      region.key = region.other_key;
    } else if (!is_pattern(content.get(), region.key, 0, kRegionBytes)) {
      fail("a region holds neither what it held nor what was written to it");
    }
    region.other_key = 0;
    return &region;
  }

  void set_transfer(Operation* operation, Rng& rng, bool is_write, File* file, size_t index) {
    operation->kind = is_write ? Kind::kWrite : Kind::kRead;
    operation->file = file;
    operation->region = &file->regions[index];
    {
      std::lock_guard lock(operation->region->mu);
      (is_write ? operation->region->write : operation->region->read) = operation;
      operation->region->left++;
    }
    operation->length = kRegionBytes;
    if (!is_write) {
      const size_t unit = file->is_direct ? kBlock : 1;
      operation->skip = rng.below(kRegionBytes / unit) * unit;
      operation->length = (1 + rng.below((kRegionBytes - operation->skip) / unit)) * unit;
    }
    char* from = operation->buffer + operation->skip;
    if (is_write) {
      operation->key = g_last_key.fetch_add(1) + 1;
      Pattern(operation->key).fill(from, 0, operation->length);
    } else {
      memset(from, 0, operation->length);
    }
    iocb& block = operation->block;
    block.aio_fildes = static_cast<uint32_t>(file->fd);
    block.aio_offset = static_cast<int64_t>(index * kRegionBytes + operation->skip);
    if (rng.chance(50)) {
      block.aio_lio_opcode = is_write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
      block.aio_buf = reinterpret_cast<uintptr_t>(from);
      block.aio_nbytes = operation->length;
    } else {
      const size_t unit = file->is_direct ? kBlock : 1;
      operation->vectors.clear();
      for (size_t done = 0; done < operation->length;) {
        const size_t count = (1 + rng.below(rng.chance(20) ? 2 : (operation->length - done) / unit)) * unit;
        const size_t part = count < operation->length - done ? count : operation->length - done;
        operation->vectors.push_back({from + done, part});
        done += part;
        if (operation->vectors.size() < 40) continue;
        operation->vectors.push_back({from + done, operation->length - done});
        break;
      }
      block.aio_lio_opcode = is_write ? IOCB_CMD_PWRITEV : IOCB_CMD_PREADV;
      block.aio_buf = reinterpret_cast<uintptr_t>(operation->vectors.data());
      block.aio_nbytes = operation->vectors.size();
    }
    if (!is_write && rng.chance(8)) {
      block.aio_rw_flags = 8;  // RWF_NOWAIT
      operation->may_be_refused = true;
    }
  }

  void submit(Room& room, Rng& rng) {
    Operation* chosen[kListMax + 1];
    iocb* list[kListMax + 1];
    unsigned count = 0;
    const unsigned wanted = 1 + static_cast<unsigned>(rng.below(kListMax));
    while (count < wanted) {
      const uint64_t what = rng.below(100);
      Operation* operation = claim(room);
      if (operation == nullptr) break;
      if (what < 70) {
        File& file = g_files[rng.below(kFiles)];
        const size_t index = rng.below(kRegions);
        if (claim_region(file, index) == nullptr) {
          release(operation);
          continue;
        }
        const bool is_write = rng.chance(50);
        set_transfer(operation, rng, is_write, &file, index);
        Operation* read = is_write && rng.chance(50) ? claim(room) : nullptr;
        chosen[count] = operation;
        list[count++] = &operation->block;
        if (read != nullptr) {
          set_transfer(read, rng, false, &file, index);
          chosen[count] = read;
          list[count++] = &read->block;
        }
      } else {
        operation->length = 0;
        iocb& block = operation->block;
        PipePair& pipe = g_pipes[rng.below(kPipes)];
        operation->pipe = &pipe;
        if (what < 78) {
          operation->kind = Kind::kSync;
          block.aio_fildes = static_cast<uint32_t>(g_files[rng.below(kFiles)].fd);
          block.aio_lio_opcode = rng.chance(50) ? IOCB_CMD_FSYNC : IOCB_CMD_FDSYNC;
        } else if (what < 86) {
          operation->kind = Kind::kPoll;
          block.aio_fildes = static_cast<uint32_t>(pipe.ends[0]);
          block.aio_lio_opcode = IOCB_CMD_POLL;
          block.aio_buf = POLLIN;
        } else {
          const bool is_write = what >= 93;
          operation->kind = is_write ? Kind::kPipeWrite : Kind::kPipeRead;
          operation->length = kPipeBytes;
          memset(operation->buffer, is_write ? 0x5a : 0, kPipeBytes);
          block.aio_fildes = static_cast<uint32_t>(pipe.ends[is_write ? 1 : 0]);
          block.aio_lio_opcode = is_write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
          block.aio_buf = reinterpret_cast<uintptr_t>(operation->buffer);
          block.aio_nbytes = kPipeBytes;
        }
        chosen[count] = operation;
        list[count++] = &operation->block;
      }
    }
    if (count == 0) return;
    const bool is_counted = rng.chance(30);
    for (unsigned i = 0; i < count; i++) {
      chosen[i]->block.aio_data = reinterpret_cast<uintptr_t>(chosen[i]);
      chosen[i]->is_counted = is_counted;
      if (is_counted) {
        chosen[i]->block.aio_flags |= IOCB_FLAG_RESFD;
        chosen[i]->block.aio_resfd = static_cast<uint32_t>(room.event_fd);
      }
      while (!chosen[i]->mu.try_lock()) std::this_thread::yield();
      chosen[i]->state.store(Operation::State::kSubmitted, std::memory_order_release);
    }
    const long accepted = submit_blocks(room.context, count, list);
    if (accepted < 0 && accepted != -EAGAIN && accepted != -EINVAL) fail("io_submit: %ld", accepted);
    const unsigned ended = accepted < 0 ? 0 : static_cast<unsigned>(accepted);
    if (ended > count) fail("io_submit took %ld of %u", accepted, count);
    g_submitted.fetch_add(ended);
    g_refused.fetch_add(count - ended);
    if (is_counted) room.counted.fetch_add(ended);
    for (unsigned i = ended; i < count; i++) {
      chosen[i]->result = -ECANCELED;  // it was not accepted
    }
    for (unsigned i = 0; i < count; i++) {
      if (i >= ended && chosen[i]->region != nullptr) {
        leave_region(chosen[i]);
      } else if (i >= ended) {
        release(chosen[i]);
      }
      chosen[i]->mu.unlock();
    }
  }

  void take(Room& room, Rng& rng) {
    io_event events[16];
    long count = 0;
    if (room.is_read_from_memory) {
      struct Ring {
        uint32_t id, slot_count, head, tail, rest[4];
        io_event events[];
      };
      std::lock_guard lock(room.reader_mu);
      auto* ring = reinterpret_cast<Ring*>(room.context);
      while (count < 16) {
        const uint32_t head = std::atomic_ref(ring->head).load(std::memory_order_acquire);
        if (head == std::atomic_ref(ring->tail).load(std::memory_order_acquire)) break;
        events[count++] = ring->events[head];
        std::atomic_ref(ring->head).store((head + 1) % ring->slot_count, std::memory_order_release);
      }
    } else {
      const long most = 1 + static_cast<long>(rng.below(16));
      const long least =
          static_cast<long>(rng.below(3) == 0 ? rng.below(static_cast<uint64_t>(most) + 1) : rng.below(2));
      const timespec limit = {0, static_cast<long>(rng.below(2'000'000))};
      sigset_t none;
      sigemptyset(&none);
      count = get_events(room.context, least, most, events, rng.chance(40) ? &kNow : &limit,
                         rng.chance(10) ? &none : nullptr);
      if (count == -EINVAL) return;  // destroyed
      if (count < 0 || count > most) fail("io_getevents: %ld", count);
    }
    for (long i = 0; i < count; i++) {
      end(room, reinterpret_cast<Operation*>(events[i].data), events[i]);
      if (g_canary == "event" && g_events.load() > 500)
        end(room, reinterpret_cast<Operation*>(events[i].data), events[i]);
    }
  }

  void cancel(Room& room, Rng& rng) {
    Operation& operation = room.operations[rng.below(kOperations)];
    std::lock_guard lock(operation.mu);
    // In this order: only with the lock, which we have, does one that has not ended become a submitted one.
    if (operation.has_ended.load() || operation.state.load() != Operation::State::kSubmitted) return;
    const long answer = cancel_block(room.context, &operation.block, nullptr);
    if (answer == -EINPROGRESS) {
      if (operation.is_cancelled) fail("cancelled twice");
      operation.is_cancelled = true;
      g_cancelled.fetch_add(1);
    } else if (answer != -EINVAL) {
      fail("io_cancel: %ld", answer);
    }
  }

  void feed(Rng& rng) {
    PipePair& pipe = g_pipes[rng.below(kPipes)];
    // Only so much that it never is full.
    if (pipe.put.load() - pipe.got.load() > 16384) return;
    char bytes[kPipeBytes];
    memset(bytes, 0x5a, sizeof bytes);
    if (write(pipe.ends[1], bytes, sizeof bytes) != sizeof bytes) fail("write to a pipe");
    pipe.put.fetch_add(sizeof bytes);
  }

 public:
  static void open(Room& room, Rng& rng) {
    room.context = 0;
    room.is_dying.store(false);
    const unsigned events = 1 + static_cast<unsigned>(rng.below(64));
    if (setup_context(events, &room.context) != 0) fail("io_setup");
    room.is_read_from_memory = rng.chance(30);
    room.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    room.counted.store(0);
  }

  // Nobody is at it, and it is destroyed: nothing of it is in flight.
  static void account(Room& room) {
    uint64_t told = 0;
    if (read(room.event_fd, &told, sizeof told) < 0) told = 0;
    if (told != room.counted.load()) {
      fail("an eventfd was told %llu times for %llu", static_cast<unsigned long long>(told),
           static_cast<unsigned long long>(room.counted.load()));
    }
    ::close(room.event_fd);
    // Writes first: with the last operation of a region the next one may come, from another room.
    for (Operation& operation : room.operations) {
      if (operation.state.load() != Operation::State::kSubmitted || operation.kind != Kind::kWrite) continue;
      std::lock_guard lock(operation.region->mu);
      if (!operation.has_ended) {
        operation.region->other_key = operation.key;
      } else if (operation.result == static_cast<int64_t>(operation.length)) {
        operation.region->key = operation.key;
      }
    }
    for (Operation& operation : room.operations) {
      if (operation.state.load() != Operation::State::kSubmitted) continue;
      if (operation.pipe != nullptr) {
        if (operation.kind == Kind::kPipeRead || operation.kind == Kind::kPipeWrite)
          operation.pipe->in_doubt.fetch_add(kPipeBytes);
      }
      if (Region* region = operation.region; region != nullptr && !operation.has_ended) {
        std::lock_guard lock(region->mu);
        if (--region->left == 0) {
          region->write = region->read = nullptr;
          region->is_taken = false;
        }
      }
      release(&operation);
    }
  }

 private:
  void destroy(Room& room, Rng& rng) {
    std::unique_lock lives_lock(g_lives_mu, std::try_to_lock);
    if (!lives_lock.owns_lock()) return;
    if (room.is_read_from_memory) {
      std::unique_lock lock(room.mu);
      if (!room.is_read_from_memory) return;
      if (destroy_context(room.context) != 0) fail("io_destroy");
      account(room);
      open(room, rng);
    } else {
      {
        std::shared_lock lock(room.mu);
        if (room.is_read_from_memory) return;
        room.is_dying.store(true);
        if (destroy_context(room.context) != 0) fail("io_destroy");
      }
      std::unique_lock lock(room.mu);
      account(room);
      open(room, rng);
    }
    g_destroyed.fetch_add(1);
  }

  void move(Room& room) {
    std::unique_lock lives_lock(g_lives_mu, std::try_to_lock);
    if (!lives_lock.owns_lock()) return;
    std::unique_lock lock(room.mu);
    struct Ring {
      uint32_t id, slot_count;
    };
    const uint32_t slot_count = reinterpret_cast<Ring*>(room.context)->slot_count;
    const size_t bytes = (32 + slot_count * sizeof(io_event) + kBlock - 1) & ~(kBlock - 1);
    void* target = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void* moved = mremap(reinterpret_cast<void*>(room.context), bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    if (moved == MAP_FAILED) fail("mremap: %s", strerror(errno));
    room.context = reinterpret_cast<aio_context_t>(moved);
  }

  void step(Rng rng) {
    Room& room = g_rooms[rng.below(kRooms)];
    const uint64_t what = rng.below(1000);
    if (what < 3) {
      destroy(room, rng);
    } else if (what < 5) {
      move(room);
    } else if (what < 60) {
      feed(rng);
    } else {
      std::shared_lock lock(room.mu);
      if (what < 350) {
        submit(room, rng);
      } else if (what < 450) {
        cancel(room, rng);
      } else {
        take(room, rng);
      }
    }
  }

  unsigned number_;
};

void open_all() {
  const char* scratch = getenv("AIOX_TEST_SCRATCH");
  for (unsigned i = 0; i < kFiles; i++) {
    File& file = g_files[i];
    const std::string path = std::string(scratch != nullptr ? scratch : ".") + "/contexts." + std::to_string(getpid()) +
                             "." + std::to_string(i);
    file.fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    std::vector<char> content(kRegionBytes);
    for (size_t j = 0; j < kRegions; j++) {
      file.regions[j].key = g_last_key.fetch_add(1) + 1;
      Pattern(file.regions[j].key).fill(content.data(), 0, kRegionBytes);
      if (write(file.fd, content.data(), kRegionBytes) != kRegionBytes) fail("no room on the disk");
    }
    if (i == 1) {
      fsync(file.fd);
      const int direct = open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
      file.is_direct = direct >= 0;
      if (direct >= 0) close(file.fd), file.fd = direct;
    }
    unlink(path.c_str());
  }
  for (PipePair& pair : g_pipes) {
    if (pipe2(pair.ends, O_CLOEXEC) != 0) fail("pipe2");
  }
  for (Room& room : g_rooms) {
    for (Operation& operation : room.operations) {
      operation.buffer = static_cast<char*>(aligned_alloc(kBlock, kRegionBytes));
    }
  }
}

// Every context goes with what is in it, and then the books are closed.
void close_all() {
  for (Room& room : g_rooms) {
    if (destroy_context(room.context) != 0) fail("io_destroy at the end");
    Driver::account(room);
  }
  for (PipePair& pair : g_pipes) {
    fcntl(pair.ends[0], F_SETFL, O_NONBLOCK);
    char bytes[4096];
    int64_t rest = 0;
    for (ssize_t count; (count = read(pair.ends[0], bytes, sizeof bytes)) > 0;) rest += count;
    const int64_t missing = pair.put.load() - pair.got.load() - rest;
    if (missing > pair.in_doubt.load() || -missing > pair.in_doubt.load()) {
      fail("a pipe lost %lld bytes, of which %lld may be", static_cast<long long>(missing),
           static_cast<long long>(pair.in_doubt.load()));
    }
  }
  std::unique_ptr<char, void (*)(void*)> content(static_cast<char*>(aligned_alloc(kBlock, kRegionBytes)), free);
  for (File& file : g_files) {
    for (size_t i = 0; i < kRegions; i++) {
      Region& region = file.regions[i];
      if (region.is_taken) fail("a region was left");
      if (pread(file.fd, content.get(), kRegionBytes, static_cast<off_t>(i * kRegionBytes)) != kRegionBytes)
        fail("pread");
      const bool is_right = is_pattern(content.get(), region.key, 0, kRegionBytes) ||
                            (region.other_key != 0 && is_pattern(content.get(), region.other_key, 0, kRegionBytes));
      if (!is_right) fail("on disk, region %zu is not what it can be", i);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  g_seed = std::random_device{}();
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    if (i + 1 == argc) {
      fprintf(stderr, "usage: %s [--seed N] [--seconds N] [--threads N] [--canary data|event]\n", argv[0]);
      return 2;
    }
    const char* value = argv[++i];
    if (word == "--seed") g_seed = strtoull(value, nullptr, 0);
    if (word == "--seconds") g_seconds = static_cast<unsigned>(atoi(value));
    if (word == "--threads") g_threads = static_cast<unsigned>(atoi(value));
    if (word == "--canary") g_canary = value;
  }
  printf("seed %llu\n", static_cast<unsigned long long>(g_seed));
  fflush(stdout);
  signal(SIGALRM, on_alarm);
  alarm(g_seconds + 20);
  open_all();
  Rng rng(g_seed, 1000, 0);
  for (Room& room : g_rooms) Driver::open(room, rng);
  const int64_t until_ms = now_ms() + g_seconds * 1000;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < g_threads; i++) {
    threads.emplace_back([i, until_ms] { Driver(i).run(until_ms); });
  }
  for (std::thread& thread : threads) thread.join();
  close_all();
  printf("%llu submitted, %llu events, %llu not taken, %llu cancelled, %llu contexts destroyed\n",
         static_cast<unsigned long long>(g_submitted.load()), static_cast<unsigned long long>(g_events.load()),
         static_cast<unsigned long long>(g_refused.load()), static_cast<unsigned long long>(g_cancelled.load()),
         static_cast<unsigned long long>(g_destroyed.load()));
  return 0;
}
