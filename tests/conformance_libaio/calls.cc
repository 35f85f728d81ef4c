// calls.cc - see calls.h.
#include "calls.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "case_runner.h"
#include "channels.h"
#include "threads_and_signals.h"

namespace libaio_conformance {
namespace {

constexpr int kUntouched = 4242;  // no errno of the system's

// Checks the errno rule of the way and gives count or -errno. `call` answers as the way does.
template <typename Call>
long checked(Call call) {
  errno = kUntouched;
  const long answer = call();
  // A sanitizer that looks a suppressed report's names up on this thread leaves its own.
  const int error = aiox_test::kSanitized && answer != -1 ? kUntouched : errno;
  if (way() == Way::kNames) {
    EXPECT_EQ(error, kUntouched);
    return answer;
  }
  if (answer == -1) {
    EXPECT(error != kUntouched);
    return -error;
  }
  EXPECT(answer >= 0);
  EXPECT_EQ(error, kUntouched);
  return answer;
}

struct KernelMask {
  const sigset_t* mask;
  size_t bytes;
};

}  // namespace

bool has_direct_lane() {
  const char* const set = std::getenv("AIOX_DIRECT");
  return set == nullptr || std::strcmp(set, "0") != 0;
}

bool against_kernel() {
  static const char* const named = std::getenv("AIOX_TEST_AGAINST");
  return named != nullptr && std::strcmp(named, "kernel") == 0;
}

Way way() {
  static const char* const named = std::getenv("AIOX_TEST_LIBAIO_WAY");
  return named != nullptr && std::strcmp(named, "syscall") == 0 ? Way::kSyscall : Way::kNames;
}

long setup(unsigned count, io_context_t* context) {
  return checked([&]() -> long {
    return way() == Way::kNames ? io_setup(static_cast<int>(count), context) : syscall(SYS_io_setup, count, context);
  });
}

long destroy(io_context_t context) {
  return checked(
      [&]() -> long { return way() == Way::kNames ? io_destroy(context) : syscall(SYS_io_destroy, context); });
}

long submit(io_context_t context, long count, iocb** list) {
  return checked([&]() -> long {
    return way() == Way::kNames ? io_submit(context, count, list) : syscall(SYS_io_submit, context, count, list);
  });
}

long submit(io_context_t context, iocb& block) {
  iocb* list[] = {&block};
  return submit(context, 1, list);
}

long submit(io_context_t context, std::vector<iocb>& blocks) {
  std::vector<iocb*> list;
  for (iocb& block : blocks) list.push_back(&block);
  return submit(context, static_cast<long>(list.size()), list.data());
}

long cancel(io_context_t context, iocb* block, io_event* result) {
  return checked([&]() -> long {
    return way() == Way::kNames ? io_cancel(context, block, result) : syscall(SYS_io_cancel, context, block, result);
  });
}

long get_events(io_context_t context, long min, long count, io_event* events, const timespec* timeout) {
  timespec copy = timeout != nullptr ? *timeout : timespec{};
  timespec* const given = timeout != nullptr ? &copy : nullptr;
  return checked([&]() -> long {
    return way() == Way::kNames ? io_getevents(context, min, count, events, given)
                                : syscall(SYS_io_getevents, context, min, count, events, given);
  });
}

long pget_events(io_context_t context, long min, long count, io_event* events, const timespec* timeout,
                 sigset_t* mask) {
  timespec copy = timeout != nullptr ? *timeout : timespec{};
  timespec* const given = timeout != nullptr ? &copy : nullptr;
  const KernelMask masked{mask, 8};
  return checked([&]() -> long {
    return way() == Way::kNames ? io_pgetevents(context, min, count, events, given, mask)
                                : syscall(SYS_io_pgetevents, context, min, count, events, given, &masked);
  });
}

Context::Context(unsigned count) { EXPECT_EQ(setup(count, &context_), 0); }

Context::~Context() {
  if (context_ != nullptr) EXPECT_EQ(destroy(context_), 0);
}

io_context_t Context::release() {
  const io_context_t context = context_;
  context_ = nullptr;
  return context;
}

iocb pread_block(int fd, void* data, size_t bytes, long long offset) {
  iocb block;
  io_prep_pread(&block, fd, data, bytes, offset);
  return block;
}

iocb pwrite_block(int fd, const void* data, size_t bytes, long long offset) {
  iocb block;
  io_prep_pwrite(&block, fd, const_cast<void*>(data), bytes, offset);
  return block;
}

iocb preadv_block(int fd, const std::vector<iovec>& vectors, long long offset) {
  iocb block;
  io_prep_preadv(&block, fd, vectors.data(), static_cast<int>(vectors.size()), offset);
  return block;
}

iocb pwritev_block(int fd, const std::vector<iovec>& vectors, long long offset) {
  iocb block;
  io_prep_pwritev(&block, fd, vectors.data(), static_cast<int>(vectors.size()), offset);
  return block;
}

iocb fsync_block(int fd) {
  iocb block;
  io_prep_fsync(&block, fd);
  return block;
}

iocb fdsync_block(int fd) {
  iocb block;
  io_prep_fdsync(&block, fd);
  return block;
}

iocb poll_block(int fd, int events) {
  iocb block;
  io_prep_poll(&block, fd, events);
  return block;
}

unsigned long long& reserved2_of(iocb& block) { return reinterpret_cast<unsigned long long&>(block.u.c.__pad3); }

std::vector<io_event> reap(io_context_t context, size_t count) {
  std::vector<io_event> events(count);
  size_t have = 0;
  while (have < count) {
    const long wanted = static_cast<long>(count - have);
    const long got = get_events(context, 1, wanted, events.data() + have);
    if (got == -EINTR) continue;
    EXPECT(got > 0 && got <= wanted);
    have += static_cast<size_t>(got);
  }
  return events;
}

void expect_no_event(io_context_t context) {
  io_event event;
  const timespec at_once{};
  EXPECT_EQ(get_events(context, 0, 1, &event, &at_once), 0);
}

long reap_result(io_context_t context, const iocb& block) {
  const io_event event = reap(context, 1)[0];
  EXPECT(event.obj == &block);
  EXPECT(event.data == block.data);
  EXPECT_EQ(event.res2, 0ul);
  return result_in(event);
}

long run(io_context_t context, iocb& block) {
  EXPECT_EQ(submit(context, block), 1);
  const long result = reap_result(context, block);
  expect_no_event(context);
  return result;
}

void expect_refused(io_context_t context, iocb& block, int error) {
  EXPECT_EQ(submit(context, block), -error);
  expect_no_event(context);
}

PendingPoll::PendingPoll() {
  const conformance::Pipe pipe = conformance::open_pipe();
  read_fd = pipe.read_fd;
  write_fd = pipe.write_fd;
  block = poll_block(read_fd, POLLIN);
}

void PendingPoll::end() { conformance::write_exactly(write_fd, "x"); }

void wait_until_asleep(pid_t thread) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", static_cast<int>(thread));
  for (int seen = 0; seen < 3;) {  // not merely once: a lock taken on the way sleeps as well
    char line[512] = "";
    std::FILE* const file = std::fopen(path, "re");
    EXPECT(file != nullptr);
    EXPECT(std::fgets(line, sizeof line, file) != nullptr);
    std::fclose(file);
    const char* const end = std::strrchr(line, ')');
    EXPECT(end != nullptr);
    seen = end[2] == 'S' || end[2] == 'D' ? seen + 1 : 0;
    conformance::sleep_ms(2);
  }
}

long long now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

BadMemory::BadMemory() {
  void* pages = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || mprotect(static_cast<char*>(pages) + 4096, 4096, PROT_NONE) != 0) abort();
  bytes_ = static_cast<char*>(pages);
}
BadMemory::~BadMemory() { munmap(bytes_, 8192); }
void BadMemory::make_read_only() { mprotect(bytes_, 4096, PROT_READ); }

}  // namespace libaio_conformance
