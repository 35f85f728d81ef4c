// random.cc - threads, contexts, commands and kinds of file mixed at random; every accepted request gives one event
// with exactly the result that a model of the file says. --seed replays a run's choices (not its timing).
//
// A slot is one request at a time with a place of its own: a part of a file that others share, or a stream, and what it
// should hold. It goes from hand to hand: idle in its owner's, in flight with the context, and whoever takes its event
// checks it and gives it back.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "calls.h"
#include "case_runner.h"
#include "channels.h"
#include "threads_and_signals.h"

namespace libaio_conformance {
namespace {

using conformance::aligned_memory;
using conformance::Channel;
using conformance::is_seekable;
using conformance::Kind;

using Random = std::mt19937_64;

constexpr size_t kPartBytes = 64 << 10;  // of a file, per slot
constexpr size_t kStreamBytes = 4096;    // of what may lie in a stream
constexpr int kThreads = 4, kContexts = 3, kSlotsPerThread = 14;
constexpr int kRequestsPerThread = aiox_test::kSanitized ? 1500 : 12000;

enum class State : int { kIdle, kInFlight };

struct Slot {
  Channel channel;
  long long base = 0;  // of the part
  std::string model;   // what the part, or the stream, holds
  char* memory = nullptr;
  std::vector<iovec> vectors;
  iocb block;
  std::atomic<State> state{State::kIdle};
  long expected = 0;
  std::string read_back;  // the bytes that a read must give
  int eventfd = -1;
  uint64_t posted = 0;    // events that must be in the eventfd
  std::atomic<int> events{0};
  int accepted = 0;
};

size_t pick(Random& random, size_t below) { return random() % below; }

// Splits the memory into 1 to 9 vectors, for O_DIRECT by blocks.
void cut(Random& random, Slot& slot, size_t bytes) {
  slot.vectors.clear();
  const size_t unit = slot.channel.block_bytes;
  size_t at = 0;
  const size_t count = 1 + pick(random, 9);
  for (size_t i = 0; i + 1 < count; ++i) {
    const size_t length = pick(random, (bytes - at) / unit + 1) * unit;
    slot.vectors.push_back({slot.memory + at, length});
    at += length;
  }
  slot.vectors.push_back({slot.memory + at, bytes - at});
}

void fill_memory(Random& random, Slot& slot, size_t bytes) {
  const std::string data = conformance::pattern(bytes, static_cast<unsigned>(random()));
  std::memcpy(slot.memory, data.data(), bytes);
}

void prepare_seekable(Random& random, Slot& slot) {
  const size_t unit = slot.channel.block_bytes;
  const size_t units = kPartBytes / unit;
  const size_t from = pick(random, units), most = units - from;
  const size_t bytes = std::min(1 + pick(random, pick(random, 2) == 0 ? 64 : units), most) * unit;
  const size_t offset = from * unit;
  const long long place = slot.base + static_cast<long long>(offset);
  const size_t command = pick(random, 6);
  cut(random, slot, bytes);
  slot.expected = static_cast<long>(bytes);
  if (command < 3) {
    fill_memory(random, slot, bytes);
    slot.model.replace(offset, bytes, slot.memory, bytes);
    slot.block = command == 0 ? pwritev_block(slot.channel.write_fd, slot.vectors, place)
                              : pwrite_block(slot.channel.write_fd, slot.memory, bytes, place);
    if (command == 1 && pick(random, 20) == 0) slot.block.aio_rw_flags = RWF_DSYNC;
  } else {
    std::memset(slot.memory, 0, bytes);
    slot.read_back = slot.model.substr(offset, bytes);
    slot.block = command == 3 ? preadv_block(slot.channel.read_fd, slot.vectors, place)
                              : pread_block(slot.channel.read_fd, slot.memory, bytes, place);
  }
}

void prepare_stream(Random& random, Slot& slot) {
  if (slot.model.empty()) {
    const size_t bytes = 1 + pick(random, kStreamBytes);
    fill_memory(random, slot, bytes);
    slot.model.assign(slot.memory, bytes);
    cut(random, slot, bytes);
    slot.block = pick(random, 2) == 0 ? pwritev_block(slot.channel.write_fd, slot.vectors)
                                      : pwrite_block(slot.channel.write_fd, slot.memory, bytes);
    slot.expected = static_cast<long>(bytes);
    return;
  }
  const size_t bytes = 1 + pick(random, kStreamBytes), come = std::min(bytes, slot.model.size());
  std::memset(slot.memory, 0, bytes);
  cut(random, slot, bytes);
  slot.read_back = slot.model.substr(0, come);
  slot.model.erase(0, come);
  slot.expected = static_cast<long>(come);
  slot.block = pick(random, 2) == 0 ? preadv_block(slot.channel.read_fd, slot.vectors)
                                    : pread_block(slot.channel.read_fd, slot.memory, bytes);
}

void prepare_number(Random& random, Slot& slot) {
  const uint64_t number = 1 + pick(random, 1u << 20);
  EXPECT_EQ(eventfd_write(slot.channel.write_fd, number), 0);
  slot.read_back.assign(reinterpret_cast<const char*>(&number), sizeof number);
  slot.expected = sizeof number;
  slot.block = pread_block(slot.channel.read_fd, slot.memory, 8 + pick(random, 8));
}

// A request whose outcome is known; -errno if io_submit must refuse it, else 1.
long prepare(Random& random, Slot& slot) {
  slot.read_back.clear();
  const size_t what = pick(random, 100);
  long answer = 1;
  if (what < 4 && slot.channel.kind != Kind::kPipe && slot.channel.kind != Kind::kSocketpair &&
      slot.channel.kind != Kind::kEventfd) {
    slot.block = what % 2 == 0 ? fsync_block(slot.channel.write_fd) : fdsync_block(slot.channel.write_fd);
    slot.expected = 0;
  } else if (what < 10) {
    slot.block = poll_block(slot.channel.write_fd, POLLOUT);
    slot.expected = POLLOUT;
  } else if (what < 13) {
    slot.block = pread_block(slot.channel.read_fd, slot.memory, 8, -5);
    answer = -EINVAL;
  } else if (what < 15) {
    slot.block = pread_block(-1, slot.memory, 8);
    answer = -EBADF;
  } else if (what < 17 && is_seekable(slot.channel.kind)) {  // beyond the end: another slot's part may end there
    slot.block = pread_block(slot.channel.read_fd, slot.memory, 4096, 1ll << 32);
    slot.expected = 0;
  } else if (is_seekable(slot.channel.kind)) {
    prepare_seekable(random, slot);
  } else if (slot.channel.kind == Kind::kEventfd) {
    prepare_number(random, slot);
  } else {
    prepare_stream(random, slot);
  }
  slot.block.data = &slot;
  if (answer == 1 && pick(random, 4) == 0) {
    io_set_eventfd(&slot.block, slot.eventfd);
    ++slot.posted;
  }
  return answer;
}

void check(const io_event& event) {
  Slot& slot = *static_cast<Slot*>(event.data);
  EXPECT(event.obj == &slot.block);
  EXPECT(slot.state.load(std::memory_order_acquire) == State::kInFlight);
  EXPECT_EQ(result_in(event), slot.expected);
  EXPECT_EQ(event.res2, 0ul);
  EXPECT(std::memcmp(slot.memory, slot.read_back.data(), slot.read_back.size()) == 0);
  slot.events.fetch_add(1);
  slot.state.store(State::kIdle, std::memory_order_release);
}

class Run {
 public:
  Run() : seed_(aiox_test::case_seed()), slots_(kThreads * kSlotsPerThread) {
    for (int i = 0; i < kContexts; ++i) contexts_.push_back(std::make_unique<Context>(kSlotsPerThread * kThreads));
    const Kind kinds[] = {Kind::kFile,       Kind::kDirect, Kind::kTmpfs,   Kind::kPipe,
                          Kind::kSocketpair, Kind::kFile,   Kind::kEventfd};
    Channel files[3] = {open_channel(Kind::kFile), open_channel(Kind::kDirect), open_channel(Kind::kTmpfs)};
    for (size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[i];
      const Kind kind = kinds[i % 7];
      slot.memory = aligned_memory(kPartBytes);
      slot.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
      if (!is_seekable(kind)) {
        slot.channel = open_channel(kind);
        continue;
      }
      slot.channel = files[kind == Kind::kFile ? 0 : kind == Kind::kDirect ? 1 : 2];
      slot.base = static_cast<long long>(i * kPartBytes);
      slot.model.assign(kPartBytes, '\0');
    }
    for (const Channel& file : files) {
      EXPECT_EQ(ftruncate(file.write_fd, static_cast<off_t>(slots_.size() * kPartBytes)), 0);
    }
  }

  void go() {
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; ++t) threads.emplace_back([this, t] { submit_and_reap(t); });
    for (std::thread& thread : threads) thread.join();
    for (const std::unique_ptr<Context>& context : contexts_) expect_no_event(*context);
    for (Slot& slot : slots_) finish(slot);
  }

 private:
  void submit_and_reap(size_t thread) {
    Random random(seed_ + thread * 1000003);
    Slot* const own = &slots_[thread * kSlotsPerThread];
    int left = kRequestsPerThread;
    while (left > 0 || !all_idle(own)) {
      if (left > 0) left -= submit_some(random, own);
      reap_some(random);
    }
  }

  static bool all_idle(const Slot* own) {
    return std::all_of(own, own + kSlotsPerThread,
                       [](const Slot& slot) { return slot.state.load(std::memory_order_acquire) == State::kIdle; });
  }

  // A list of idle slots of its own; the first that must be refused ends it.
  int submit_some(Random& random, Slot* own) {
    iocb* list[kSlotsPerThread];
    long count = 0, refusal = 0;
    for (size_t i = 0; i < kSlotsPerThread && refusal == 0; ++i) {
      Slot& slot = own[i];
      if (slot.state.load(std::memory_order_acquire) != State::kIdle || pick(random, 3) == 0) continue;
      const long answer = prepare(random, slot);
      list[count++] = &slot.block;
      if (answer == 1) {
        slot.state.store(State::kInFlight, std::memory_order_release);
        ++slot.accepted;
      } else {
        refusal = answer;
      }
    }
    if (count == 0) return 0;
    const io_context_t context = *contexts_[pick(random, kContexts)];
    const long good = refusal == 0 ? count : count - 1;
    EXPECT_EQ(submit(context, count, list), good > 0 ? good : refusal);
    return static_cast<int>(count);
  }

  void reap_some(Random& random) {
    const io_context_t context = *contexts_[pick(random, kContexts)];
    io_event events[16];
    const timespec at_once{}, short_time = milliseconds(1);
    const long min = static_cast<long>(pick(random, 3)), most = min + 1 + static_cast<long>(pick(random, 12));
    const timespec* const timeout = pick(random, 2) == 0 ? &at_once : &short_time;
    const long got = pick(random, 4) == 0 ? pget_events(context, min, most, events, timeout, nullptr)
                                          : get_events(context, min, most, events, timeout);
    EXPECT(got >= 0 && got <= most);
    for (long i = 0; i < got; ++i) check(events[i]);
  }

  static void finish(Slot& slot) {
    EXPECT_EQ(slot.events.load(), slot.accepted);
    uint64_t posted = 0;
    while (posted < slot.posted) {  // the last may come a moment after its event
      eventfd_t value = 0;
      if (eventfd_read(slot.eventfd, &value) == 0) posted += value;
      else conformance::sleep_ms(1);
    }
    EXPECT_EQ(posted, slot.posted);
    if (!is_seekable(slot.channel.kind)) return;
    EXPECT_EQ(pread(slot.channel.read_fd, slot.memory, kPartBytes, slot.base), static_cast<ssize_t>(kPartBytes));
    EXPECT(std::memcmp(slot.memory, slot.model.data(), kPartBytes) == 0);
  }

  const uint64_t seed_;
  std::vector<std::unique_ptr<Context>> contexts_;
  std::vector<Slot> slots_;
};

AIOX_CASE("threads, contexts, commands and files at random: one event each, with the result of the model",
          .timeout_s = 60) {
  aiox_test::note("the random mix");
  Run().go();
}

}  // namespace
}  // namespace libaio_conformance
