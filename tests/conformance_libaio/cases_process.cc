// cases_process.cc - fork, exec, exit, and threads that end.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include "calls.h"
#include "case_runner.h"
#include "channels.h"
#include "threads_and_signals.h"

namespace libaio_conformance {
namespace {

using aiox_test::note;
using conformance::open_temp_file;

// Runs it in a child, which must end well.
void in_child(const std::function<void()>& body) {
#if defined(__SANITIZE_ADDRESS__)
  // gcc 12's allocator of it does not hold its locks over a fork: in the child it may be locked for ever.
  aiox_test::skip_case("AddressSanitizer: a thread may be allocating when the process forks");
#endif
  const pid_t child = fork();
  EXPECT(child >= 0);
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  note("waiting for a child");
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

AIOX_CASE("in a child the context is EINVAL, the child makes its own, and the parent's goes on") {
  aiox_test::skip_if_no_threads_in_children();
  Context context;
  PendingPoll poll;
  const int fd = open_temp_file();
  iocb done = pwrite_block(fd, "abc", 3);
  EXPECT_EQ(submit(context, poll.block), 1);
  EXPECT_EQ(submit(context, done), 1);
  in_child([&] {
    io_event event;
    iocb block = pwrite_block(fd, "xyz", 3, 100);
    const timespec short_time = milliseconds(1);
    EXPECT_EQ(submit(context, block), -EINVAL);
    EXPECT_EQ(submit(context, 0, nullptr), -EINVAL);
    EXPECT_EQ(get_events(context, 1, 1, &event, &short_time), -EINVAL);
    EXPECT_EQ(pget_events(context, 1, 1, &event, nullptr, nullptr), -EINVAL);
    EXPECT_EQ(cancel(context, &poll.block, &event), -EINVAL);
    EXPECT_EQ(destroy(context), -EINVAL);
    Context own;
    EXPECT_EQ(run(own, block), 3);
    PendingPoll own_poll;
    EXPECT_EQ(submit(own, own_poll.block), 1);
    own_poll.end();
    EXPECT(tells(reap_result(own, own_poll.block), POLLIN));
  });
  EXPECT_EQ(reap_result(context, done), 3);
  expect_no_event(context);
  poll.end();
  EXPECT(tells(reap_result(context, poll.block), POLLIN));
  EXPECT_EQ(run(context, done), 3);
}

AIOX_CASE("children of children make contexts of their own") {
  aiox_test::skip_if_no_threads_in_children();
  Context context;
  const int fd = open_temp_file();
  const auto use = [&] {
    Context own;
    iocb block = pwrite_block(fd, "abc", 3);
    EXPECT_EQ(run(own, block), 3);
  };
  in_child([&] {
    use();
    in_child(use);
    use();
  });
  use();
}

AIOX_CASE("fork while other threads submit and reap") {
  aiox_test::skip_if_no_threads_in_children();
  std::atomic<bool> stop{false};
  const int fd = open_temp_file();
  std::thread thread([&] {
    Context context;
    iocb block = pwrite_block(fd, "abc", 3);
    while (!stop) EXPECT_EQ(run(context, block), 3);
  });
  for (int i = 0; i < 20; ++i) {
    in_child([&] {
      Context own;
      iocb block = pwrite_block(fd, "abc", 3);
      EXPECT_EQ(run(own, block), 3);
      own.release();
    });
  }
  stop = true;
  thread.join();
}

// Leaves requests of several kinds in flight and a context behind.
void leave_requests() {
  static Context context(256);
  static PendingPoll poll;
  static char* const memory = conformance::aligned_memory(1 << 20);
  static std::vector<iocb> blocks;
  const conformance::Channel direct = conformance::open_channel(conformance::Kind::kDirect);
  blocks.push_back(poll.block);
  for (int i = 0; i < 16; ++i) {
    blocks.push_back(pwrite_block(direct.write_fd, memory + i * 65536, 65536, i * 65536));
    blocks.push_back(fsync_block(direct.write_fd));
  }
  if (differs_from_kernel(kSubmitDoesNotWait)) {
    blocks.push_back(pread_block(conformance::open_pipe().read_fd, memory, 8));
  }
  EXPECT_EQ(submit(context, blocks), static_cast<long>(blocks.size()));
}

AIOX_CASE("_exit with requests in flight ends the process") {
  in_child([] { leave_requests(); });
}

AIOX_CASE("exit with requests in flight ends the process") {
  in_child([] {
    leave_requests();
    new Context;
    quick_exit(0);
  });
}

AIOX_CASE("exec with requests in flight starts the program") {
  in_child([] {
    leave_requests();
    execl("/bin/true", "true", nullptr);
    _exit(3);
  });
}

AIOX_CASE("a killed process leaves nothing that keeps its files busy") {
  const pid_t child = fork();
  if (child == 0) {
    leave_requests();
    raise(SIGKILL);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT(WIFSIGNALED(status));
}

AIOX_CASE("the events of a thread that has ended come to others") {
  Context context(64);
  const int fd = open_temp_file();
  const conformance::Channel direct = conformance::open_channel(conformance::Kind::kDirect);
  char* const memory = conformance::aligned_memory(4096);
  for (int round = 0; round < 50; ++round) {
    PendingPoll poll;
    std::vector<iocb> blocks{poll.block, pwrite_block(fd, "abc", 3), fsync_block(fd),
                             pwrite_block(direct.write_fd, memory, 4096)};
    std::thread([&] { EXPECT_EQ(submit(context, blocks), 4); }).join();
    poll.end();
    for (const io_event& event : reap(context, 4)) {
      const long result = result_in(event);
      if (event.obj == &blocks[0]) EXPECT(tells(result, POLLIN));
      if (event.obj == &blocks[1]) EXPECT_EQ(result, 3);
      if (event.obj == &blocks[2]) EXPECT_EQ(result, 0);
      if (event.obj == &blocks[3]) EXPECT_EQ(result, 4096);
    }
    close(poll.read_fd);
    close(poll.write_fd);
  }
}

AIOX_CASE("stream reads of a thread that has ended come to others") {
  if (!differs_from_kernel(kSubmitDoesNotWait)) return;
  Context context;
  const conformance::Pipe pipe = conformance::open_pipe();
  char memory[8];
  iocb block = pread_block(pipe.read_fd, memory, 8);
  std::thread([&] { EXPECT_EQ(submit(context, block), 1); }).join();
  conformance::sleep_ms(5);
  expect_no_event(context);
  conformance::write_exactly(pipe.write_fd, "abc");
  EXPECT_EQ(reap_result(context, block), 3);
}

AIOX_CASE("the calls need little of a thread's stack") {
  static Context context;
  static const int fd = open_temp_file();
  pthread_attr_t attributes;
  EXPECT_EQ(pthread_attr_init(&attributes), 0);
  EXPECT_EQ(pthread_attr_setstacksize(&attributes, aiox_test::kSanitized ? 262144 : 16384), 0);
  pthread_t thread;
  const auto body = [](void*) -> void* {
    static iocb block = pwrite_block(fd, "abc", 3);
    static iocb* list[] = {&block};
    static io_event event;
    EXPECT_EQ(submit(context, 1, list), 1);
    EXPECT_EQ(get_events(context, 1, 1, &event), 1);
    return nullptr;
  };
  EXPECT_EQ(pthread_create(&thread, &attributes, body, nullptr), 0);
  EXPECT_EQ(pthread_join(thread, nullptr), 0);
}

}  // namespace
}  // namespace libaio_conformance
