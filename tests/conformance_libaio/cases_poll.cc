// cases_poll.cc - IO_CMD_POLL, io_cancel, and completion by eventfd.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

#include "calls.h"
#include "case_runner.h"
#include "channels.h"
#include "threads_and_signals.h"

namespace libaio_conformance {
namespace {

using aiox_test::note;
using conformance::open_pipe;
using conformance::open_socketpair;
using conformance::open_temp_file;
using conformance::Pipe;
using conformance::sleep_ms;
using conformance::SocketPair;

AIOX_CASE("a poll of what is ready completes, with what is asked for and is true") {
  Context context;
  const Pipe pipe = open_pipe();
  const SocketPair sockets = open_socketpair();
  const int event = eventfd(0, EFD_CLOEXEC), ready_event = eventfd(1, EFD_CLOEXEC);
  struct Row {
    int fd, events, expected;
  };
  for (const Row& row :
       {Row{open_temp_file(), POLLIN, POLLIN}, Row{open_temp_file(), POLLIN | POLLOUT, POLLIN | POLLOUT},
        Row{open_temp_file(), POLLIN | POLLOUT | POLLRDNORM, POLLIN | POLLOUT | POLLRDNORM},
        Row{pipe.write_fd, POLLOUT, POLLOUT}, Row{pipe.write_fd, POLLIN | POLLOUT, POLLOUT},
        Row{pipe.write_fd, POLLOUT | POLLWRNORM, POLLOUT | POLLWRNORM}, Row{sockets.a, POLLIN | POLLOUT, POLLOUT},
        Row{event, POLLIN | POLLOUT, POLLOUT}, Row{ready_event, POLLIN | POLLOUT, POLLIN | POLLOUT}}) {
    iocb block = poll_block(row.fd, row.events);
    EXPECT_EQ(run(context, block), row.expected);
  }
}

void poll_becoming_ready(int fd, int expected, const std::function<void()>& make_ready) {
  Context context;
  iocb block = poll_block(fd, expected & ~(POLLHUP | POLLERR));
  block.data = &context;
  EXPECT_EQ(submit(context, block), 1);
  expect_no_event(context);
  std::thread thread([&] {
    sleep_ms(5);
    make_ready();
  });
  EXPECT(tells(reap_result(context, block), expected));
  thread.join();
  expect_no_event(context);
}

AIOX_CASE("a poll of a pipe completes when another thread writes") {
  const Pipe pipe = open_pipe();
  poll_becoming_ready(pipe.read_fd, POLLIN, [&] { conformance::write_exactly(pipe.write_fd, "x"); });
}

AIOX_CASE("a poll of a full pipe completes when another thread reads") {
  const Pipe pipe = open_pipe();
  const size_t bytes = conformance::fill_up(pipe.write_fd);
  poll_becoming_ready(pipe.write_fd, POLLOUT, [&] { conformance::read_exactly(pipe.read_fd, bytes); });
}

AIOX_CASE("a poll of a socket completes when another thread writes") {
  const SocketPair sockets = open_socketpair();
  poll_becoming_ready(sockets.a, POLLIN, [&] { conformance::write_exactly(sockets.b, "x"); });
}

AIOX_CASE("a poll of an eventfd completes when another thread posts") {
  const int event = eventfd(0, EFD_CLOEXEC);
  poll_becoming_ready(event, POLLIN, [&] { eventfd_write(event, 1); });
}

AIOX_CASE("a poll completes with POLLHUP when the other end goes, asked for or not") {
  const Pipe pipe = open_pipe();
  poll_becoming_ready(pipe.read_fd, POLLHUP, [&] { close(pipe.write_fd); });
}

AIOX_CASE("a poll of a pipe whose reader is gone tells POLLERR") {
  Context context;
  const Pipe pipe = open_pipe();
  close(pipe.read_fd);
  iocb block = poll_block(pipe.write_fd, 0);
  EXPECT_EQ(run(context, block), POLLERR);
}

AIOX_CASE("a poll of a pipe whose writer is gone tells POLLHUP") {
  Context context;
  const Pipe pipe = open_pipe();
  close(pipe.write_fd);
  iocb block = poll_block(pipe.read_fd, POLLIN);
  EXPECT_EQ(run(context, block), POLLHUP);
}

AIOX_CASE("a poll for what a file of /proc tells of waits for it; what knows no waiting is refused") {
  Context context;
  iocb file = poll_block(open_temp_file(), POLLPRI),
       text = poll_block(open("/proc/version", O_RDONLY | O_CLOEXEC), POLLPRI);
  expect_refused(context, file, EINVAL);
  expect_refused(context, text, EINVAL);
  const bool may_mount = unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  const int mounts = open("/proc/self/mounts", O_RDONLY | O_CLOEXEC);
  iocb block = poll_block(mounts, POLLPRI);
  if (!against_kernel() && !has_direct_lane()) return expect_refused(context, block, EINVAL);
  EXPECT_EQ(submit(context, block), 1);
  sleep_ms(5);
  expect_no_event(context);
  if (may_mount && mount("aiox", "/mnt", "tmpfs", 0, nullptr) == 0) {
    EXPECT(tells(reap_result(context, block), POLLPRI | POLLERR));
    EXPECT_EQ(umount("/mnt"), 0);
    iocb again = poll_block(mounts, POLLPRI);
    EXPECT(tells(run(context, again), POLLPRI | POLLERR));  // it has happened already
    EXPECT_EQ(submit(context, block), 1);
  }
  io_event unused;
  EXPECT_EQ(cancel(context, &block, &unused), -EINPROGRESS);
  EXPECT_EQ(reap_result(context, block), 0);
  EXPECT_EQ(close(mounts), 0);
}

AIOX_CASE("a poll is for once, and takes nothing") {
  Context context;
  PendingPoll poll;
  poll.end();
  EXPECT_EQ(run(context, poll.block), POLLIN);
  expect_no_event(context);
  EXPECT_EQ(run(context, poll.block), POLLIN);
  EXPECT(conformance::read_exactly(poll.read_fd, 1) == "x");
}

AIOX_CASE("several polls of one descriptor all complete") {
  Context context(64);
  PendingPoll poll;
  std::vector<iocb> blocks(20, poll.block);
  EXPECT_EQ(submit(context, blocks), 20);
  expect_no_event(context);
  poll.end();
  std::vector<bool> seen(20, false);
  for (const io_event& event : reap(context, 20)) {
    const size_t index = static_cast<size_t>(event.obj - blocks.data());
    EXPECT(index < 20 && !seen[index]);
    seen[index] = true;
    EXPECT(tells(result_in(event), POLLIN));
  }
}

AIOX_CASE("polls for different events of one socket complete on their own") {
  Context context;
  const SocketPair sockets = open_socketpair();
  iocb in = poll_block(sockets.a, POLLIN), out = poll_block(sockets.a, POLLOUT), hup = poll_block(sockets.a, POLLRDHUP);
  EXPECT_EQ(submit(context, in), 1);
  EXPECT_EQ(submit(context, hup), 1);
  EXPECT_EQ(submit(context, out), 1);
  EXPECT(tells(reap_result(context, out), POLLOUT));
  sleep_ms(2);
  expect_no_event(context);
  conformance::write_exactly(sockets.b, "x");
  EXPECT(tells(reap_result(context, in), POLLIN));
  sleep_ms(2);
  expect_no_event(context);
  shutdown(sockets.b, SHUT_WR);
  EXPECT(tells(reap_result(context, hup), POLLRDHUP));
}

AIOX_CASE("polls race with what makes them ready, and none is lost") {
  Context context;
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::atomic<int> rounds{0};
  constexpr int kRounds = 3000;
  std::thread poster([&] {
    for (int i = 0; i < kRounds; ++i) {
      while (rounds < i) sched_yield();
      eventfd_write(event, 1);
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    iocb block = poll_block(event, POLLIN);
    EXPECT_EQ(submit(context, block), 1);
    EXPECT(tells(reap_result(context, block), POLLIN));
    eventfd_t value;
    EXPECT_EQ(eventfd_read(event, &value), 0);
    rounds = i + 1;
  }
  poster.join();
}

AIOX_CASE("io_cancel of a pending poll is EINPROGRESS, and its event comes with 0") {
  Context context;
  PendingPoll poll;
  io_event unused;
  for (int round = 0; round < 100; ++round) {
    EXPECT_EQ(submit(context, poll.block), 1);
    EXPECT_EQ(cancel(context, &poll.block, &unused), -EINPROGRESS);
    EXPECT_EQ(reap_result(context, poll.block), 0);
  }
  expect_no_event(context);
  poll.end();
  sleep_ms(2);
  expect_no_event(context);
}

AIOX_CASE("io_cancel of one poll leaves the others of its descriptor pending") {
  Context context;
  PendingPoll poll;
  io_event unused;
  std::vector<iocb> blocks(3, poll.block);
  EXPECT_EQ(submit(context, blocks), 3);
  EXPECT_EQ(cancel(context, &blocks[1], &unused), -EINPROGRESS);
  EXPECT_EQ(reap_result(context, blocks[1]), 0);
  expect_no_event(context);
  poll.end();
  for (const io_event& event : reap(context, 2)) {
    EXPECT(event.obj != &blocks[1]);
    EXPECT(tells(result_in(event), POLLIN));
  }
}

AIOX_CASE("io_cancel of what is not in flight is EINVAL") {
  Context context, other;
  PendingPoll poll;
  io_event unused;
  EXPECT_EQ(cancel(context, &poll.block, &unused), -EINVAL);
  EXPECT_EQ(cancel(nullptr, &poll.block, &unused), -EINVAL);
  EXPECT_EQ(submit(context, poll.block), 1);
  EXPECT_EQ(cancel(other, &poll.block, &unused), -EINVAL);  // in another context
  poll.block.key = 5;
  EXPECT_EQ(cancel(context, &poll.block, &unused), -EINVAL);  // with another key
  poll.block.key = 0;
  poll.end();
  EXPECT(tells(reap_result(context, poll.block), POLLIN));
  EXPECT_EQ(cancel(context, &poll.block, &unused), -EINVAL);  // complete
  const int fd = open_temp_file();
  iocb write = pwrite_block(fd, "x", 1);
  EXPECT_EQ(run(context, write), 1);
  EXPECT_EQ(cancel(context, &write, &unused), -EINVAL);
  expect_no_event(context);
}

AIOX_CASE("io_cancel of a complete request that is not reaped yet is EINVAL") {
  Context context;
  PendingPoll poll;
  poll.end();
  io_event unused;
  EXPECT_EQ(submit(context, poll.block), 1);
  EXPECT_EQ(cancel(context, &poll.block, &unused), -EINVAL);
  EXPECT_EQ(reap_result(context, poll.block), POLLIN);
}

AIOX_CASE("io_cancel without a block is EFAULT, the place for the event may be NULL") {
  Context context;
  PendingPoll poll;
  io_event unused;
  EXPECT_EQ(cancel(context, nullptr, &unused), -EFAULT);
  EXPECT_EQ(cancel(context, BadMemory().at<iocb>(4096), &unused), -EFAULT);
  EXPECT_EQ(submit(context, poll.block), 1);
  EXPECT_EQ(cancel(context, &poll.block, nullptr), -EINPROGRESS);
  EXPECT_EQ(reap_result(context, poll.block), 0);
}

AIOX_CASE("io_cancel of a read that waits on a stream") {
  if (!differs_from_kernel(kIdleReadsCanBeCancelled)) {
    // The submitter is in io_submit; nothing of the read is known, and data is all that ends it.
    Context context;
    const Pipe pipe = open_pipe();
    char memory[8];
    iocb block = pread_block(pipe.read_fd, memory, 8);
    io_event unused;
    std::atomic<pid_t> id{0};
    std::thread submitter([&] {
      id = conformance::thread_id();
      EXPECT_EQ(submit(context, block), 1);
    });
    while (id == 0) sleep_ms(1);
    wait_until_asleep(id);
    EXPECT_EQ(cancel(context, &block, &unused), -EINVAL);
    conformance::write_exactly(pipe.write_fd, "abc");
    submitter.join();
    EXPECT_EQ(reap_result(context, block), 3);
    return;
  }
  Context context;
  for (const int fd : {open_pipe().read_fd, open_socketpair().a}) {
    char memory[8];
    iocb block = pread_block(fd, memory, 8);
    io_event unused;
    for (int round = 0; round < 50; ++round) {
      EXPECT_EQ(submit(context, block), 1);
      if (round % 2 == 0) sleep_ms(1);
      EXPECT_EQ(cancel(context, &block, &unused), -EINPROGRESS);
      EXPECT_EQ(reap_result(context, block), -ECANCELED);
      expect_no_event(context);
      EXPECT_EQ(cancel(context, &block, &unused), -EINVAL);
    }
  }
}

AIOX_CASE("a cancelled stream read takes no data; the next one has it") {
  if (!differs_from_kernel(kIdleReadsCanBeCancelled)) return;
  Context context;
  const Pipe pipe = open_pipe();
  char first[8], second[8];
  iocb one = pread_block(pipe.read_fd, first, 8), two = pread_block(pipe.read_fd, second, 8);
  io_event unused;
  EXPECT_EQ(submit(context, one), 1);
  EXPECT_EQ(submit(context, two), 1);
  EXPECT_EQ(cancel(context, &one, &unused), -EINPROGRESS);
  EXPECT_EQ(reap_result(context, one), -ECANCELED);
  conformance::write_exactly(pipe.write_fd, "abc");
  EXPECT_EQ(reap_result(context, two), 3);
}

AIOX_CASE("io_destroy with reads that wait on streams does not wait for them") {
  if (!differs_from_kernel(kDestroyCancelsIdleReads)) return;
  static char memory[16];
  for (int round = 0; round < 20; ++round) {
    Context context;
    const Pipe pipe = open_pipe();
    const SocketPair sockets = open_socketpair();
    iocb from_pipe = pread_block(pipe.read_fd, memory, 8), from_socket = pread_block(sockets.a, memory + 8, 8);
    EXPECT_EQ(submit(context, from_pipe), 1);
    EXPECT_EQ(submit(context, from_socket), 1);
    note("io_destroy with reads that wait on streams");
    EXPECT_EQ(destroy(context.release()), 0);
    conformance::write_exactly(pipe.write_fd, "abc");  // for whoever reads now
    EXPECT(conformance::read_exactly(pipe.read_fd, 3) == "abc");
    conformance::write_exactly(sockets.b, "abc");
    EXPECT(conformance::read_exactly(sockets.a, 3) == "abc");
    for (const int fd : {pipe.read_fd, pipe.write_fd, sockets.a, sockets.b}) close(fd);
  }
}

AIOX_CASE("whatever io_cancel answers it is never 0, and exactly one event comes") {
  Context context;
  const conformance::Channel direct = conformance::open_channel(conformance::Kind::kDirect);
  const int file = open_temp_file();
  char* const memory = conformance::aligned_memory(65536);
  io_event unused;
  for (int round = 0; round < 200; ++round) {
    PendingPoll poll;
    std::vector<iocb> blocks{poll.block, pwrite_block(direct.write_fd, memory, 65536), pwrite_block(file, memory, 4096),
                             fsync_block(direct.write_fd)};
    EXPECT_EQ(submit(context, blocks), 4);
    std::thread ready;
    if (round % 2 == 0) ready = std::thread([&] { poll.end(); });
    for (iocb& block : blocks) {
      const long answer = cancel(context, &block, &unused);
      EXPECT(answer == -EINPROGRESS || answer == -EINVAL || answer == -EAGAIN);
      if (&block == &blocks[0] && round % 2 != 0) EXPECT_EQ(answer, -EINPROGRESS);
    }
    std::vector<int> seen(4, 0);
    for (const io_event& event : reap(context, 4)) {
      const size_t index = static_cast<size_t>(event.obj - blocks.data());
      EXPECT(index < 4);
      ++seen[index];
      const long result = result_in(event);
      if (index == 0) EXPECT(result == 0 || tells(result, POLLIN));
      if (index == 1) EXPECT(result == 65536 || result == -ECANCELED);
      if (index == 2) EXPECT(result == 4096 || result == -ECANCELED);
      if (index == 3) EXPECT(result == 0 || result == -ECANCELED);
    }
    for (const int count : seen) EXPECT_EQ(count, 1);
    expect_no_event(context);
    if (ready.joinable()) ready.join();
    close(poll.read_fd);
    close(poll.write_fd);
  }
}

// Takes what there is of an eventfd that does not block.
uint64_t take(int event) {
  eventfd_t value = 0;
  return eventfd_read(event, &value) == 0 ? value : 0;
}

void resfd_counts(int flags) {
  Context context(128);
  const int event = eventfd(0, EFD_CLOEXEC | flags);
  const int file = open_temp_file();
  std::vector<iocb> blocks;
  for (int i = 0; i < 100; ++i) {
    iocb block = i % 3 == 0   ? pwrite_block(file, "abc", 3)
                 : i % 3 == 1 ? fsync_block(file)
                              : poll_block(file, POLLIN);
    if (i % 5 != 0) io_set_eventfd(&block, event);
    blocks.push_back(block);
  }
  EXPECT_EQ(submit(context, blocks), 100);
  reap(context, 100);
  uint64_t total = 0;
  while (total < 80) {  // the signal may come a moment after the event
    pollfd wait{event, POLLIN, 0};
    EXPECT(poll(&wait, 1, -1) == 1);
    eventfd_t value;
    EXPECT_EQ(eventfd_read(event, &value), 0);
    total += value;
  }
  EXPECT_EQ(total, 80u);
  pollfd wait{event, POLLIN, 0};
  EXPECT_EQ(poll(&wait, 1, 5), 0);
}

AIOX_CASE("RESFD: the eventfd counts exactly the events") { resfd_counts(0); }
AIOX_CASE("RESFD: the eventfd counts exactly the events, with EFD_NONBLOCK") { resfd_counts(EFD_NONBLOCK); }

AIOX_CASE("RESFD with EFD_SEMAPHORE gives one per event") {
  Context context;
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
  const int file = open_temp_file();
  iocb block = pwrite_block(file, "abc", 3);
  io_set_eventfd(&block, event);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(run(context, block), 3);
  int count = 0;
  for (int waited = 0; count < 5 && waited < 5000; ++waited) {
    if (take(event) == 1) ++count;
    else sleep_ms(1);
  }
  EXPECT_EQ(count, 5);
  EXPECT_EQ(take(event), 0u);
}

// As many requests as there is room for and more: the kernel's completion fills the count up and never waits.
void resfd_at_the_top(int flags, eventfd_t room) {
  constexpr eventfd_t kMost = UINT64_MAX - 1;  // of write(2)
  Context context;
  const int event = eventfd(0, EFD_CLOEXEC | flags);
  eventfd_write(event, kMost - room);
  const int file = open_temp_file();
  char memory[512] = {};
  for (eventfd_t i = 0; i < room + 3; ++i) {
    iocb block = i % 2 == 0 ? pwrite_block(file, memory, 512) : pread_block(file, memory, 512);
    io_set_eventfd(&block, event);
    note("a request whose eventfd is full");
    EXPECT_EQ(run(context, block), 512);
  }
  pollfd entry = {event, POLLIN, 0};
  while (poll(&entry, 1, 1000) == 1 && (entry.revents & POLLERR) == 0) sleep_ms(1);  // it comes after its event
  eventfd_t value = 0;
  EXPECT_EQ(eventfd_read(event, &value), 0);
  EXPECT_EQ(value, UINT64_MAX);
  iocb block = pread_block(file, memory, 512);
  io_set_eventfd(&block, event);
  EXPECT_EQ(run(context, block), 512);
  while (poll(&entry, 1, 1000) != 1) {
  }
  EXPECT_EQ(eventfd_read(event, &value), 0);
  EXPECT_EQ(value, 1u);
}

AIOX_CASE("RESFD: an eventfd with no room is filled up, and nothing waits for it") { resfd_at_the_top(0, 0); }
AIOX_CASE("RESFD: an eventfd with room for two more, EFD_NONBLOCK, is filled up") { resfd_at_the_top(EFD_NONBLOCK, 2); }

AIOX_CASE("RESFD: when the eventfd is readable the event is there") {
  Context context;
  const int event = eventfd(0, EFD_CLOEXEC);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event wanted{};
  wanted.events = EPOLLIN;
  EXPECT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &wanted), 0);
  const conformance::Channel direct = conformance::open_channel(conformance::Kind::kDirect);
  char* const memory = conformance::aligned_memory(4096);
  PendingPoll poll;
  for (int round = 0; round < 600; ++round) {
    iocb block = round % 4 == 0   ? pwrite_block(direct.write_fd, memory, 4096)
                 : round % 4 == 1 ? pread_block(direct.read_fd, memory, 4096)
                 : round % 4 == 2 ? fdsync_block(direct.read_fd)
                                  : poll.block;
    io_set_eventfd(&block, event);
    EXPECT_EQ(submit(context, block), 1);
    if (round % 4 == 3) poll.end();
    epoll_event got{};
    EXPECT_EQ(epoll_wait(epoll, &got, 1, -1), 1);
    io_event completed;
    const timespec at_once{};
    EXPECT_EQ(get_events(context, 1, 1, &completed, &at_once), 1);
    EXPECT(completed.obj == &block);
    eventfd_t value;
    EXPECT_EQ(eventfd_read(event, &value), 0);
    EXPECT_EQ(value, 1u);
    if (round % 4 == 3) conformance::read_exactly(poll.read_fd, 1);
  }
}

AIOX_CASE("RESFD: the eventfd may be closed right after io_submit, and others keep their own") {
  Context context;
  PendingPoll poll;
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), kept = dup(event);
  io_set_eventfd(&poll.block, event);
  EXPECT_EQ(submit(context, poll.block), 1);
  close(event);
  const int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);  // takes the number
  poll.end();
  EXPECT(tells(reap_result(context, poll.block), POLLIN));
  if (!differs_from_kernel(kClosedEventfdIsLetGo)) {
    pollfd wait{kept, POLLIN, 0};
    EXPECT_EQ(::poll(&wait, 1, -1), 1);
    EXPECT_EQ(take(kept), 1u);
  }
  EXPECT_EQ(take(other), 0u);
}

AIOX_CASE("RESFD: a cancelled request posts as any other") {
  Context context;
  PendingPoll poll;
  const int event = eventfd(0, EFD_CLOEXEC);
  io_set_eventfd(&poll.block, event);
  io_event unused;
  EXPECT_EQ(submit(context, poll.block), 1);
  EXPECT_EQ(cancel(context, &poll.block, &unused), -EINPROGRESS);
  eventfd_t value;
  EXPECT_EQ(eventfd_read(event, &value), 0);  // waits for it
  EXPECT_EQ(value, 1u);
  EXPECT_EQ(reap_result(context, poll.block), 0);
}

AIOX_CASE("RESFD: several contexts and threads post to one eventfd, and its count is theirs together") {
  constexpr int kThreads = 4, kRounds = 200;
  const int event = eventfd(0, EFD_CLOEXEC);
  const int file = open_temp_file();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      Context context;
      iocb block = pwrite_block(file, "abc", 3);
      io_set_eventfd(&block, event);
      for (int round = 0; round < kRounds; ++round) EXPECT_EQ(run(context, block), 3);
    });
  }
  uint64_t total = 0;
  while (total < kThreads * kRounds) {
    eventfd_t value;
    EXPECT_EQ(eventfd_read(event, &value), 0);
    total += value;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(total, static_cast<uint64_t>(kThreads * kRounds));
}

}  // namespace
}  // namespace libaio_conformance
