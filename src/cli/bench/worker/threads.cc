// threads.cc - what programs build for themselves: a queue of requests, as many threads as the depth that carry them
// out with pread and pwrite, and a queue of completions.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "cli/bench/worker/answerer.h"
#include "cli/bench/worker/clock.h"
#include "cli/bench/worker/engine.h"

namespace aiox::cli::bench {
namespace {

class Threads final : public Engine {
 public:
  explicit Threads(unsigned depth) {
    try {
      for (unsigned i = 0; i < depth; ++i) threads_.emplace_back([this] { serve(); });
    } catch (const std::system_error& error) {
      const std::size_t started = threads_.size();
      end();
      throw Unavailable("no more than " + std::to_string(started) + " threads can be started (" +
                        error.code().message() + "); lower --iodepth or raise ulimit -u");
    }
  }
  ~Threads() override { end(); }

  Begun begin(Unit& unit) override {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(&unit);
    }
    has_work_.notify_one();
    return Begun::kInFlight;
  }

  Unit* collect(std::uint64_t deadline_ns) override {
    std::unique_lock lock(mutex_);
    const auto has_some = [this] { return !done_.empty(); };
    if (deadline_ns == kNever) {
      has_done_.wait(lock, has_some);
    } else {
      // libstdc++'s steady clock is CLOCK_MONOTONIC.
      const std::chrono::steady_clock::time_point deadline{std::chrono::nanoseconds(deadline_ns)};
      if (!has_done_.wait_until(lock, deadline, has_some)) return nullptr;
    }
    Unit* unit = done_.front();
    done_.pop_front();
    return unit;
  }

  std::string answered_by() const override { return file_of_function("pread64"); }

 private:
  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      has_work_.wait(lock, [this] { return is_ending_ || !waiting_.empty(); });
      if (is_ending_) return;
      Unit* unit = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      unit->result = carry_out(*unit);
      lock.lock();
      done_.push_back(unit);
      has_done_.notify_one();
    }
  }

  void end() {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    has_work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  std::mutex mutex_;
  std::condition_variable has_work_;
  std::condition_variable has_done_;
  std::deque<Unit*> waiting_;
  std::deque<Unit*> done_;
  bool is_ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<Engine> make_threads(unsigned depth) {
  expect_no_aiox();
  return std::make_unique<Threads>(depth);
}

}  // namespace aiox::cli::bench
