// unseen_close.cc - descriptors that the program closes by an instruction of its own, as a plugin with libc's own close
// does: aiox does not see it. Nothing that was learnt of the old file refuses or misdirects a request for the next one,
// and what was queued for the old one does not reach it.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "native.h"

using namespace guest;

namespace {

void close_unseen(int fd) {
  long result;
#if defined(__x86_64__)
  asm volatile("syscall" : "=a"(result) : "a"(SYS_close), "D"(fd) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
  register long number asm("x8") = SYS_close;
  register long first asm("x0") = fd;
  asm volatile("svc #0" : "+r"(first) : "r"(number) : "memory");
  result = first;
#endif
  CHECK(result == 0);
}

// Opens a file and gives it the number, which is free.
void open_as(int fd, const std::string& path, int flags) { CHECK(open(path.c_str(), flags | O_CLOEXEC, 0600) == fd); }

int64_t size_of(const std::string& path) {
  struct stat status;
  CHECK(stat(path.c_str(), &status) == 0);
  return status.st_size;
}

}  // namespace

GUEST_PROPERTY(a_number_that_changed_hands_unseen_refuses_nothing) {
  const std::string path = scratch_path("unseen");
  close(pattern_file_at(path, 64 * 4096, 0));
  NativeContext context(8);
  int ends[2];
  CHECK(pipe(ends) == 0);
  const int fd = ends[0];
  // Each kind is met, by a request of both interfaces, after each other.
  for (unsigned round = 0; round < 6; ++round) {
    CHECK(write(ends[1], "x", 1) == 1);
    Request from_pipe(1);
    from_pipe.read(fd, 0);
    from_pipe.wait_for_all();
    close_unseen(fd);

    const bool is_native_first = round % 2 == 0;
    open_as(fd, path, O_RDWR);
    CHECK(lseek(fd, 8192, SEEK_SET) == 8192);
    for (const bool is_native : {is_native_first, !is_native_first}) {
      if (is_native) {
        NativeRequest read;
        read.read(fd, 5 * 4096);
        context.submit(read);
        while (context.reap() == 0) {
        }
        read.check_pattern();
      } else {
        Request read(4096);
        read.read(fd, 7 * 4096);
        read.wait_for_all();
        read.check_pattern();
      }
    }
    CHECK(lseek(fd, 0, SEEK_CUR) == 8192);  // a pipe's read would have moved it
    close_unseen(fd);

    open_as(fd, path, O_RDONLY);
    NativeRequest again;
    again.read(fd, 0);
    context.submit(again);
    while (context.reap() == 0) {
    }
    again.check_pattern();
    close_unseen(fd);

    open_as(fd, path, O_WRONLY);
    NativeRequest write_only;
    write_only.fill(9);
    write_only.write(fd, 63 * 4096);
    context.submit(write_only);
    while (context.reap() == 0) {
    }
    write_only.expect_all();
    close_unseen(fd);

    int next[2];
    CHECK(pipe(next) == 0);
    CHECK(next[0] == fd);
    close(ends[1]);
    ends[1] = next[1];
  }
  close(fd);
  close(ends[1]);
  unlink(path.c_str());
}

GUEST_PROPERTY(what_is_queued_when_a_number_changes_hands_unseen_never_reaches_the_next_file) {
  constexpr unsigned kWrites = 64;
  constexpr size_t kBytes = 128 * 1024;
  // A thread of aiox may be interrupted between its look at the number and its call (L-03), for longer than the program
  // takes to open the next file.
  constexpr unsigned kUnderWayMax = 2, kRoundsMax = 2;
  unsigned rounds_reached = 0;
  const std::string first = scratch_path("unseen-first"), second = scratch_path("unseen-second");
  for (unsigned round = 0; round < trials(12); ++round) {
    int fd = open(first.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    std::vector<std::unique_ptr<Request>> writes;
    for (unsigned i = 0; i < kWrites; ++i) {
      writes.push_back(std::make_unique<Request>(kBytes));
      writes.back()->fill(static_cast<unsigned char>(i + 1));
      writes.back()->write(fd, i * 2 * kBytes);  // they do not continue one another
    }
    close_unseen(fd);
    open_as(fd, second, O_RDWR | O_CREAT | O_TRUNC);
    unsigned done = 0;
    for (auto& write : writes) {
      const int error = write->wait();
      if (error != 0 && error != ECANCELED && error != EBADF) FAIL("a write ended with %s", strerror(error));
      if (error == 0) ++done;
    }
    struct stat status, next;
    CHECK(stat(first.c_str(), &status) == 0 && stat(second.c_str(), &next) == 0);
    const uint64_t reached_bytes = static_cast<uint64_t>(next.st_blocks) * 512;
    if (reached_bytes != 0 && (reached_bytes > kUnderWayMax * (kBytes + 4096) || ++rounds_reached > kRoundsMax))
      FAIL("round %u: %llu bytes are in the next file", round, static_cast<unsigned long long>(reached_bytes));
    // What is said to be done is in the file.
    CHECK(static_cast<uint64_t>(status.st_blocks) * 512 + reached_bytes >= uint64_t{done} * kBytes);
    CHECK(ftruncate(fd, 0) == 0);
    // And the number serves its new file.
    Request write(4096);
    write.fill(3);
    write.write(fd, 0);
    write.wait_for_all();
    CHECK(size_of(second) == 4096);
    close(fd);
  }
  unlink(first.c_str());
  unlink(second.c_str());
}
