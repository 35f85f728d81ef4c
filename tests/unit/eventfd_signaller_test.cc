// eventfd_signaller_test.cc - an eventfd is told of completions, and never the file that has its number next.

#include "files/eventfd_signaller.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "catch.h"

using aiox::engine::EventfdSignaller;

namespace {

uint64_t count_of(int fd) {
  uint64_t count = 0;
  return read(fd, &count, sizeof count) == sizeof count ? count : 0;
}

}  // namespace

TEST_CASE("a signal adds one, while the eventfd is open and of that generation") {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  REQUIRE(fd >= 0);
  EventfdSignaller signaller;
  signaller.open(fd);
  const uint32_t generation = signaller.generation();
  signaller.signal(generation);
  signaller.signal(generation);
  CHECK(count_of(fd) == 2);
  signaller.signal(generation + 1);
  CHECK(count_of(fd) == 0);
  signaller.close();
  CHECK(signaller.is_closed());
  signaller.wait_until_unsignalled();
  signaller.signal(generation);
  CHECK(count_of(fd) == 0);
  signaller.open(fd);
  signaller.signal(generation);
  CHECK(count_of(fd) == 0);
  signaller.signal(signaller.generation());
  CHECK(count_of(fd) == 1);
  close(fd);
}

TEST_CASE("no signal of several threads is lost, and none is under way when the wait has ended") {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  REQUIRE(fd >= 0);
  constexpr int kEach = 2000;
  EventfdSignaller signaller;
  signaller.open(fd);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; i++) {
    threads.emplace_back([&signaller] {
      for (int count = 0; count < kEach; count++) signaller.signal(signaller.generation());
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(count_of(fd) == 3 * kEach);
  signaller.close();
  signaller.wait_until_unsignalled();
  CHECK_FALSE(signaller.is_signalling());
  close(fd);
}
