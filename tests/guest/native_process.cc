// native_process.cc - submitter_exit.cc, fork.cc and spawn.cc for programs of libaio: requests belong to the process
// and not to a thread, a child has nothing of its parent's and may begin at once, and what io_submit took is done
// whatever becomes of the process, as far as the kernel would have done it.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "native.h"

extern char** environ;

using namespace guest;

namespace {

constexpr unsigned kRequests = 64;

void outlive(bool is_direct, Reap way) {
  int fd = load_file(is_direct);
  if (fd < 0) skip("O_DIRECT is not supported here");
  NativeContext context(kRequests, way);
  NativeRequests requests = native_requests(kRequests);
  for (unsigned round = 0; round < trials(50); ++round) {
    if (!is_direct) drop_cache(fd);
    for (auto& request : requests) request->read(fd, random_below(kLoadFileBytes / 4096) * 4096);
    std::thread([&] { context.submit(requests); }).join();
    context.finish();
    for (auto& request : requests) {
      request->expect_all();
      request->check_pattern();
    }
  }
}

}  // namespace

GUEST_PROPERTY(native_cold_reads_outlive_their_thread) {
  load_file(false);
  for (Reap way : kEveryWay) outlive(false, way);
}

GUEST_PROPERTY(native_direct_reads_outlive_their_thread) {
  load_file(false);
  for (Reap way : kEveryWay) outlive(true, way);
}

// Each thread's context as well is made by a thread that is gone when the events come.
GUEST_PROPERTY(native_pipe_reads_outlive_their_thread) {
  if (!is_answered_by_aiox()) skip("the kernel's io_submit waits for pipes");
  for (unsigned round = 0; round < trials(50); ++round) {
    int ends[4][2];
    for (auto& pair : ends) CHECK(pipe2(pair, O_CLOEXEC) == 0);
    NativeRequests requests = native_requests(kRequests, 4);
    for (unsigned i = 0; i < kRequests; ++i) requests[i]->read(ends[i % 4][0], 0);
    std::unique_ptr<NativeContext> context;
    std::thread([&] {
      context = std::make_unique<NativeContext>(kRequests, kEveryWay[round % 4]);
      context->submit(requests);
    }).join();
    if (round % 2) sleep_ms(2);
    CHECK(context->reap_some() == 0);
    for (unsigned i = 0; i < kRequests; ++i) CHECK(write(ends[i % 4][1], &i, 4) == 4);
    std::thread([&] { context->finish(); }).join();
    for (unsigned i = 0; i < kRequests; ++i) {
      requests[i]->expect_all();
      unsigned got;
      memcpy(&got, requests[i]->buffer, 4);
      if (got != i) FAIL("read %u of its pipe brought the bytes of read %u", i, got);
    }
    for (auto& pair : ends) close(pair[0]), close(pair[1]);
  }
}

namespace {

// What of its parent's a child sees: that there is nothing.
void expect_nothing_of(aio_context_t parents, NativeRequest& parents_read) {
  io_event event;
  timespec none{0, 0};
  iocb* list[] = {&parents_read.block};
  // The memory of the ring can be looked at, as the kernel's can.
  CHECK(*reinterpret_cast<volatile uint32_t*>(parents + 16) == 0xa10a10a1);
  CHECK(native_events(parents, 0, 1, &event, &none) == -EINVAL);
  CHECK(native_submit(parents, 1, list) == -EINVAL);
  CHECK(native_cancel(parents, &parents_read.block, &event) == -EINVAL);
  CHECK(native_destroy(parents) == -EINVAL);
}

}  // namespace

GUEST_PROPERTY(native_forked_child_uses_aio_while_parents_requests_fly) {
  for (Reap way : kEveryWay) {
    NativeLoad load(32, 2, way);
    for (unsigned round = 0; round < trials(10); ++round) {
      load.submit();
      pid_t child = fork_child([&] {
        NativeRequest parents_read;
        expect_nothing_of(load.context.id(), parents_read.read(0, 0));
        use_native_aio_a_little();
        NativeLoad own(8, 1, way);
        own.submit();
        expect_nothing_of(load.context.id(), parents_read);
        own.finish();
      });
      load.finish();
      expect_clean_exit(child);
    }
  }
}

GUEST_PROPERTY(native_events_of_the_parent_do_not_appear_in_the_child) {
  if (!is_answered_by_aiox()) skip("the kernel's io_submit waits for pipes");
  for (unsigned round = 0; round < trials(20); ++round) {
    int ends[2], go[2];
    CHECK(pipe(ends) == 0 && pipe(go) == 0);
    NativeContext context(4, kEveryWay[round % 4]);
    NativeRequests reads = native_requests(4, 8);
    for (auto& read : reads) read->read(ends[0], 0);
    context.submit(reads);
    if (round % 2) sleep_ms(2);
    pid_t child = fork_child([&] {
      NativeContext own(4);
      NativeRequest request;
      own.submit(request.read(load_file(false), 4096));
      own.finish();
      request.check_pattern();
      CHECK(write(ends[1], "parents!parents!parents!parents!", 32) == 32);
      CHECK(write(go[1], "x", 1) == 1);
      sleep_ms(20);
      CHECK(own.reap_some() == 0);
      for (auto& read : reads) CHECK(read->buffer[0] == 0);
    });
    char byte;
    CHECK(read(go[0], &byte, 1) == 1);
    context.finish();
    for (auto& read : reads) {
      read->expect_all();
      CHECK(memcmp(read->buffer, "parents!", 8) == 0);
    }
    expect_clean_exit(child);
    close(ends[0]), close(ends[1]), close(go[0]), close(go[1]);
  }
}

GUEST_PROPERTY(native_hundreds_of_forks_under_load) {
  NativeLoad prepared(1, 0);
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 2; ++t)
    threads.emplace_back([&, t] {
      while (!is_over) {
        NativeLoad load(16, 1, kEveryWay[t]);
        load.submit();
        load.finish();
      }
    });
  for (unsigned i = 0; i < trials(200); ++i)
    expect_clean_exit(fork_child([&] {
      if (i % 4 == 0) return;
      NativeContext context(1);
      NativeRequest request;
      context.submit(request.read(load_file(i % 2), i % 16 * 4096));
      context.finish();
      request.expect_all();
      request.check_pattern();
    }));
  is_over = true;
  for (auto& thread : threads) thread.join();
}

namespace {

const char* const kTrue[] = {"/bin/true", nullptr};

void under_load(const std::function<void()>& body) {
  for (Reap way : kEveryWay) {
    NativeLoad load(16, 2, way);
    for (unsigned i = 0; i < trials(10); ++i) {
      load.submit();
      body();
      load.finish();
    }
  }
}

}  // namespace

GUEST_PROPERTY(native_vfork_spawn_system_and_clone_under_load) {
  int fd = pattern_file(64 * 1024);
  under_load([fd] {
    // The child shares the parent's memory but not its descriptors: its close() must not be taken for the parent's.
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
      close(fd);
      close(load_file(true));
      execv(kTrue[0], const_cast<char**>(kTrue));
      _exit(9);
    }
    expect_clean_exit(child);
    CHECK((child = vfork()) >= 0);
    if (child == 0) _exit(0);
    expect_clean_exit(child);
  });
  under_load([] {
    pid_t child;
    CHECK(posix_spawn(&child, kTrue[0], nullptr, nullptr, const_cast<char**>(kTrue), environ) == 0);
    expect_clean_exit(child);
    CHECK(system("exit 3") == 3 << 8);
  });
  under_load([] {
    // What a runtime with its own system calls does: a fork that no library was told of.
    long child = syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    CHECK(child >= 0);
    if (child == 0) {
      alarm(30);
      use_native_aio_a_little();
      _exit(0);
    }
    expect_clean_exit(pid_t(child));
  });
}

GUEST_PROPERTY(native_exec_and_exit_with_requests_in_flight) {
  NativeLoad prepared(1, 0);
  for (unsigned i = 0; i < trials(40); ++i)
    expect_clean_exit(fork_child([i] {
      auto* load = new NativeLoad(32, 2, kEveryWay[i / 4 % 4]);
      load->submit();
      if (i % 4 == 0) exit(0);
      if (i % 4 == 1) _exit(0);
      if (i % 4 == 2) quick_exit(0);
      execv(kTrue[0], const_cast<char**>(kTrue));
      _exit(9);
    }));
}

GUEST_PROPERTY(native_aio_in_a_daemon) {
  for (unsigned i = 0; i < trials(10); ++i) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    expect_clean_exit(fork_child([&] {
      auto* load = new NativeLoad(16, 1);
      load->submit();
      CHECK(daemon(1, 1) == 0);  // the parent of the daemon ends here
      alarm(30);
      use_native_aio_a_little();
      CHECK(write(ends[1], "done", 4) == 4);
      _exit(0);
    }));
    close(ends[1]);
    char text[5] = "";
    CHECK(read(ends[0], text, 4) == 4 && strcmp(text, "done") == 0);
    close(ends[0]);
  }
}

namespace {

enum class Ending { kReturn, kQuickExit, kExitNow, kExec, kKilled };

// The kernel's io_submit has put buffered writes into the page cache, and its exit waits for O_DIRECT ones.
void expect_writes_after(Ending ending, int flags, size_t size_bytes) {
  constexpr unsigned kWrites = 64;
  std::string path = scratch_path("left");
  close(pattern_file_at(path, kWrites * size_bytes, 0));
  int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | flags);
  if (fd < 0) return;
  pid_t child = fork_child([&] {
    NativeContext* context = new NativeContext(kWrites);
    NativeRequests& writes = *new NativeRequests(native_requests(kWrites, size_bytes));
    for (unsigned i = 0; i < kWrites; ++i) {
      writes[i]->fill(static_cast<unsigned char>(100 + i));
      writes[i]->write(fd, i * size_bytes);
    }
    context->submit(writes);
    switch (ending) {
      case Ending::kReturn: exit(0);
      case Ending::kExitNow: _exit(0);
      case Ending::kQuickExit: quick_exit(0);
      case Ending::kExec: execv(kTrue[0], const_cast<char**>(kTrue)); _exit(9);
      default: kill(getpid(), SIGKILL);
    }
  });
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  CHECK(status == 0 || (ending == Ending::kKilled && WIFSIGNALED(status)));
  close(fd);
  fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::vector<unsigned char> bytes(size_bytes);
  unsigned lost = 0;
  for (unsigned i = 0; i < kWrites; ++i) {
    CHECK(pread(fd, bytes.data(), size_bytes, off_t(i * size_bytes)) == ssize_t(size_bytes));
    for (unsigned char byte : bytes)
      if (byte != 100 + i) {
        ++lost;
        break;
      }
  }
  close(fd);
  unlink(path.c_str());
  if (lost > 0)
    FAIL("ending %d: %u of %u writes of %zu bytes are not in the file", int(ending), lost, kWrites, size_bytes);
}

void expect_writes_after_each(std::initializer_list<Ending> endings, int flags) {
  for (Ending ending : endings)
    for (size_t size_bytes : {size_t(4096), size_t(65536)})
      for (unsigned round = 0; round < trials(2); ++round) expect_writes_after(ending, flags, size_bytes);
}

}  // namespace

GUEST_PROPERTY(native_buffered_writes_are_in_the_file_after_exit) {
  expect_writes_after_each({Ending::kReturn, Ending::kQuickExit}, 0);
}

GUEST_PROPERTY(native_direct_writes_are_in_the_file_after_exit) {
  expect_writes_after_each({Ending::kReturn, Ending::kQuickExit}, O_DIRECT);
}

// Where no library is asked.
GUEST_PROPERTY(native_buffered_writes_are_in_the_file_after_any_end) {
  expect_writes_after_each({Ending::kExitNow, Ending::kExec, Ending::kKilled}, 0);
}

GUEST_PROPERTY(native_direct_writes_are_in_the_file_after_any_end) {
  expect_writes_after_each({Ending::kExitNow, Ending::kExec, Ending::kKilled}, O_DIRECT);
}
