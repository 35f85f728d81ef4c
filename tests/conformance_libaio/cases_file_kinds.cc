// cases_file_kinds.cc - every kind of file beside the plain call: what read(2) or write(2) answers is what the event
// says, or io_submit itself; and where the one waits, the other does.
#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
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
  return true;
}

[[maybe_unused]] const bool comparisons_added = add_comparisons();

}  // namespace
}  // namespace libaio_conformance
