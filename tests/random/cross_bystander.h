// cross_bystander.h - a thread of the cross driver that has nothing to do with the file that hangs. While that hangs,
// the thread must get on with files of its own, in every way of waiting, and what it asks about the file that hangs
// must not keep it: the file is let go only when the thread has got on.
#ifndef AIOX_TESTS_RANDOM_CROSS_BYSTANDER_H
#define AIOX_TESTS_RANDOM_CROSS_BYSTANDER_H

#include <aio.h>
#include <linux/aio_abi.h>

#include <atomic>
#include <cstdint>
#include <string>

#include "cross_world.h"

namespace cross {

class Bystander {
 public:
  void prepare(const std::string& directory);
  void run(uint64_t seed, const std::atomic<bool>& is_over);

  std::atomic<uint64_t> rounds{0};

 private:
  static constexpr size_t kBlocks = 64;

  void step(Rng& rng);
  void read_cold(Rng& rng);
  void write_and_sync(Rng& rng);
  void write_and_sync_native(Rng& rng);
  void ask_about_slow(Rng& rng);

  int cold_fd_ = -1, warm_fd_ = -1, slow_fd_ = -1;
  aio_context_t context_ = 0;
  File cold_, warm_;  // for their numbers: what is in them is told by those
  uint64_t keys_ = 0;
  aiocb slow_{};
  bool is_slow_outstanding_ = false;
  alignas(kBlockBytes) char buffer_[kBlockBytes];
  alignas(kBlockBytes) char slow_buffer_[kBlockBytes];
};

}  // namespace cross
#endif
