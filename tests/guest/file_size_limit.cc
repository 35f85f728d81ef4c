// file_size_limit.cc - RLIMIT_FSIZE in each way that a write can go: short up to the limit, then EFBIG and SIGXFSZ
// once, as plain writes have it.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>

#include "native.h"

using namespace guest;

namespace {

std::atomic<unsigned> g_size_signals{0};

void limit_file_sizes() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_size_signals.fetch_add(1); };
  action.sa_flags = SA_RESTART;
  sigaction(SIGXFSZ, &action, nullptr);
  rlimit limit{};
  CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  limit.rlim_cur = 16384;
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

void expect_one_signal(unsigned round) {
  for (unsigned waited_ms = 0; g_size_signals == 0; ++waited_ms) {
    sleep_ms(1);
    if (waited_ms > 10000) FAIL("no SIGXFSZ for a write beyond the limit");
  }
  sleep_ms(2);
  if (g_size_signals != 1) FAIL("SIGXFSZ came %u times for one write (round %u)", g_size_signals.load(), round);
}

// Short at the limit, then EFBIG and one SIGXFSZ; as plain writes, in each way that a request can go.
void write_past_the_limit(int fd, bool is_polled) {
  limit_file_sizes();
  auto end = [is_polled](Request& request) {
    while (is_polled && !request.is_done()) sched_yield();
    return request.wait();
  };
  for (unsigned round = 0; round < 8; ++round) {
    Request across(8192), beyond(4096), within(4096);
    g_size_signals = 0;
    across.fill(1);
    across.write(fd, 12288);
    int error = end(across);
    if (error != 0 || aio_return(&across.block) != 4096) FAIL("a write across the limit: \"%s\"", strerror(error));
    if (g_size_signals != 0) FAIL("SIGXFSZ for a write that was only short");
    beyond.fill(2);
    beyond.write(fd, 16384);
    error = end(beyond);
    if (error != EFBIG || aio_return(&beyond.block) != -1) FAIL("a write beyond the limit: \"%s\"", strerror(error));
    if (is_answered_by_aiox()) expect_one_signal(round);
    within.fill(3);
    within.write(fd, 0);
    within.wait_for_all();
  }
  close(fd);
}

void write_past_the_limit_natively(int fd) {
  limit_file_sizes();
  for (unsigned round = 0; round < 8; ++round) {
    NativeContext context(3, kEveryWay[round % 4]);
    NativeRequest across(8192), beyond(4096), within(4096);
    g_size_signals = 0;
    across.fill(1);
    context.submit(across.write(fd, 12288));
    context.finish();
    if (across.result != 4096) FAIL("a write across the limit: %lld", static_cast<long long>(across.result));
    if (g_size_signals != 0) FAIL("SIGXFSZ for a write that was only short");
    beyond.fill(2);
    context.submit(beyond.write(fd, 16384));
    context.finish();
    if (beyond.result != -EFBIG) FAIL("a write beyond the limit: %lld", static_cast<long long>(beyond.result));
    expect_one_signal(round);
    within.fill(3);
    context.submit(within.write(fd, 0));
    context.finish();
    within.expect_all();
  }
  close(fd);
}

}  // namespace

GUEST_PROPERTY(the_limit_on_file_sizes_holds_for_buffered_writes) {
  for (bool is_polled : {false, true})
    expect_clean_exit(fork_child([is_polled] { write_past_the_limit(pattern_file(4096), is_polled); }));
}

GUEST_PROPERTY(the_limit_on_file_sizes_holds_for_direct_writes) {
  if (!supports_direct()) skip("O_DIRECT is not supported here");
  for (bool is_polled : {false, true})
    for (size_t size_bytes : {size_t(4096), size_t(65536)})  // beyond its end, and within it
      expect_clean_exit(fork_child([=] { write_past_the_limit(pattern_file(size_bytes, O_DIRECT), is_polled); }));
}

// Where plain calls never wait for a device, requests are carried out by whoever asks for them.
GUEST_PROPERTY(the_limit_on_file_sizes_holds_for_writes_to_memory) {
  for (bool is_polled : {false, true})
    expect_clean_exit(fork_child([is_polled] {
      int fd = memfd_create("limited", MFD_CLOEXEC);
      if (fd < 0) skip("no files in memory here");
      write_past_the_limit(fd, is_polled);
    }));
}

GUEST_PROPERTY(native_limit_on_file_sizes_holds) {
  expect_clean_exit(fork_child([] { write_past_the_limit_natively(pattern_file(4096)); }));
  expect_clean_exit(fork_child([] { write_past_the_limit_natively(memfd_create("limited", MFD_CLOEXEC)); }));
  if (!supports_direct()) return;
  for (size_t size_bytes : {size_t(4096), size_t(65536)})  // beyond its end, and within it
    expect_clean_exit(fork_child([=] { write_past_the_limit_natively(pattern_file(size_bytes, O_DIRECT)); }));
}
