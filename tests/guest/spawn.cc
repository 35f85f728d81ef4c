// spawn.cc - the other ways out of a process: vfork, posix_spawn, system, exec, exit, daemon. None may hang, crash or
// lose what the parent has in flight.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "guest.h"

extern char** environ;

using namespace guest;

namespace {

void under_load(unsigned rounds, const std::function<void()>& body) {
  Load load(16, 2);
  for (unsigned i = 0; i < rounds; ++i) {
    load.submit();
    body();
    load.finish();
  }
}

const char* const kTrue[] = {"/bin/true", nullptr};

}  // namespace

GUEST_PROPERTY(vfork_under_load) {
  under_load(trials(60), [] {
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
      execv(kTrue[0], const_cast<char**>(kTrue));
      _exit(9);
    }
    expect_clean_exit(child);
  });
}

GUEST_PROPERTY(vforked_child_may_just_exit) {
  under_load(trials(60), [] {
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) _exit(0);
    expect_clean_exit(child);
  });
}

GUEST_PROPERTY(vforked_child_may_close_descriptors) {
  int fd = pattern_file(64 * 1024);
  // The child shares the parent's memory but not its descriptors: its close() must not be taken for the parent's.
  under_load(trials(60), [fd] {
    Request write, read;
    write.fill(9);
    write.write(fd, 4096);
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
      close(fd);
      execv(kTrue[0], const_cast<char**>(kTrue));
      _exit(9);
    }
    read.read(fd, 8192);
    expect_clean_exit(child);
    write.wait_for_all();
    read.wait_for_all();
    read.check_pattern();
  });
}

// Closing a pipe cancels what waits for it: here it is not the parent's descriptor that is closed.
GUEST_PROPERTY(vforked_child_may_close_a_pipe_that_is_read_from) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  under_load(trials(30), [&ends] {
    Request read(1);
    read.read(ends[0], 0);
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
      close(ends[0]);
      close_range(3, ~0u, 0);
      execv(kTrue[0], const_cast<char**>(kTrue));
      _exit(9);
    }
    expect_clean_exit(child);
    CHECK(write(ends[1], "x", 1) == 1);
    read.wait_for_all();
  });
}

GUEST_PROPERTY(posix_spawn_under_load) {
  under_load(trials(60), [] {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, 2, 1);
    pid_t child;
    CHECK(posix_spawn(&child, kTrue[0], &actions, nullptr, const_cast<char**>(kTrue), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    expect_clean_exit(child);
  });
}

GUEST_PROPERTY(system_and_popen_under_load) {
  under_load(trials(40), [] {
    CHECK(system("exit 3") == 3 << 8);
    FILE* pipe = popen("echo heard", "r");
    char line[16] = "";
    CHECK(pipe && fgets(line, sizeof line, pipe) && strcmp(line, "heard\n") == 0);
    CHECK(pclose(pipe) == 0);
  });
}

GUEST_PROPERTY(exec_with_requests_in_flight) {
  Load prepared(1, 0);
  for (unsigned i = 0; i < trials(40); ++i)
    expect_clean_exit(fork_child([] {
      Load load(32, 2);
      load.submit();
      execv(kTrue[0], const_cast<char**>(kTrue));
      _exit(9);
    }));
}

GUEST_PROPERTY(exit_with_requests_in_flight) {
  Load prepared(1, 0);
  for (unsigned i = 0; i < trials(40); ++i)
    expect_clean_exit(fork_child([i] {
      auto* load = new Load(32, 2);
      load->submit();
      if (i % 3 == 0) exit(0);
      if (i % 3 == 1) _exit(0);
      quick_exit(0);
    }));
}

GUEST_PROPERTY(exit_after_the_main_thread_has_ended) {
  Load prepared(1, 0);
  for (unsigned i = 0; i < trials(20); ++i)
    expect_clean_exit(fork_child([] {
      std::thread([] {
        sleep_ms(5);
        auto* load = new Load(32, 1);
        load->submit();
        load->finish();
        exit(0);
      }).detach();
      pthread_exit(nullptr);
    }));
}

// Of the program's threads, that is: a service thread keeps it at most until it is idle for AIOX_IDLE_MS.
GUEST_PROPERTY(the_process_ends_with_the_programs_last_thread) {
  for (unsigned i = 0; i < trials(3); ++i)
    expect_clean_exit(fork_child([] {
      use_aio_a_little();
      pthread_exit(nullptr);
    }));
}

GUEST_PROPERTY(handlers_at_exit_may_free_what_requests_used) {
  Load prepared(1, 0);
  for (unsigned i = 0; i < trials(20); ++i)
    expect_clean_exit(fork_child([] {
      static Load* load;
      load = new Load(32, 0);
      atexit([] {
        load->finish();
        delete load;
        use_aio_a_little();
      });
      load->submit();
      exit(0);
    }));
}

GUEST_PROPERTY(a_daemon_uses_aio) {
  for (unsigned i = 0; i < trials(10); ++i) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    pid_t child = fork_child([&] {
      use_aio_a_little();
      Load load(16, 1);
      load.submit();
      CHECK(daemon(1, 1) == 0);  // the parent of the daemon ends here
      alarm(30);
      use_aio_a_little();
      load.forget();
      CHECK(write(ends[1], "done", 4) == 4);
      _exit(0);
    });
    expect_clean_exit(child);
    close(ends[1]);
    char text[5] = "";
    CHECK(read(ends[0], text, 4) == 4 && strcmp(text, "done") == 0);
    close(ends[0]);
  }
}

namespace {

int g_ends[2];

int close_ends(void*) {
  close(g_ends[0]);
  return 0;
}

// As process 1 of a PID namespace: so is its child, in one of its own.
void vfork_as_process_one() {
  CHECK(getpid() == 1 && pipe2(g_ends, O_CLOEXEC) == 0);
  Request waiting(8);
  waiting.read(g_ends[0], 0);
  alignas(16) static char stack[64 * 1024];
  const pid_t child = clone(close_ends, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_NEWPID | SIGCHLD, nullptr);
  CHECK(child > 0);
  expect_clean_exit(child);
  CHECK(!waiting.is_done());
  CHECK(write(g_ends[1], "received", 8) == 8);
  waiting.wait_for_all();
}

}  // namespace

GUEST_PROPERTY(vforked_child_in_a_pid_namespace_may_close_descriptors) {
  expect_clean_exit(fork_child([] {
    if (unshare(CLONE_NEWPID) != 0) skip("PID namespaces are not to be had");
    expect_clean_exit(fork_child(vfork_as_process_one));
  }));
}
