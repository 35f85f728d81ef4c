// charges.cc - whose account asynchronous I/O is on: that of the process's control group, in every lane, also when the
// process has joined it after its first request. Needs root; otherwise skipped.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sstream>

#include "control_group.h"
#include "guest.h"

using namespace guest;

namespace {

constexpr size_t kChargedBytes = 4 << 20;
constexpr size_t kChunkBytes = 64 * 1024;

// Bytes read by the group's members, of all devices. Version 2: "8:0 rbytes=N wbytes=...", version 1: "8:0 Read N".
uint64_t bytes_read_in(const ControlGroup& group) {
  uint64_t sum = 0;
  std::istringstream lines(group.get(group.is_unified() ? "io.stat" : "blkio.throttle.io_service_bytes"));
  for (std::string line; std::getline(lines, line);) {
    const char* key = group.is_unified() ? "rbytes=" : " Read ";
    size_t at = line.find(key);
    if (at != std::string::npos) sum += strtoull(line.c_str() + at + strlen(key), nullptr, 10);
  }
  return sum;
}

void expect_reads_to_be_charged(int fd, bool has_begun_before) {
  auto group = std::make_unique<ControlGroup>("io");
  if (!group->is_unified()) {
    // Version 1 counts where there is a limit, even one that is never reached.
    struct stat status {};
    CHECK(fstat(fd, &status) == 0);
    std::string device = std::to_string(major(status.st_dev)) + ":" + std::to_string(minor(status.st_dev));
    std::string limit = device + " 1000000000000";
    if (!group->set("blkio.throttle.read_bps_device", limit.c_str())) skip("the controller does not count bytes here");
  }
  int done[2], leave[2];
  CHECK(pipe2(done, O_CLOEXEC) == 0 && pipe2(leave, O_CLOEXEC) == 0);
  drop_cache(fd);
  pid_t child = fork_child([&] {
    if (has_begun_before) {
      // Threads that are there already are taken along.
      Load load(16, 2);
      load.submit();
      load.finish();
    }
    group->take_in_this_process();
    std::vector<std::unique_ptr<Request>> requests;
    for (size_t at = 0; at < kChargedBytes; at += kChunkBytes) {
      requests.push_back(std::make_unique<Request>(kChunkBytes));
      requests.back()->read(fd, at);
    }
    for (auto& request : requests) {
      request->wait_for_all();
      request->check_pattern();
    }
    char byte;
    CHECK(write(done[1], "x", 1) == 1);
    CHECK(read(leave[0], &byte, 1) == 1);
  });
  // The counts may be gathered late.
  close(done[1]);
  char byte;
  uint64_t charged = 0;
  if (read(done[0], &byte, 1) == 1) {
    for (int i = 0; i < 400 && (charged = bytes_read_in(*group)) < kChargedBytes; ++i) sleep_ms(5);
    CHECK(write(leave[1], "x", 1) == 1);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  group.reset();
  if (status != 0) FAIL("wait status %x", unsigned(status));
  if (charged < kChargedBytes)
    FAIL("%llu of %zu bytes are charged", static_cast<unsigned long long>(charged), kChargedBytes);
}

bool is_on_a_disk(int fd) {
  struct stat status {};
  CHECK(fstat(fd, &status) == 0);
  return major(status.st_dev) != 0;
}

}  // namespace

GUEST_PROPERTY(cold_reads_are_charged_to_the_control_group) {
  int fd = pattern_file(kChargedBytes);
  if (!is_on_a_disk(fd)) skip("the scratch directory is not on a disk of its own");
  for (bool has_begun_before : {false, true}) expect_reads_to_be_charged(fd, has_begun_before);
}

GUEST_PROPERTY(direct_reads_are_charged_to_the_control_group) {
  int fd = pattern_file(kChargedBytes, O_DIRECT);
  if (fd < 0) skip("O_DIRECT is not supported here");
  if (!is_on_a_disk(fd)) skip("the scratch directory is not on a disk of its own");
  for (bool has_begun_before : {false, true}) expect_reads_to_be_charged(fd, has_begun_before);
}
