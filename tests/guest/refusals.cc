// refusals.cc - what a system may refuse besides calls (seccomp: io_uring_forbidden.cc, direct_refused.cc; threads:
// threads.cc): io_uring by sysctl, locked memory, processes of a control group, address space. I/O goes on by the next
// way, or is refused with EAGAIN where nothing is left; nothing hangs or dies, and the reason can be read.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control_group.h"
#include "guest.h"

using namespace guest;

namespace {

constexpr size_t kFileBytes = 256 * 1024;

struct Files {
  int buffered = pattern_file(kFileBytes), direct = pattern_file(kFileBytes, O_DIRECT);
  int other = pattern_file(kFileBytes);  // written to
};

// On files that are open already, by someone who may not be allowed to make one any more.
void use_files(const Files& files, bool may_refuse_streams = false) {
  for (int round = 0; round < 3; ++round) {
    drop_cache(files.buffered);
    std::vector<std::unique_ptr<Request>> reads, writes;
    for (unsigned i = 0; i < 32; ++i) {
      reads.push_back(std::make_unique<Request>());
      reads.back()->read(i % 2 && files.direct >= 0 ? files.direct : files.buffered, i * 4096);
      writes.push_back(std::make_unique<Request>());
      writes.back()->fill(static_cast<unsigned char>(i + 1));
      writes.back()->write(files.other, i * 4096);
    }
    for (auto& read : reads) {
      read->wait_for_all();
      read->check_pattern();
    }
    for (auto& write : writes) write->wait_for_all();
  }
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  Request stream(8);
  stream.read(ends[0], 0);
  CHECK(write(ends[1], "0123456", 8) == 8);
  // Nobody to wait for its data (docs/compatibility.md, L-06).
  if (may_refuse_streams && stream.wait() == EAGAIN) CHECK(aio_return(&stream.block) == -1);
  else stream.wait_for_all();
  close(ends[0]);
  close(ends[1]);
}

// In a child, whose one line of AIOX_VERBOSE=1 is the answer.
std::string verbose_line(const char* property) {
  std::string output, errors;
  int status = run_again(property, {"AIOX_VERBOSE=1"}, &output, &errors);
  if (status == 77) {
    printf("%s", output.c_str());
    _exit(77);
  }
  if (status != 0) FAIL("%s: status %d: %s", property, status, errors.c_str());
  printf("%s", errors.c_str());
  return errors;
}

long virtual_pages() {
  FILE* file = fopen("/proc/self/statm", "re");
  long pages = 0;
  CHECK(file != nullptr && fscanf(file, "%ld", &pages) == 1);
  fclose(file);
  return pages;
}

}  // namespace

// Not for CTest by itself: what properties here run again.
GUEST_PROPERTY(files_and_streams_work_as_they_are) {
  Files files;
  use_files(files);
}

// CTest runs this one alone.
GUEST_PROPERTY(aio_works_where_io_uring_is_disabled_by_sysctl) {
  int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDWR | O_CLOEXEC);
  char before[8] = {};
  if (fd < 0 || read(fd, before, sizeof before - 1) <= 0) skip("needs root and kernel.io_uring_disabled (Linux 6.6)");
  auto set = [&](const char* value) { return pwrite(fd, value, strlen(value), 0) > 0; };
  if (!set("2\n")) skip("kernel.io_uring_disabled cannot be changed here");
  // The work is done in a child, so that the setting comes back whatever happens there; the child's alarm ends it.
  alarm(0);
  pid_t child = fork_child([] {
    std::string line = verbose_line("files_and_streams_work_as_they_are");
    if (!is_answered_by_aiox()) return;
    if (line.find("kernel.io_uring_disabled=2") == std::string::npos ||
        line.find("sysctl -w kernel.io_uring_disabled=0") == std::string::npos)
      FAIL("neither the reason nor the remedy is named: %s", line.c_str());
  }, 100);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  bool is_restored = set(before);
  CHECK(is_restored);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) _exit(77);
  if (status != 0) FAIL("wait status %x", unsigned(status));
}

GUEST_PROPERTY(aio_works_with_no_memory_to_lock) {
  Files files;
  // The limit does not bind root.
  if (getuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
  rlimit limit{0, 0};
  CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
  use_files(files);
}

namespace {

// Each accepted request ends, with its data; EAGAIN says that there was no room for it. How many were refused of 96.
unsigned end_or_be_refused(const Files& files, std::vector<std::unique_ptr<Request>>& requests) {
  unsigned refused = 0;
  for (unsigned round = 0; round < 3; ++round) {
    for (unsigned i = 0; i < 32; ++i) {
      Request& request = *requests[i];
      bool is_write = i % 3 == 2;
      request.block = {};
      request.block.aio_fildes = is_write ? files.other : i % 3 && files.direct >= 0 ? files.direct : files.buffered;
      request.block.aio_offset = i * 4096;
      request.block.aio_buf = request.buffer;
      request.block.aio_nbytes = request.size_bytes;
      request.block.aio_sigevent.sigev_notify = SIGEV_NONE;
      memset(request.buffer, is_write ? 9 : 0, request.size_bytes);
      if ((is_write ? aio_write(&request.block) : aio_read(&request.block)) == 0) continue;
      if (errno != EAGAIN) FAIL("refused with errno %d", errno);
      ++refused;
      request.block.aio_fildes = -1;
    }
    for (unsigned i = 0; i < 32; ++i) {
      if (requests[i]->block.aio_fildes < 0) continue;
      requests[i]->wait_for_all();
      if (i % 3 != 2) requests[i]->check_pattern();
    }
  }
  return refused;
}

std::vector<std::unique_ptr<Request>> make_requests() {
  std::vector<std::unique_ptr<Request>> requests;
  for (unsigned i = 0; i < 32; ++i) requests.push_back(std::make_unique<Request>());
  return requests;
}

}  // namespace

// A program that keeps itself in memory: what the library maps counts against the limit at once.
GUEST_PROPERTY(aio_ends_or_answers_eagain_where_all_memory_is_locked) {
  if (is_sanitized()) skip("a sanitizer's memory is too much to lock");
  Files files;
  for (rlim_t limit_bytes : {rlim_t(1) << 20, rlim_t(16) << 20, rlim_t(64) << 20, rlim_t(256) << 20}) {
    expect_clean_exit(fork_child([&] {
      auto requests = make_requests();
      rlimit limit{limit_bytes, limit_bytes};
      if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return;
      if (getuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
      if (mlockall(MCL_FUTURE) != 0) skip("memory cannot be locked here");
      unsigned refused = end_or_be_refused(files, requests);
      printf("%llu MiB to lock: %u of 96 refused\n", static_cast<unsigned long long>(limit_bytes >> 20), refused);
      fflush(stdout);
    }));
  }
}

GUEST_PROPERTY(aio_ends_or_answers_eagain_without_address_space) {
  if (is_sanitized()) skip("a sanitizer needs the address space");
  Files files;
  for (long spare_pages : {0L, 1L, 4L, 16L, 64L, 256L, 1024L, 4096L, 8192L, 16384L, 32768L, 65536L}) {
    expect_clean_exit(fork_child([&] {
      auto requests = make_requests();
      rlimit limit{};
      limit.rlim_cur = limit.rlim_max = rlim_t(virtual_pages() + spare_pages) * 4096;
      CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
      unsigned refused = end_or_be_refused(files, requests);
      printf("%ld pages to spare: %u of 96 refused\n", spare_pages, refused);
      fflush(stdout);
      // There is room enough for an engine.
      if (spare_pages >= 65536 && refused > 0) FAIL("%u refused with %ld pages to spare", refused, spare_pages);
    }));
  }
}

GUEST_PROPERTY(aio_works_in_a_control_group_without_room_for_threads) {
  Files files;
  auto group = std::make_unique<ControlGroup>("pids");
  pid_t child = fork_child([&] {
    group->take_in_this_process();
    CHECK(group->set("pids.max", "1"));
    use_files(files, true);
  });
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  group.reset();
  if (status != 0) FAIL("wait status %x", unsigned(status));
}

GUEST_PROPERTY(verbose_line_names_a_full_control_group) {
  if (!is_answered_by_aiox()) skip("only aiox gives reasons");
  std::string line = verbose_line("aio_works_in_a_control_group_without_room_for_threads");
  if (line.find("pids.max") == std::string::npos) FAIL("the limit is not named: %s", line.c_str());
}
