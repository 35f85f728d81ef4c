// submitter_exit.cc - requests belong to the process, not to the thread that submitted them: when that thread exits
// with 64 of them in flight all complete, none is cancelled. (With a ring entered by the program's thread, reads of
// pipes end as ECANCELED at this moment.)
#include <fcntl.h>
#include <unistd.h>

#include <thread>

#include "guest.h"

using namespace guest;

namespace {

constexpr unsigned kRequests = 64;
constexpr size_t kFileBytes = 32 * 1024 * 1024;

void outlive(int fd, bool is_cold) {
  for (unsigned round = 0; round < trials(50); ++round) {
    std::vector<std::unique_ptr<Request>> requests;
    for (unsigned i = 0; i < kRequests; ++i) requests.push_back(std::make_unique<Request>());
    if (is_cold) drop_cache(fd);
    std::thread submitter([&] {
      for (auto& request : requests) request->read(fd, random_below(kFileBytes / 4096) * 4096);
    });
    submitter.join();
    for (auto& request : requests) {
      request->wait_for_all();
      request->check_pattern();
    }
  }
}

}  // namespace

GUEST_PROPERTY(cold_reads_outlive_their_thread) { outlive(pattern_file(kFileBytes), true); }

GUEST_PROPERTY(direct_reads_outlive_their_thread) {
  int fd = pattern_file(kFileBytes, O_DIRECT);
  if (fd < 0) skip("O_DIRECT is not supported here");
  outlive(fd, false);
}

GUEST_PROPERTY(pipe_reads_outlive_their_thread) {
  for (unsigned round = 0; round < trials(50); ++round) {
    int ends[4][2];  // the C library keeps a thread per descriptor: few descriptors, many requests
    for (auto& pair : ends) CHECK(pipe2(pair, O_CLOEXEC) == 0);
    std::vector<std::unique_ptr<Request>> requests;
    for (unsigned i = 0; i < kRequests; ++i) requests.push_back(std::make_unique<Request>(4));
    std::thread submitter([&] {
      for (unsigned i = 0; i < kRequests; ++i) requests[i]->read(ends[i % 4][0], 0);
    });
    submitter.join();
    if (round % 2) sleep_ms(2);
    for (auto& request : requests) CHECK(!request->is_done());
    for (unsigned i = 0; i < kRequests; ++i) CHECK(write(ends[i % 4][1], &i, 4) == 4);
    for (unsigned i = 0; i < kRequests; ++i) {
      requests[i]->wait_for_all();
      unsigned got;
      memcpy(&got, requests[i]->buffer, 4);
      if (got != i) FAIL("read %u of its pipe brought the bytes of read %u", i, got);
    }
    for (auto& pair : ends) close(pair[0]), close(pair[1]);
  }
}
