// suspend.cc - aio_suspend, by the length of its list.
//
//   suspend_done     one of the list, its last, has ended
//   suspend_expired  none has; the timeout is zero: looking, registering, leaving
//   suspend_woken    all wait on one socket; the clock runs from the plain write that ends the first of them until the
//                    call, made by another thread beforehand, has returned. Beside it see publish_plain_thread.
#include <atomic>
#include <deque>
#include <thread>

#include "support/rows.h"

namespace {

using namespace bench;

// Reads of one byte each that wait on one socket, in order.
class Waiting {
 public:
  explicit Waiting(size_t count) : connection_(Connection::kSocket) {
    for (size_t i = 0; i < count && error_ == 0; i++) add();
  }
  ~Waiting() {
    while (!blocks_.empty() && error_ == 0) end_first();
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  int error() const { return connection_.is_open() ? error_ : ENOTCONN; }
  aiocb& first() { return blocks_.front(); }

  void add() {
    blocks_.push_back(make_block(LIO_READ, connection_.near(), 0, buffer_.data(), 1));
    error_ = start(&blocks_.back());
    if (error_ != 0) blocks_.pop_back();
  }
  void feed() {
    if (write(connection_.far(), "x", 1) != 1) error_ = errno;
  }
  // After a feed.
  void collect_first() {
    error_ = finish(&blocks_.front());
    blocks_.pop_front();
  }
  void end_first() {
    feed();
    collect_first();
  }
  std::vector<const aiocb*> list() const {
    std::vector<const aiocb*> list;
    for (const aiocb& block : blocks_) list.push_back(&block);
    return list;
  }

 private:
  Connection connection_;
  Buffer buffer_;
  std::deque<aiocb> blocks_;  // a deque: control blocks stay where they are
  int error_ = 0;
};

void suspend_done(benchmark::State& state) {
  Waiting waiting(static_cast<size_t>(state.range(0)) - 1);
  Buffer buffer;
  aiocb ended = make_block(LIO_READ, scratch().fd(), 0, buffer.data(), kBlockBytes);
  int error = start_and_finish(&ended);
  if (failed(state, error) || failed(state, waiting.error())) return;
  std::vector<const aiocb*> list = waiting.list();
  list.push_back(&ended);
  for (auto _ : state) {
    if (aio_suspend(list.data(), static_cast<int>(list.size()), nullptr) != 0) {
      failed(state, errno, "aio_suspend");
      break;
    }
  }
}

void suspend_expired(benchmark::State& state) {
  Waiting waiting(static_cast<size_t>(state.range(0)));
  if (failed(state, waiting.error())) return;
  std::vector<const aiocb*> list = waiting.list();
  const timespec timeout = {0, 0};
  for (auto _ : state) {
    if (aio_suspend(list.data(), static_cast<int>(list.size()), &timeout) == 0) {
      state.SkipWithError("aio_suspend saw an end that was not");
      break;
    }
  }
}

void suspend_woken(benchmark::State& state) {
  Waiting waiting(static_cast<size_t>(state.range(0)));
  if (failed(state, waiting.error())) return;
  // Who waits is a thread of its own, one round per iteration.
  std::vector<const aiocb*> list;
  std::atomic<int> round{0};
  std::atomic<bool> is_over{false};
  std::atomic<int> returned{0};
  Clock::time_point end;
  std::thread waiter([&] {
    for (int mine = 1;; mine++) {
      while (round.load(std::memory_order_acquire) < mine && !is_over.load(std::memory_order_acquire)) {
        std::this_thread::yield();
      }
      if (is_over.load(std::memory_order_acquire)) return;
      while (aio_suspend(list.data(), static_cast<int>(list.size()), nullptr) != 0 && errno == EINTR) {
      }
      end = Clock::now();
      returned.store(mine, std::memory_order_release);
    }
  });
  int rounds = 0;
  for (auto _ : state) {
    list = waiting.list();
    round.store(++rounds, std::memory_order_release);
    usleep(100);  // so that the waiter is asleep
    Clock::time_point begin = Clock::now();
    waiting.feed();
    while (returned.load(std::memory_order_acquire) < rounds) std::this_thread::yield();
    state.SetIterationTime(std::chrono::duration<double>(end - begin).count());
    waiting.collect_first();
    waiting.add();
    if (failed(state, waiting.error())) break;
  }
  is_over.store(true, std::memory_order_release);
  waiter.join();
}

BENCHMARK(suspend_done)->Arg(1)->Arg(16)->Arg(256)->Arg(1024);
BENCHMARK(suspend_expired)->Arg(1)->Arg(16)->Arg(256)->Arg(1024)->UseRealTime();
BENCHMARK(suspend_woken)->Arg(1)->Arg(16)->Arg(256)->Arg(1024)->UseManualTime()->Iterations(500);

}  // namespace
