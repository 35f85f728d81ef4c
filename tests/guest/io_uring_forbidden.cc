// io_uring_forbidden.cc - where io_uring is refused (container profiles, kernel.io_uring_disabled, old kernels), before
// the first request or from the middle of a run, AIO works all the same and the reason can be read.
#include <aio.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "guest.h"
#include "seccomp_filter.h"

using namespace guest;

namespace {

void refuse_io_uring(int error) {
  if (!refuse_system_calls({SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register}, error))
    skip("no seccomp filters here");
}

void work() {
  use_aio_a_little();
  Load load;
  for (int i = 0; i < 5; ++i) {
    load.submit();
    load.finish();
  }
}

// The one line of AIOX_VERBOSE=1 that names io_uring and what stood in its way.
void expect_reason(const char* report_property, const char* backend) {
  if (!is_answered_by_aiox()) skip("only aiox gives reasons");
  std::string output, errors;
  int status = run_again(report_property, {"AIOX_VERBOSE=1", std::string("AIOX_BACKEND=") + backend}, &output, &errors);
  if (status == 77) skip("no seccomp filters here");
  if (status != 0) FAIL("status %d: %s", status, errors.c_str());
  size_t lines = 0, begin = errors.find("aiox:");
  for (size_t at = begin; at != std::string::npos; at = errors.find("aiox:", at + 5)) ++lines;
  if (lines == 0) FAIL("no line beginning with aiox: %s", errors.c_str());
  printf("%s", errors.c_str());
  if (errors.find("io_uring", begin) == std::string::npos) FAIL("io_uring is not named: %s", errors.c_str());
  if (errors.find("io_uring_setup", begin) == std::string::npos) FAIL("no reason is given: %s", errors.c_str());
}

}  // namespace

GUEST_PROPERTY(aio_works_where_io_uring_is_not_permitted) {
  refuse_io_uring(EPERM);
  work();
}

GUEST_PROPERTY(aio_works_where_io_uring_does_not_exist) {
  refuse_io_uring(ENOSYS);
  work();
}

GUEST_PROPERTY(aio_works_where_io_uring_has_no_memory) {
  if (!refuse_system_calls({SYS_io_uring_setup}, ENOMEM)) skip("no seccomp filters here");
  work();
}

GUEST_PROPERTY(aio_works_where_only_ring_registration_is_refused) {
  if (!refuse_system_calls({SYS_io_uring_register}, EPERM)) skip("no seccomp filters here");
  work();
}

GUEST_PROPERTY(aio_works_when_io_uring_is_forbidden_in_the_middle) {
  work();
  Load load;
  load.submit();
  refuse_io_uring(EPERM);
  load.finish();
  work();
  sleep_ms(1500);  // workers retired meanwhile; new ones find the door shut
  work();
}

// Who takes over from a ring's thread has to see it gone. Its number may be another thread's at once: who asks for it
// is told that it is there.
GUEST_PROPERTY(aio_works_when_io_uring_is_forbidden_and_threads_numbers_are_used_again) {
  use_aio_a_little();
  int ends[2][2];
  Request reads[2] = {Request(8), Request(8)};
  for (unsigned i = 0; i < 2; ++i) {
    CHECK(pipe2(ends[i], O_CLOEXEC) == 0);
    reads[i].read(ends[i][0], 0);
  }
  sleep_ms(20);  // they wait in the ring
  refuse_io_uring(EPERM);
  CHECK(refuse_system_calls({SYS_tgkill, SYS_tkill}, 0));
  // The end of the first brings the ring's thread out of the kernel, and it cannot go back for the second.
  for (unsigned i = 0; i < 2; ++i) {
    CHECK(write(ends[i][1], "01234567", 8) == 8);
    CHECK(reads[i].wait() == 0 && aio_return(&reads[i].block) == 8);
    sleep_ms(20);
  }
  work();
}

GUEST_PROPERTY(half_a_write_is_told_of_when_io_uring_is_forbidden_and_its_pipe_must_not_block) {
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  const int room = fcntl(ends[1], F_GETPIPE_SZ);
  Request request(1 << 20);
  request.fill('w');
  request.write(ends[1], 0);
  int there = 0;
  while (there < room) CHECK(ioctl(ends[0], FIONREAD, &there) == 0);
  sleep_ms(20);  // the rest waits in the ring
  refuse_io_uring(EPERM);
  CHECK(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
  ssize_t total = 0;
  std::vector<char> part(8192);
  for (bool has_ended = false; !has_ended || there > 0;) {
    has_ended = request.is_done();
    CHECK(ioctl(ends[0], FIONREAD, &there) == 0);
    if (there > 0) total += read(ends[0], part.data(), part.size());
    if (total == 8192) sleep_ms(50);  // so much room may end it
  }
  CHECK(request.wait() == 0);
  const ssize_t told = aio_return(&request.block);
  if (told != total) FAIL("%zd bytes were written, and %zd told of", total, told);
}

// The first of each file is under way, and the others wait for it, to be carried out as one.
GUEST_PROPERTY(syncs_end_well_when_io_uring_is_forbidden_in_the_middle) {
  constexpr unsigned kFiles = 4, kSyncs = 4;
  int files[kFiles];
  aiocb syncs[kFiles][kSyncs] = {};
  for (int& file : files) file = pattern_file(12 << 20, 0);
  for (unsigned round = 0; round < kSyncs; ++round) {
    for (unsigned i = 0; i < kFiles; ++i) {
      syncs[i][round].aio_fildes = files[i];
      CHECK(aio_fsync(O_SYNC, &syncs[i][round]) == 0);
    }
    if (round == 0) sleep_ms(3);
  }
  refuse_io_uring(EPERM);
  for (auto& of_file : syncs) {
    for (aiocb& block : of_file) {
      while (aio_error(&block) == EINPROGRESS) sleep_ms(1);
      if (aio_error(&block) != 0) FAIL("an fsync ended with %s", strerror(aio_error(&block)));
    }
  }
}

GUEST_PROPERTY(aio_works_in_a_child_that_forbids_io_uring) {
  work();
  expect_clean_exit(fork_child([] {
    refuse_io_uring(EPERM);
    work();
  }));
  work();
}

GUEST_PROPERTY(verbose_line_names_a_forbidden_io_uring) {
  expect_reason("aio_works_where_io_uring_is_not_permitted", "auto");
  expect_reason("aio_works_where_io_uring_does_not_exist", "auto");
  expect_reason("aio_works_where_io_uring_is_not_permitted", "io_uring");
}
