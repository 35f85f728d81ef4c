// cross_actor.h - one thread of the cross driver: submits chains of requests, and does to them and to their numbers
// what a program may do, with signal handlers that do the same.
#ifndef AIOX_TESTS_RANDOM_CROSS_ACTOR_H
#define AIOX_TESTS_RANDOM_CROSS_ACTOR_H

#include <aio.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <setjmp.h>

#include <atomic>
#include <cstdint>

#include "cross_world.h"

namespace cross {

enum class Do : uint8_t { kRead, kWrite, kSync };
enum class State : uint8_t { kNone, kFlying, kInHand, kEnded };

struct Op {
  aiocb posix{};
  iocb native{};
  bool is_native = false;
  Do what = Do::kRead;
  std::atomic<State> state{State::kNone};  // kNone, too: was not accepted
  std::atomic<bool> is_cancelled{false};   // by its name
  std::atomic<int> notices{0};
  bool is_notified = false;
  int64_t result = 0;
  uint64_t key = 0;
  size_t bytes = 0;
  char* buffer = nullptr;
};

// Requests that stand behind one another at one descriptor, and at what nobody else has meanwhile.
struct Chain {
  static constexpr unsigned kOps = 5;
  Op ops[kOps];
  unsigned count = 0;  // 0: not in use
  Opening* opening = nullptr;
  Block* block = nullptr;
  size_t block_index = 0;
};

class Actor {
 public:
  explicit Actor(unsigned number) : number_(number) {}
  void prepare();
  void run(uint64_t seed, uint64_t steps);
  void print() const;

  // In a signal handler of its thread.
  void in_handler();
  void jump();

  pthread_t thread{};
  std::atomic<bool> is_running{false}, is_over{false}, wants_jump{false};
  std::atomic<uint64_t> progress{0}, requests{0}, ended{0}, cancelled{0}, left{0}, closed_in_handler{0};

 private:
  static constexpr unsigned kChains = 16;

  void step(Rng rng);
  void begin(Rng& rng);
  void begin_blocks(Chain& chain, int fd, Rng& rng);
  void begin_tail(Chain& chain, int fd, Rng& rng);
  void begin_pipe(Chain& chain, int fd, Rng& rng);
  void add(Chain& chain, int fd, Do what, int64_t offset, size_t bytes, Rng& rng);
  void add_write(Chain& chain, int fd, int64_t offset, size_t bytes, Rng& rng);
  bool submit(Op& op, int fd, int64_t offset, Rng& rng);
  bool reap(Op& op);
  void take_events(long least, const timespec* limit);
  void look_after_all();
  bool finish(Chain& chain);
  bool happened(const Chain& chain, const Op& op, size_t bytes) const;
  void finish_blocks(Chain& chain);
  void finish_tail(Chain& chain);
  void finish_pipe(Chain& chain);
  void wait(Rng& rng);
  void cancel(Rng& rng);
  void feed(Rng& rng);
  void leave(Rng& rng);
  void leave_by_cancellation(aiocb* request, Rng& rng);
  void leave_by_jump(aiocb* request);
  void leave_native(Rng& rng);
  void fork_child();
  void fork_in_handler();
  void leave_if_child();
  void leave_table(Rng& rng);

  const unsigned number_;
  uint64_t seed_ = 0, keys_ = 0, pokes_ = 0;
  aio_context_t context_ = 0;
  Chain chains_[kChains];
  sigjmp_buf place_;
  std::atomic<bool> may_jump_{false};
  std::atomic<bool> may_fork_{false};  // in a call of the library's that the child may come back from
  bool is_child_ = false;
  bool is_last_part_ = false;
};

extern thread_local Actor* t_actor;

}  // namespace cross
#endif
