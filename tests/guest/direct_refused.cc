// direct_refused.cc - where kernel AIO is refused, before the first request or in the middle of a run, O_DIRECT
// requests go another way and the reason can be read.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "guest.h"
#include "seccomp_filter.h"
#include "slow_device.h"

using namespace guest;

namespace {

constexpr size_t kFileBytes = 4 << 20;

int direct_file() {
  int fd = pattern_file(kFileBytes, O_DIRECT);
  if (fd < 0) skip("O_DIRECT is not supported here");
  drop_cache(fd);
  return fd;
}

bool is_auto() {
  const char* backend = getenv("AIOX_BACKEND");
  return backend == nullptr || strcmp(backend, "auto") == 0;
}

void refuse(std::initializer_list<long> calls, int error) {
  if (!refuse_system_calls(calls, error)) skip("no seccomp filters here");
}

struct Batch {
  std::vector<std::unique_ptr<Request>> reads, writes;
  Request large{kFileBytes / 2};
  Batch() {
    for (int i = 0; i < 32; ++i) reads.push_back(std::make_unique<Request>());
    for (int i = 0; i < 8; ++i) writes.push_back(std::make_unique<Request>());
  }
  void submit(int fd) {
    for (auto& read : reads) read->read(fd, random_below(kFileBytes / 4096) * 4096);
    for (size_t i = 0; i < writes.size(); ++i) {
      writes[i]->fill(static_cast<unsigned char>(i + 1));
      writes[i]->write(fd, kFileBytes + i * 4096);
    }
    large.read(fd, 0);
  }
  // Polled to the end, waited for, or ended by close.
  void finish(unsigned way, int fd) {
    if (way % 3 == 1) CHECK(close(fd) == 0);
    for (auto& read : reads) {
      while (way % 3 == 0 && !read->is_done()) sched_yield();
      read->wait_for_all();
      read->check_pattern();
    }
    for (auto& write : writes) write->wait_for_all();
    large.wait_for_all();
    large.check_pattern();
  }
};

std::atomic<unsigned> g_told{0};

void work() {
  for (unsigned way = 0; way < 3; ++way) {
    int fd = direct_file();
    Batch batch;
    for (int i = 0; i < 3; ++i) {
      batch.submit(fd);
      batch.finish(i == 2 ? way : 2, fd);
    }
    if (way != 1) close(fd);
  }
  // Somebody to tell, and nobody who waits.
  int fd = direct_file();
  g_told = 0;
  Request told[8];
  for (Request& request : told) {
    request.block.aio_fildes = fd;
    request.block.aio_buf = request.buffer;
    request.block.aio_nbytes = request.size_bytes;
    request.block.aio_sigevent.sigev_notify = SIGEV_THREAD;
    request.block.aio_sigevent.sigev_notify_function = [](sigval) { g_told.fetch_add(1); };
    CHECK(aio_read(&request.block) == 0);
  }
  for (unsigned waited_ms = 0; g_told < 8; ++waited_ms) {
    sleep_ms(1);
    if (waited_ms > 20000) FAIL("%u of 8 notifications", g_told.load());
  }
  for (Request& request : told) {
    request.wait_for_all();
    request.check_pattern();
  }
  close(fd);
  use_aio_a_little();
}

}  // namespace

GUEST_PROPERTY(direct_requests_work_where_io_setup_is_not_permitted) {
  refuse({SYS_io_setup}, EPERM);
  work();
}

GUEST_PROPERTY(direct_requests_work_where_kernel_aio_does_not_exist) {
  refuse({SYS_io_setup, SYS_io_submit, SYS_io_getevents, SYS_io_pgetevents, SYS_io_cancel, SYS_io_destroy}, ENOSYS);
  work();
}

GUEST_PROPERTY(direct_requests_work_where_io_submit_is_not_permitted) {
  refuse({SYS_io_submit}, EPERM);
  work();
}

GUEST_PROPERTY(direct_requests_work_when_io_submit_is_forbidden_in_the_middle) {
  for (int error : {EPERM, EACCES, ENOSYS})
    expect_clean_exit(fork_child([error] {
      int fd = direct_file();
      Batch before, after;
      before.submit(fd);
      refuse({SYS_io_submit}, error);
      after.submit(fd);
      after.finish(2, fd);
      before.finish(2, fd);
      work();
    }));
}

GUEST_PROPERTY(direct_requests_work_when_io_submit_is_forbidden_with_some_held_in_flight) {
  SlowDevice device;
  int slow = device.open_direct(), fd = direct_file();
  device.hold();
  Request held[8];
  for (unsigned i = 0; i < 8; ++i) held[i].read(slow, i * 4096);
  refuse({SYS_io_submit}, EPERM);
  Batch batch;
  batch.submit(fd);
  std::thread waiter([&] { held[0].wait_for_all(); });
  batch.finish(2, fd);
  for (Request& request : held) CHECK(!request.is_done());
  device.release();
  for (Request& request : held) {
    request.wait_for_all();
    request.check_pattern();
  }
  waiter.join();
  work();
}

GUEST_PROPERTY(direct_requests_work_where_io_pgetevents_is_not_permitted) {
  for (int error : {EPERM, ENOSYS})
    for (bool is_before : {true, false})
      expect_clean_exit(fork_child([=] {
        int fd = direct_file();
        Batch batch;
        if (is_before) refuse({SYS_io_pgetevents, SYS_io_getevents}, error);
        batch.submit(fd);
        if (!is_before) refuse({SYS_io_pgetevents, SYS_io_getevents}, error);
        batch.finish(2, fd);
        work();
      }));
}

GUEST_PROPERTY(waits_with_io_pgetevents_forbidden_in_the_middle_take_no_processor_time) {
  SlowDevice device;
  int fd = device.open_direct();
  device.hold();
  Request held;
  held.read(fd, 0);
  refuse({SYS_io_pgetevents, SYS_io_getevents}, EPERM);
  std::thread other([&] {
    sleep_ms(600);
    device.release();
  });
  rusage before, after;
  CHECK(getrusage(RUSAGE_SELF, &before) == 0);
  const aiocb* list[] = {&held.block};
  const timespec timeout{0, 500000000};
  CHECK(aio_suspend(list, 1, &timeout) == -1 && errno == EAGAIN);
  held.wait_for_all();
  CHECK(getrusage(RUSAGE_SELF, &after) == 0);
  other.join();
  auto ms = [](const timeval& time) { return time.tv_sec * 1000 + time.tv_usec / 1000; };
  long used_ms = ms(after.ru_utime) - ms(before.ru_utime) + ms(after.ru_stime) - ms(before.ru_stime);
  if (used_ms > 200) FAIL("%ld ms of processor time while 600 ms were slept", used_ms);
}

// All contexts of the system in use, as by a database next door. CTest runs this one alone.
GUEST_PROPERTY(direct_requests_work_where_aio_max_nr_is_used_up) {
  const char* const name = "/proc/sys/fs/aio-max-nr";
  char limit[32] = {};
  int fd = open(name, O_RDWR | O_CLOEXEC);
  if (fd < 0 || read(fd, limit, sizeof limit - 1) <= 0) skip("needs root, to lower fs.aio-max-nr");
  auto set = [&](const char* value) { return pwrite(fd, value, strlen(value), 0) > 0; };
  if (!set("0\n")) skip("fs.aio-max-nr cannot be changed here");
  // The work is done in a child, so that the limit comes back whatever happens there.
  std::string output, errors;
  int status = run_again("direct_requests_work_as_they_are", {"AIOX_VERBOSE=1"}, &output, &errors);
  bool is_restored = set(limit);
  close(fd);
  CHECK(is_restored);
  if (status == 77) skip("O_DIRECT is not supported here");
  if (status != 0) FAIL("status %d: %s", status, errors.c_str());
  if (is_auto() && is_answered_by_aiox() && errors.find("aio-max-nr") == std::string::npos)
    FAIL("the reason is not named: %s", errors.c_str());
  printf("%s", errors.c_str());
}

// Not for CTest by itself: what the property above runs.
GUEST_PROPERTY(direct_requests_work_as_they_are) { work(); }

GUEST_PROPERTY(verbose_line_names_a_forbidden_direct_lane) {
  if (!is_answered_by_aiox()) skip("only aiox gives reasons");
  const char* variables[] = {"AIOX_VERBOSE=1", "AIOX_BACKEND=auto", "AIOX_DIRECT=1"};
  struct Row {
    const char* property;
    const char* named;
  };
  for (Row row : {Row{"direct_requests_work_where_io_setup_is_not_permitted", "io_setup"},
                  Row{"direct_requests_work_where_kernel_aio_does_not_exist", "io_setup"},
                  Row{"direct_requests_work_where_io_submit_is_not_permitted", "io_submit"},
                  Row{"direct_requests_work_where_io_pgetevents_is_not_permitted", "io_pgetevents"}}) {
    std::string output, errors;
    int status = run_again(row.property, {variables[0], variables[1], variables[2]}, &output, &errors);
    if (status == 77) skip("no seccomp filters here, or no O_DIRECT");
    if (status != 0) FAIL("%s: status %d: %s", row.property, status, errors.c_str());
    printf("%s", errors.c_str());
    size_t at = errors.find("direct: ");
    if (at == std::string::npos || errors.find(row.named, at) == std::string::npos)
      FAIL("%s: the reason is not named: %s", row.property, errors.c_str());
  }
}
