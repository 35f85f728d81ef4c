// cases_file_kinds.cc - every kind of file beside the plain call: what read(2) or write(2) answers is what the event
// says, or io_submit itself; and where the one waits, the other does.
#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "calls.h"
#include "case_runner.h"
#include "file_kinds.h"

namespace libaio_conformance {
namespace {

using aiox_test::Answer;
using aiox_test::Attempt;

// The blocks of one context, and what has come of each.
struct Blocks {
  Context context{512};
  std::map<const iocb*, Answer> answers;
  void take() {
    io_event events[64];
    for (long count; (count = get_events(context, 0, 64, events, nullptr)) > 0;) {
      for (long i = 0; i < count; ++i) answers[events[i].obj] = {true, result_in(events[i])};
    }
  }
};

// The kernel's AIO knows no reading of directories, and no writing to eventfds: -EINVAL.
std::set<std::string> refused_states(bool is_read) {
  if (is_read) return {"a directory"};
  return {"eventfd", "eventfd, full"};
}

// The plain call with two vectors, if that is what is compared.
std::function<long(int, void*)> call_for(bool is_read, size_t bytes, bool is_in_two) {
  if (!is_in_two) return {};
  return [=](int fd, void* data) -> long {
    const size_t half = bytes / 2;
    const iovec vectors[] = {{data, half}, {static_cast<char*>(data) + half, bytes - half}};
    long result = is_read ? preadv(fd, vectors, 2, 0) : pwritev(fd, vectors, 2, 0);
    if (result < 0 && errno == ESPIPE) result = is_read ? readv(fd, vectors, 2) : writev(fd, vectors, 2);
    return result < 0 ? -errno : result;
  };
}

void compare(bool is_read, size_t bytes, bool is_in_two) {
  if (!differs_from_kernel(kSubmitDoesNotWait)) aiox_test::skip_case("io_submit would wait");
  auto* blocks = new Blocks;  // some are in flight for ever
  const auto make = [=](int) -> Attempt {
    auto block = std::make_shared<iocb>();
    return {[=](int fd, void* data, size_t length, long long offset) {
              const size_t half = length / 2;
              const std::vector<iovec> vectors = {{data, half}, {static_cast<char*>(data) + half, length - half}};
              if (is_in_two) {
                *block = is_read ? preadv_block(fd, vectors, offset) : pwritev_block(fd, vectors, offset);
              } else {
                *block = is_read ? pread_block(fd, data, length, offset) : pwrite_block(fd, data, length, offset);
              }
              const long result = submit(blocks->context, *block);
              if (result < 0) blocks->answers[block.get()] = {true, result};
            },
            [=]() -> Answer {
              blocks->take();
              return blocks->answers[block.get()];
            }};
  };
  aiox_test::compare_with_plain_calls({.is_read = is_read,
                                       .bytes = bytes,
                                       .make = make,
                                       .without = refused_states(is_read),
                                       .call = call_for(is_read, bytes, is_in_two)});
}

// A poll tells what poll(2) tells, and waits where that waits. A signalfd is asked about the pending signals of the
// kernel's own thread, once it has to wait.
void compare_polls(bool is_read) {
  if (against_kernel())
    aiox_test::skip_case("it refuses to wait for terminals, and for a fifo that is opened both ways");
  auto* blocks = new Blocks;
  const short asked = is_read ? POLLIN : POLLOUT;
  const auto make = [=](int) -> Attempt {
    auto block = std::make_shared<iocb>();
    return {[=](int fd, void*, size_t, long long) {
              *block = poll_block(fd, asked);
              const long result = submit(blocks->context, *block);
              if (result < 0) blocks->answers[block.get()] = {true, result};
            },
            [=]() -> Answer {
              blocks->take();
              Answer answer = blocks->answers[block.get()];
              if (answer.result > 0) answer.result &= asked | POLLERR | POLLHUP;  // it may tell more
              return answer;
            }};
  };
  std::set<std::string> without = {"signalfd, nothing", "signalfd, O_NONBLOCK", "O_PATH of a directory",
                                   "O_PATH of a device"};
  if (!has_direct_lane()) without.insert("a queue of messages");  // by its type a file, which only the kernel waits for
  aiox_test::compare_with_plain_calls({.is_read = is_read,
                                       .make = make,
                                       .without = without,
                                       .call = [=](int fd, void*) -> long {
                                         pollfd entry = {fd, asked, 0};
                                         return poll(&entry, 1, -1) < 0 ? -errno : entry.revents;
                                       }});
}

AIOX_CASE("every kind of file answers a poll for reading as poll does") { compare_polls(true); }
AIOX_CASE("every kind of file answers a poll for writing as poll does") { compare_polls(false); }

AIOX_CASE("a read of a signalfd takes a signal that is pending for the thread that submits it") {
  Context context;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  const int fd = signalfd(-1, &set, SFD_CLOEXEC);
  EXPECT_EQ(pthread_kill(pthread_self(), SIGUSR1), 0);
  signalfd_siginfo info = {};
  iocb block = pread_block(fd, &info, sizeof info);
  EXPECT_EQ(run(context, block), static_cast<long>(sizeof info));
  EXPECT_EQ(info.ssi_signo, static_cast<uint32_t>(SIGUSR1));
}

// ---- Beside the kernel's own AIO, which is asked by the instruction: no library stands before that. ----

long enter_kernel(long number, long a, long b, long c, long d) {
#if defined(__x86_64__)
  long result;
  register long fourth asm("r10") = d;
  register long fifth asm("r8") = 0;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
               : "rcx", "r11", "memory");
  return result;
#else
  (void)number, (void)a, (void)b, (void)c, (void)d;
  return -ENOSYS;
#endif
}

// It may stay in io_submit.
long ask_kernel(iocb block) {
  unsigned long context = 0;
  const auto is_made = [&] { return enter_kernel(SYS_io_setup, 1, reinterpret_cast<long>(&context), 0, 0) == 0; };
  for (long waited_ms = 0; !is_made() && waited_ms < 5000; ++waited_ms) usleep(1000);  // others have all there are
  const long id = static_cast<long>(context);
  iocb* list[] = {&block};
  io_event event = {};
  long result = enter_kernel(SYS_io_submit, id, 1, reinterpret_cast<long>(list), 0);
  if (result == 1) result = enter_kernel(SYS_io_getevents, id, 1, 1, reinterpret_cast<long>(&event));
  if (result == 1) result = result_in(event);
  enter_kernel(SYS_io_destroy, id, 0, 0, 0);
  return result;
}

struct KernelComparing {
  const char* what;
  bool is_read;  // the readable states, or the writable ones
  size_t bytes;
  std::function<iocb(int fd, void* data)> block_for;
  std::set<std::string> without;
  int poll_events = 0;  // of a poll: it may tell more than these
};

// The answer, of a poll without what tells more than was asked for.
long trimmed(long result, int poll_events) {
  return poll_events == 0 || result <= 0 ? result : result & (poll_events | POLLERR | POLLHUP);
}

void compare_with_kernel(const KernelComparing& comparing) {
  if (against_kernel()) aiox_test::skip_case("it would be compared with itself");
  if (enter_kernel(SYS_getpid, 0, 0, 0, 0) != getpid()) aiox_test::skip_case("how to ask it is not known here");
  auto* blocks = new Blocks;
  const auto block_for = comparing.block_for;
  const int poll_events = comparing.poll_events;
  const auto make = [=](int) -> Attempt {
    auto block = std::make_shared<iocb>();
    return {[=](int fd, void* data, size_t, long long) {
              *block = block_for(fd, data);
              const long result = submit(blocks->context, *block);
              if (result < 0) blocks->answers[block.get()] = {true, result};
            },
            [=]() -> Answer {
              blocks->take();
              Answer answer = blocks->answers[block.get()];
              answer.result = trimmed(answer.result, poll_events);
              return answer;
            }};
  };
  const auto ask = [=](int fd, void* data) { return trimmed(ask_kernel(block_for(fd, data)), poll_events); };
  aiox_test::compare_with_plain_calls({.is_read = comparing.is_read,
                                       .bytes = comparing.bytes,
                                       .make = make,
                                       .without = comparing.without,
                                       .call = ask});
}

iocb in_two(int fd, void* data, bool is_read) {
  static thread_local std::vector<iovec> vectors;  // until it has been submitted
  vectors = {{data, 4}, {static_cast<char*>(data) + 4, 4}};
  return is_read ? preadv_block(fd, vectors) : pwritev_block(fd, vectors);
}

// What only knows plain reads, or plain writes (kPlainFilesMayBeServed). How it is served is told by the cases beside
// the plain call.
const std::set<std::string> kReadPlainly = {
    "fsopen", "a queue of messages", "perf", "inotify", "inotify, nothing", "inotify, an event", "inotify, O_NONBLOCK",
    "fanotify", "/proc/self/limits", "/proc/self/comm", "/proc/self/auxv", "/proc/self/pagemap",
    "/proc/self/fdinfo/0", "/proc/self/coredump_filter"};
const std::set<std::string> kWrittenPlainly = {
    "/dev/full", "fanotify", "/proc/self/comm", "/proc/self/oom_score_adj", "/proc/self/timerslack_ns",
    "/proc/self/coredump_filter"};

// Terminals, and a fifo opened both ways (docs/compatibility.md, A-19). Without the kernel's AIO: A-18; and a signalfd
// is told of signals, which the kernel's poll is not.
std::set<std::string> polled_otherwise(bool is_read) {
  std::set<std::string> found = {"fifo, opened both ways"};
  if (!has_direct_lane()) found.insert({"a queue of messages", "signalfd, nothing", "signalfd, O_NONBLOCK"});
  for (const auto& state : is_read ? aiox_test::readable_states() : aiox_test::writable_states()) {
    const std::string name = state.name;
    if (name.rfind("terminal", 0) == 0 || name.rfind("master", 0) == 0) found.insert(name);
  }
  return found;
}

std::vector<KernelComparing> kernel_comparings() {
  const auto read = [](size_t bytes) { return [=](int fd, void* data) { return pread_block(fd, data, bytes); }; };
  const auto write = [](size_t bytes) { return [=](int fd, void* data) { return pwrite_block(fd, data, bytes); }; };
  const auto sync = [](int fd, void*) { return fsync_block(fd); };
  const auto data_sync = [](int fd, void*) { return fdsync_block(fd); };
  const auto poll_for = [](int events) { return [=](int fd, void*) { return poll_block(fd, events); }; };
  const auto vectors = [](bool is_read) { return [=](int fd, void* data) { return in_two(fd, data, is_read); }; };
  return {
      {"a read of 0 bytes", true, 0, read(0), kReadPlainly},
      {"a read of 8 bytes", true, 8, read(8), kReadPlainly},
      {"a read of 8 bytes in two vectors", true, 8, vectors(true), kReadPlainly},
      {"a read of what is there to be written to", false, 8, read(8), kReadPlainly},
      {"a write of 0 bytes", false, 0, write(0), kWrittenPlainly},
      {"a write of 8 bytes", false, 8, write(8), kWrittenPlainly},
      {"a write of 8 bytes in two vectors", false, 8, vectors(false), kWrittenPlainly},
      {"a write to what is there to be read", true, 8, write(8), kWrittenPlainly},
      {"an fsync, open for reading", true, 0, sync, {}},
      {"an fsync, open for writing", false, 0, sync, {}},
      {"an fdatasync, open for reading", true, 0, data_sync, {}},
      {"an fdatasync, open for writing", false, 0, data_sync, {}},
      {"a poll for reading", true, 0, poll_for(POLLIN), polled_otherwise(true), POLLIN},
      {"a poll for writing", false, 0, poll_for(POLLOUT), polled_otherwise(false), POLLOUT},
  };
}

bool add_comparisons() {
  for (const bool is_read : {true, false}) {
    for (const size_t bytes : {0, 1, 8, 4096}) {
      for (const bool is_in_two : {false, true}) {
        if (is_in_two && bytes < 8) continue;
        aiox_test::add_case({std::string("every kind of file answers a ") + (is_read ? "read" : "write") + " of " +
                                 std::to_string(bytes) + (is_in_two ? " bytes in two vectors" : " bytes") +
                                 " as the plain call does",
                             {}, {}, [=] { compare(is_read, bytes, is_in_two); }});
      }
    }
  }
  for (const KernelComparing& comparing : kernel_comparings()) {
    aiox_test::add_case({std::string("every kind of file answers ") + comparing.what + " as the kernel's AIO does",
                         {}, {}, [=] { compare_with_kernel(comparing); }});
  }
  return true;
}

[[maybe_unused]] const bool comparisons_added = add_comparisons();

}  // namespace
}  // namespace libaio_conformance
