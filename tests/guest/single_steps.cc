// single_steps.cc - a handler that strikes after exactly so many instructions of aio_error or aio_suspend, one round
// for each number: where a timer would have to be lucky (handlers.cc), a tracer is sure.
//
// A child makes the requests, and stops itself before the call and after it; the parent steps it through the call and
// sends it a signal. Every second instruction, or every fifth, from a random one on; all of them with
// AIOX_TEST_EVERY_STEP=1. AIOX_TEST_STAY_ON_HANG=1 leaves a hung child for a debugger.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

using namespace guest;

#if defined(__x86_64__)

namespace {

constexpr size_t kFileBytes = 16 << 20;

struct Scene {
  size_t first_bytes;   // of the requests
  size_t second_bytes;  // 0: one only
  bool has_ended;       // they end before the call begins
  void (*call)(Request& first, Request& second);
  void (*handler)(Request& first, Request& second);
};

const Scene* g_scene;
Request *g_first, *g_second;

void run_handler(int) {
  int saved_errno = errno;
  g_scene->handler(*g_first, *g_second);
  errno = saved_errno;
}

void wait_for(Request& request) {
  const aiocb* list[] = {&request.block};
  while (aio_suspend(list, 1, nullptr) != 0) CHECK(errno == EINTR);
  CHECK(aio_error(&request.block) == 0);
  CHECK(aio_return(&request.block) == ssize_t(request.size_bytes));
}

void poll_until_ended(Request& request) {
  while (aio_error(&request.block) == EINPROGRESS) sched_yield();
  CHECK(aio_return(&request.block) == ssize_t(request.size_bytes));
}

void ask_once(Request& first, Request&) { (void)aio_error(&first.block); }

void wait_at_once(Request& first, Request& second) {
  const aiocb* list[] = {&first.block, &second.block};
  const timespec at_once{0, 0};
  aio_suspend(list, 2, &at_once);
}

void wait_long(Request& first, Request&) {
  const aiocb* list[] = {&first.block};
  aio_suspend(list, 1, nullptr);
}

uint64_t random_place(const Request& request) {
  return random_below((kFileBytes - request.size_bytes) / 4096) * 4096;
}

// The child: rounds without end.
void perform(int fd) {
  signal(SIGALRM, SIG_DFL);
  struct sigaction action {};
  action.sa_handler = run_handler;
  sigaction(SIGUSR1, &action, nullptr);
  Request first(g_scene->first_bytes), second(g_scene->second_bytes ? g_scene->second_bytes : 4096);
  Request other(g_scene->first_bytes);
  g_first = &first;
  g_second = &second;
  CHECK(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0);
  for (;;) {
    first.read(fd, random_place(first));
    if (g_scene->second_bytes) second.read(fd, random_place(second));
    if (g_scene->has_ended) {
      // What was submitted before a read of this thread has ended with it, or is about to.
      CHECK(pread(fd, other.buffer, other.size_bytes, off_t(random_place(other))) == ssize_t(other.size_bytes));
      usleep(200);
    }
    raise(SIGSTOP);
    g_scene->call(first, second);
    raise(SIGSTOP);
    first.wait_for_all();
    first.check_pattern();
    if (!g_scene->second_bytes) continue;
    second.wait_for_all();
    second.check_pattern();
  }
}

// The signal that the child stopped for; its death, or a hang, ends the property.
int next_stop(pid_t child, unsigned long steps, const std::string& where) {
  int status;
  alarm(6);  // its handler only ends the wait
  while (waitpid(child, &status, 0) != child) {
    CHECK(errno == EINTR);
    if (getenv("AIOX_TEST_STAY_ON_HANG") != nullptr) {
      dprintf(2, "process %d stays\n", child);
      kill(child, SIGSTOP);  // so that it can be let go of
      waitpid(child, &status, 0);
      ptrace(PTRACE_DETACH, child, nullptr, nullptr);
      for (;;) pause();
    }
    kill(child, SIGKILL);
    FAIL("hangs when struck after %lu instructions, at %s", steps, where.c_str());
  }
  if (WIFEXITED(status)) FAIL("the child failed when struck after %lu instructions, at %s", steps, where.c_str());
  if (WIFSIGNALED(status)) FAIL("signal %d after %lu instructions, at %s", WTERMSIG(status), steps, where.c_str());
  return WSTOPSIG(status);
}

// "libaiox-preload.so+0x1234": for addr2line.
std::string describe(pid_t child, unsigned long address) {
  std::string name = "/proc/" + std::to_string(child) + "/maps";
  FILE* maps = fopen(name.c_str(), "r");
  char line[1024], file[1024];
  std::string text = "an unknown place";
  unsigned long begin, end, offset;
  while (maps != nullptr && fgets(line, sizeof line, maps)) {
    file[0] = 0;
    if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %1000s", &begin, &end, &offset, file) < 3) continue;
    if (address < begin || address >= end) continue;
    const char* slash = strrchr(file, '/');
    char place[300];
    snprintf(place, sizeof place, "%.200s+0x%lx", slash ? slash + 1 : file, address - begin + offset);
    text = place;
  }
  if (maps != nullptr) fclose(maps);
  return text;
}

void strike_everywhere(const Scene& scene, unsigned long stride = 2) {
  if (is_sanitized()) skip("too many instructions");
  int fd = pattern_file(kFileBytes, O_DIRECT);
  if (fd < 0) skip("O_DIRECT is not supported here");
  drop_cache(fd);
  g_scene = &scene;
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGALRM, &action, nullptr);
  pid_t child = fork_child([fd] { perform(fd); }, 100);
  if (getenv("AIOX_TEST_EVERY_STEP") != nullptr) stride = 1;
  unsigned long rounds = 0, longest = 0;
  // What a call takes differs from round to round, by whether the requests have ended: a number of instructions is
  // beyond it when the call was over before several times.
  for (unsigned long target = random_below(stride), throughs = 0; throughs < 8 && target < 20000;) {
    for (int number; (number = next_stop(child, target, "the preparation")) != SIGSTOP;)
      CHECK(ptrace(PTRACE_CONT, child, nullptr, long(number)) == 0);
    unsigned long steps = 0;
    bool is_through = false;
    while (steps < target && !is_through) {
      CHECK(ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) == 0);
      is_through = next_stop(child, steps, "a step") == SIGSTOP;
      ++steps;
    }
    ++rounds;
    if (is_through) {
      ++throughs;
      CHECK(ptrace(PTRACE_CONT, child, nullptr, nullptr) == 0);
      continue;
    }
    throughs = 0;
    target += stride;
    longest = steps;
    user_regs_struct registers{};
    CHECK(ptrace(PTRACE_GETREGS, child, nullptr, &registers) == 0);
    const std::string where = describe(child, registers.rip);
    // Held back for as long as the signal is blocked, like any other.
    CHECK(ptrace(PTRACE_CONT, child, nullptr, long(SIGUSR1)) == 0);
    for (int number; (number = next_stop(child, steps, where)) != SIGSTOP;)
      CHECK(ptrace(PTRACE_CONT, child, nullptr, long(number)) == 0);
    CHECK(ptrace(PTRACE_CONT, child, nullptr, nullptr) == 0);
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  printf("%lu rounds, %lu instructions\n", rounds, longest);
}

}  // namespace

GUEST_PROPERTY(a_handler_may_wait_at_any_instruction_of_aio_error) {
  strike_everywhere({4096, 0, true, ask_once, [](Request& first, Request&) { wait_for(first); }});
}
GUEST_PROPERTY(a_handler_may_poll_at_any_instruction_of_aio_error) {
  strike_everywhere({4096, 0, true, ask_once, [](Request& first, Request&) { poll_until_ended(first); }});
}
GUEST_PROPERTY(a_handler_may_wait_at_any_instruction_for_another_request) {
  strike_everywhere({4096, 4096, true, wait_at_once, [](Request&, Request& second) { wait_for(second); }});
}
GUEST_PROPERTY(a_handler_may_wait_at_any_instruction_for_a_request_in_parts) {
  strike_everywhere({3 << 19, 0, true, ask_once, [](Request& first, Request&) { wait_for(first); }}, 5);
}
GUEST_PROPERTY(a_handler_may_wait_at_any_instruction_of_aio_suspend) {
  strike_everywhere({4096, 0, false, wait_long, [](Request& first, Request&) { wait_for(first); }});
}

#endif
