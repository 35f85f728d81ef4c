// split_io_test.cc - a request cut into parts: what the joined parts answer, and who was the last.

#include "lanes/direct_lane.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <initializer_list>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "catch.h"

using aiox::engine::SplitIo;
using aiox::engine::SplitPart;

namespace {

constexpr int64_t kPartBytes = 1 << 20;

std::unique_ptr<SplitIo> joined(std::initializer_list<int64_t> results, int64_t last_bytes = kPartBytes) {
  auto split = std::make_unique<SplitIo>();
  for (int64_t result : results) {
    SplitPart& part = split->parts[split->count++];
    part.length = kPartBytes;
    part.result = result;
  }
  split->parts[split->count - 1].length = last_bytes;
  return split;
}

// What the program is told.
int64_t answer(const std::unique_ptr<SplitIo>& split) {
  int64_t error;
  int64_t bytes = split->joined_bytes(&error);
  return bytes > 0 || error == 0 ? bytes : error;
}

int64_t error_of(const std::unique_ptr<SplitIo>& split) {
  int64_t error;
  split->joined_bytes(&error);
  return error;
}

void set_left(SplitIo& split) {
  split.left = split.count == 64 ? ~uint64_t{0} : (uint64_t{1} << split.count) - 1;
}

}  // namespace

TEST_CASE("parts that all came in full add up, the last one being shorter") {
  CHECK(answer(joined({kPartBytes, kPartBytes, kPartBytes})) == 3 * kPartBytes);
  CHECK(answer(joined({kPartBytes, kPartBytes, 512}, 512)) == 2 * kPartBytes + 512);
  CHECK(answer(joined({512}, 512)) == 512);
}

TEST_CASE("a short part ends the transfer, whatever came behind it") {
  CHECK(answer(joined({kPartBytes, 4096, kPartBytes})) == kPartBytes + 4096);
  CHECK(answer(joined({kPartBytes, 0, kPartBytes})) == kPartBytes);
  CHECK(answer(joined({0, kPartBytes, kPartBytes})) == 0);
  CHECK(answer(joined({kPartBytes, 4096, -EIO})) == kPartBytes + 4096);
  CHECK(answer(joined({kPartBytes, kPartBytes, 100}, 512)) == 2 * kPartBytes + 100);
}

TEST_CASE("the bytes before an error count, and the error is left out then") {
  CHECK(answer(joined({kPartBytes, -EIO, kPartBytes})) == kPartBytes);
  CHECK(answer(joined({kPartBytes, kPartBytes, -ENOSPC})) == 2 * kPartBytes);
}

TEST_CASE("with no byte before it the first error is the answer, not a later one") {
  CHECK(answer(joined({-EIO, kPartBytes, kPartBytes})) == -EIO);
  CHECK(answer(joined({-EIO, -ENOSPC, -EINVAL})) == -EIO);
  CHECK(answer(joined({-EINVAL, -EINVAL})) == -EINVAL);
  CHECK(answer(joined({0, -EIO})) == 0);  // the end of the file came first
}

TEST_CASE("what ended the bytes is told: the first error, also behind bytes; a short part is none") {
  for (int64_t refusal : {-EAGAIN, -EOPNOTSUPP, -EINTR}) {
    CHECK(error_of(joined({refusal, kPartBytes, kPartBytes})) == refusal);
    CHECK(error_of(joined({kPartBytes, refusal, -EIO})) == refusal);
    CHECK(error_of(joined({kPartBytes, kPartBytes, refusal})) == refusal);
    CHECK(error_of(joined({-EIO, 0, refusal})) == -EIO);
    CHECK(error_of(joined({kPartBytes, 4096, refusal})) == 0);
  }
  CHECK(error_of(joined({kPartBytes, kPartBytes, kPartBytes})) == 0);
  CHECK(error_of(joined({kPartBytes, 512, 0})) == 0);
}

TEST_CASE("what is behind the last part of this life is not looked at") {
  auto split = joined({kPartBytes, kPartBytes});
  split->parts[2].result = -EAGAIN;
  split->parts[2].length = kPartBytes;
  int64_t error;
  CHECK(split->joined_bytes(&error) == 2 * kPartBytes);
  CHECK(error == 0);
}

TEST_CASE("exactly one part is the last, in whatever order they end") {
  std::random_device device;
  const unsigned seed = device();
  std::mt19937 random(seed);
  INFO("seed " << seed);
  for (unsigned count = 1; count <= SplitIo::kPartsMax; count++) {
    auto split = std::make_unique<SplitIo>();
    split->count = count;
    set_left(*split);
    std::vector<unsigned> order(count);
    for (unsigned i = 0; i < count; i++) order[i] = i;
    std::shuffle(order.begin(), order.end(), random);
    for (unsigned i = 0; i < count; i++) REQUIRE(split->is_last(&split->parts[order[i]]) == (i + 1 == count));
    REQUIRE(split->left == 0);
  }
}

TEST_CASE("a part that is told twice, as by a handler and by what it interrupted, makes no second last") {
  auto split = std::make_unique<SplitIo>();
  split->count = 3;
  set_left(*split);
  CHECK_FALSE(split->is_last(&split->parts[1]));
  CHECK_FALSE(split->is_last(&split->parts[1]));
  CHECK_FALSE(split->is_last(&split->parts[0]));
  CHECK(split->is_last(&split->parts[2]));
  CHECK_FALSE(split->is_last(&split->parts[2]));
  CHECK_FALSE(split->is_last(&split->parts[0]));
}

TEST_CASE("exactly one part is the last when four threads end them at once") {
  constexpr unsigned kThreads = 4;
  for (int round = 0; round < 200; round++) {
    auto split = std::make_unique<SplitIo>();
    split->count = SplitIo::kPartsMax;
    set_left(*split);
    std::atomic<unsigned> lasts{0}, ready{0};
    std::vector<std::thread> threads;
    for (unsigned id = 0; id < kThreads; id++) {
      threads.emplace_back([&, id] {
        ready++;
        while (ready < kThreads) std::this_thread::yield();
        for (unsigned i = id; i < split->count; i += kThreads) lasts += split->is_last(&split->parts[i]);
      });
    }
    for (std::thread& thread : threads) thread.join();
    REQUIRE(lasts == 1);
  }
}
