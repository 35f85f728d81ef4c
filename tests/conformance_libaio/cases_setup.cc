// cases_setup.cc - io_setup, io_destroy, the io_queue_* names, and how many requests a context takes.
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstring>
#include <string>
#include <thread>

#include "calls.h"
#include "case_runner.h"
#include "channels.h"
#include "slow_file.h"
#include "threads_and_signals.h"

namespace libaio_conformance {
namespace {

using aiox_test::note;
using conformance::open_temp_file;
using conformance::sleep_ms;
using conformance::thread_id;

AIOX_CASE("io_setup refuses a context variable that is not 0, and leaves it") {
  io_context_t context = reinterpret_cast<io_context_t>(0x1000);
  EXPECT_EQ(setup(8, &context), -EINVAL);
  EXPECT(context == reinterpret_cast<io_context_t>(0x1000));
}

AIOX_CASE("io_setup refuses 0 events and absurdly many with EINVAL") {
  for (const unsigned count : {0u, 0xffffffffu, 0x10000000u, 0x08000001u}) {
    io_context_t context = nullptr;
    EXPECT_EQ(setup(count, &context), -EINVAL);
    EXPECT(context == nullptr);
  }
}

AIOX_CASE("io_setup refuses more events than can be had with EAGAIN or EINVAL") {
  io_context_t context = nullptr;
  const long answer = setup(0x07000000, &context);
  EXPECT(answer == -EAGAIN || answer == -EINVAL || answer == -ENOMEM);
  EXPECT(context == nullptr);
}

AIOX_CASE("io_setup without a place for the context is EFAULT") {
  EXPECT_EQ(setup(8, nullptr), -EFAULT);
}

AIOX_CASE("several contexts keep their events apart") {
  Context contexts[5];
  PendingPoll polls[5];
  for (int i = 0; i < 5; ++i) EXPECT_EQ(submit(contexts[i], polls[i].block), 1);
  for (int i = 4; i >= 0; --i) {
    for (int j = 0; j <= i; ++j) expect_no_event(contexts[j]);
    polls[i].end();
    EXPECT(tells(reap_result(contexts[i], polls[i].block), POLLIN));
  }
}

AIOX_CASE("io_destroy of what is no context is EINVAL") {
  EXPECT_EQ(destroy(nullptr), -EINVAL);
  Context context;
  const io_context_t released = context.release();
  EXPECT_EQ(destroy(released), 0);
  EXPECT_EQ(destroy(released), -EINVAL);
  EXPECT_EQ(destroy(released), -EINVAL);
}

AIOX_CASE("memory that is no context is EINVAL everywhere") {
  const io_context_t nothing = reinterpret_cast<io_context_t>(conformance::aligned_memory(4096));
  iocb block = fsync_block(0);
  io_event event;
  const timespec short_time = milliseconds(1);
  EXPECT_EQ(submit(nothing, block), -EINVAL);
  EXPECT_EQ(submit(nothing, 0, nullptr), -EINVAL);
  EXPECT_EQ(cancel(nothing, &block, &event), -EINVAL);
  EXPECT_EQ(get_events(nothing, 1, 1, &event, &short_time), -EINVAL);
  EXPECT_EQ(pget_events(nothing, 1, 1, &event, &short_time, nullptr), -EINVAL);
  EXPECT_EQ(destroy(nothing), -EINVAL);
}

AIOX_CASE("a destroyed context is EINVAL to io_submit and io_cancel") {
  Context other;
  Context context;
  const io_context_t gone = context.release();
  EXPECT_EQ(destroy(gone), 0);
  iocb block = poll_block(conformance::open_pipe().read_fd, POLLIN);
  io_event event;
  EXPECT_EQ(submit(gone, block), -EINVAL);
  EXPECT_EQ(submit(gone, 0, nullptr), -EINVAL);
  EXPECT_EQ(cancel(gone, &block, &event), -EINVAL);
}

AIOX_CASE("contexts can be made and destroyed over and over") {
  const int fd = open_temp_file();
  for (int round = 0; round < 60; ++round) {
    Context context(1 + static_cast<unsigned>(round) % 70);
    iocb block = pwrite_block(fd, "x", 1, round);
    EXPECT_EQ(run(context, block), 1);
  }
  EXPECT_EQ(lseek(fd, 0, SEEK_END), 60);
}

AIOX_CASE("io_destroy takes pending polls and unreaped events with it") {
  const int fd = open_temp_file();
  for (int round = 0; round < 20; ++round) {
    Context context;
    PendingPoll poll;
    iocb write = pwrite_block(fd, "x", 1);
    EXPECT_EQ(submit(context, poll.block), 1);
    EXPECT_EQ(submit(context, write), 1);
    EXPECT_EQ(destroy(context.release()), 0);
    poll.end();
    close(poll.read_fd);
    close(poll.write_fd);
  }
}

AIOX_CASE("io_destroy waits for what is in flight, and wakes those who wait for events with EINVAL") {
  aiox_test::SlowFile slow;
  const int fd = slow.open(O_RDWR);
  Context owner;
  const io_context_t context = owner.release();
  slow.hold(aiox_test::SlowOp::kFsync);
  iocb block = fsync_block(fd);
  EXPECT_EQ(submit(context, block), 1);
  slow.wait_for_arrival(aiox_test::SlowOp::kFsync, 1);

  std::atomic<pid_t> waiter_id{0};
  long waited = 0;
  std::thread waiter([&] {
    io_event event;
    waiter_id = thread_id();
    waited = get_events(context, 1, 1, &event);
  });
  while (waiter_id == 0) sleep_ms(1);
  wait_until_asleep(waiter_id);

  std::atomic<bool> destroyed{false};
  std::atomic<pid_t> destroyer_id{0};
  std::thread destroyer([&] {
    destroyer_id = thread_id();
    EXPECT_EQ(destroy(context), 0);
    destroyed = true;
  });
  note("waiting for the waiter to be woken");
  waiter.join();
  EXPECT_EQ(waited, -EINVAL);
  while (destroyer_id == 0) sleep_ms(1);
  sleep_ms(50);
  EXPECT(!destroyed);
  EXPECT_EQ(submit(context, 0, nullptr), -EINVAL);
  slow.release(aiox_test::SlowOp::kFsync);
  note("waiting for io_destroy to end");
  destroyer.join();
}

AIOX_CASE("io_destroy wakes every thread that waits for events, whatever the timeout") {
  Context owner;
  const io_context_t context = owner.release();
  PendingPoll poll;
  EXPECT_EQ(submit(context, poll.block), 1);
  std::vector<std::thread> waiters;
  std::atomic<pid_t> ids[6] = {};
  long answers[6] = {};
  for (int i = 0; i < 6; ++i) {
    waiters.emplace_back([&, i] {
      io_event events[4];
      const timespec long_time = milliseconds(1000000);
      ids[i] = thread_id();
      answers[i] = get_events(context, 1 + i % 3, 4, events, i % 2 == 0 ? nullptr : &long_time);
    });
  }
  for (const std::atomic<pid_t>& id : ids) {
    while (id == 0) sleep_ms(1);
    wait_until_asleep(id);
  }
  EXPECT_EQ(destroy(context), 0);
  for (std::thread& thread : waiters) thread.join();
  // A poll that was cancelled by the destruction may have been handed to one of those who wanted one only.
  int told = 0;
  for (const long answer : answers) {
    EXPECT(answer == -EINVAL || answer == 1);
    if (answer == -EINVAL) ++told;
  }
  EXPECT(told >= 5);
}

AIOX_CASE("two threads that destroy one context: one does, the other is told EINVAL") {
  for (int round = 0; round < 50; ++round) {
    Context owner;
    const io_context_t context = owner.release();
    PendingPoll poll;
    EXPECT_EQ(submit(context, poll.block), 1);
    long other = 0;
    std::thread thread([&] { other = destroy(context); });
    const long mine = destroy(context);
    thread.join();
    EXPECT_EQ(mine + other, -EINVAL);
    EXPECT(mine == 0 || other == 0);
    close(poll.read_fd);
    close(poll.write_fd);
  }
}

// So many are accepted before any is reaped, then EAGAIN comes at some point; none is lost.
void fill(unsigned count, bool pending) {
  Context context(count);
  PendingPoll poll;
  const int file = open_temp_file();
  const size_t bound = 8 * count + 4096;
  std::vector<iocb> blocks(bound, pending ? poll.block : pwrite_block(file, "x", 1));
  size_t accepted = 0;
  long answer = 1;
  while (accepted < bound) {
    blocks[accepted].data = reinterpret_cast<void*>(accepted);
    answer = submit(context, blocks[accepted]);
    if (answer != 1) break;
    ++accepted;
  }
  EXPECT_EQ(answer, -EAGAIN);
  EXPECT(accepted >= count);
  if (pending) poll.end();
  std::vector<bool> seen(accepted, false);
  for (const io_event& event : reap(context, accepted)) {
    const size_t index = reinterpret_cast<size_t>(event.data);
    EXPECT(index < accepted && !seen[index]);
    EXPECT(event.obj == &blocks[index]);
    EXPECT(pending ? tells(result_in(event), POLLIN) : result_in(event) == 1);
    seen[index] = true;
  }
  expect_no_event(context);
  EXPECT_EQ(submit(context, blocks[0]), 1);  // there is room again
  reap_result(context, blocks[0]);
}

bool add_fill_cases() {
  for (const unsigned count : {1u, 2u, 7u, 64u, 127u, 128u, 1000u}) {
    const std::string of = "a context of " + std::to_string(count);
    aiox_test::add_case({of + " takes that many pending requests, EAGAIN comes beyond, and none is lost",
                         {}, {}, [count] { fill(count, true); }});
    aiox_test::add_case(
        {of + " takes that many requests that are done and not reaped, EAGAIN comes beyond, none is lost",
         {},
         {},
         [count] { fill(count, false); }});
  }
  return true;
}
[[maybe_unused]] const bool fill_cases_added = add_fill_cases();

AIOX_CASE("exactly the requested number is in flight again and again, submitted in one call") {
  constexpr int kCount = 32;
  Context context(kCount);
  for (int round = 0; round < 200; ++round) {
    PendingPoll poll;
    std::vector<iocb> blocks(kCount, poll.block);
    EXPECT_EQ(submit(context, blocks), kCount);
    poll.end();
    reap(context, kCount);
    expect_no_event(context);
    close(poll.read_fd);
    close(poll.write_fd);
  }
}

AIOX_CASE("exactly the requested number is in flight by several threads, again and again") {
  constexpr int kThreads = 4;
  Context context(kThreads * 4);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 100; ++round) {
        PendingPoll poll;
        std::vector<iocb> blocks(4, poll.block);
        EXPECT_EQ(submit(context, blocks), 4);
        poll.end();
        reap(context, 4);  // four of anybody's
        while (true) {     // until ours are ended, whoever took them
          char byte;
          if (read(poll.read_fd, &byte, 1) == 1) break;
        }
        // The blocks may still be reported to others: pipes stay open, and blocks are not looked at by those.
        close(poll.read_fd);
        close(poll.write_fd);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

std::atomic<int> callbacks{0};
void on_completion(io_context_t, iocb* block, long res, long res2) {
  EXPECT_EQ(res, 3);
  EXPECT_EQ(res2, 0);
  EXPECT(block->aio_lio_opcode == IO_CMD_PWRITE);
  ++callbacks;
}

AIOX_CASE("io_queue_init, io_queue_wait, io_queue_run and io_queue_release do as libaio's") {
  if (way() != Way::kNames) aiox_test::skip_case("names of libaio only");
  io_context_t context = nullptr;
  EXPECT_EQ(io_queue_init(0, &context), -EINVAL);
  EXPECT_EQ(io_queue_init(-1, &context), -EINVAL);
  EXPECT_EQ(io_queue_init(16, &context), 0);
  EXPECT(context != nullptr);
  EXPECT_EQ(io_queue_run(context), 0);
  const int fd = open_temp_file();
  std::vector<iocb> blocks(5, pwrite_block(fd, "abc", 3));
  for (iocb& block : blocks) io_set_callback(&block, on_completion);
  EXPECT_EQ(submit(context, blocks), 5);
  timespec short_time = milliseconds(1);
  EXPECT_EQ(io_queue_wait(context, &short_time), 0);
  while (callbacks < 5) EXPECT_EQ(io_queue_run(context), 0);
  EXPECT_EQ(io_queue_run(context), 0);
  EXPECT_EQ(callbacks.load(), 5);
  EXPECT_EQ(io_queue_release(context), 0);
  EXPECT_EQ(io_queue_release(context), -EINVAL);
}

bool is_answered_by_libc(const char* name) {
  Dl_info info{};
  void* const function = dlsym(RTLD_DEFAULT, name);
  EXPECT(function != nullptr && dladdr(function, &info) != 0);
  return std::strstr(info.dli_fname, "/libc.so") != nullptr;
}

AIOX_CASE("a context made by libaio's names is one to syscall(2), and the other way round") {
  if (!against_kernel() && is_answered_by_libc("syscall"))
    aiox_test::skip_case("syscall(2) is the C library's own here");
  const int fd = open_temp_file();
  io_context_t context = nullptr;
  EXPECT_EQ(io_setup(8, &context), 0);
  iocb block = pwrite_block(fd, "abc", 3);
  iocb* list[] = {&block};
  io_event event;
  EXPECT_EQ(syscall(SYS_io_submit, context, 1L, list), 1);
  EXPECT_EQ(io_getevents(context, 1, 1, &event, nullptr), 1);
  EXPECT_EQ(io_submit(context, 1, list), 1);
  EXPECT_EQ(syscall(SYS_io_getevents, context, 1L, 1L, &event, nullptr), 1);
  EXPECT_EQ(syscall(SYS_io_destroy, context), 0);
  EXPECT_EQ(io_destroy(context), -EINVAL);
}

}  // namespace
}  // namespace libaio_conformance
