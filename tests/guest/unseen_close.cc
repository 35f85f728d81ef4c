// unseen_close.cc - descriptors that the program closes by an instruction of its own, as a plugin with libc's own close
// does: aiox does not see it. Nothing that was learnt of the old file refuses or misdirects a request for the next one,
// and what was queued for the old one does not reach it.
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
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

// What a number cannot do is asked again: of a file that was opened for reading alone, of the other end of a pipe.
GUEST_PROPERTY(native_requests_are_not_refused_for_what_an_unseen_number_was) {
  const std::string path = scratch_path("unseen");
  close(pattern_file_at(path, 64 * 4096, 0));
  NativeContext context(8);
  const auto run = [&](NativeRequest& request) {
    context.submit(request);
    context.finish();
    request.expect_all();
  };
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0);
  for (unsigned round = 0; round < 4; ++round) {
    NativeRequest read, write, again, from_pipe(1), behind_pipe;
    run(read.read(fd, 0));
    close_unseen(fd);
    open_as(fd, path, O_WRONLY);
    write.fill(9);
    run(write.write(fd, 63 * 4096));
    close_unseen(fd);
    open_as(fd, path, O_RDONLY);
    run(again.read(fd, 4096));
    close_unseen(fd);

    int ends[2];
    CHECK(pipe(ends) == 0 && ends[0] == fd && ::write(ends[1], "x", 1) == 1);
    run(from_pipe.read(fd, 0));
    close_unseen(fd);
    open_as(fd, path, round % 2 == 0 ? O_WRONLY : O_RDWR);
    if (round % 2 == 0) {
      behind_pipe.fill(9);
      run(behind_pipe.write(fd, 63 * 4096));
    } else {
      behind_pipe.read(fd, 0);
      behind_pipe.block.aio_lio_opcode = IOCB_CMD_FSYNC;
      behind_pipe.block.aio_buf = behind_pipe.block.aio_nbytes = 0;
      context.submit(behind_pipe);
      context.finish();
      CHECK(behind_pipe.result == 0);
    }
    close(ends[1]);
    close_unseen(fd);
    open_as(fd, path, O_RDONLY);
  }
  close(fd);
  unlink(path.c_str());
}

// /dev/null waits for nothing; a signalfd has the signals of the thread that submits.
GUEST_PROPERTY(native_signals_are_read_where_dev_null_was) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  CHECK(pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0);
  NativeContext context(8);
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0);
  NativeRequest nothing, information(sizeof(signalfd_siginfo));
  nothing.read(fd, 0);
  context.submit(nothing);
  context.finish();
  CHECK(nothing.result == 0);
  close_unseen(fd);
  CHECK(signalfd(-1, &signals, SFD_CLOEXEC) == fd);
  CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0);
  information.read(fd, 0);
  context.submit(information);
  context.finish();
  information.expect_all();
  close(fd);
}

// Only where the direct lane is in use may it end with ECANCELED, if the kernel would have to wait (L-03).
GUEST_PROPERTY(a_read_of_an_unseen_number_that_was_a_direct_files_reaches_the_next_file) {
  if (!supports_direct()) skip("no O_DIRECT");
  const char* lane = getenv("AIOX_DIRECT");
  const bool may_be_cancelled = is_answered_by_aiox() && (lane == nullptr || strcmp(lane, "0") != 0);
  const std::string first = scratch_path("unseen-direct"), second = scratch_path("unseen-cached");
  close(pattern_file_at(first, 64 * 4096, 0));
  close(pattern_file_at(second, 64 * 4096, 0, 1));
  NativeContext context(8);
  const int fd = open(first.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  CHECK(fd >= 0);
  for (unsigned round = 0; round < 8; ++round) {
    Request direct, cached;
    direct.read(fd, 4096 * round);
    direct.wait_for_all();
    direct.check_pattern();
    close_unseen(fd);
    open_as(fd, second, O_RDWR);
    if (round % 2 == 0) {
      cached.read(fd, 4096 * round);
      const int error = cached.wait();
      if (error == ECANCELED && may_be_cancelled) goto next;
      if (error != 0) FAIL("a read of the next file ended with %s", strerror(error));
      cached.check_pattern(1);
    } else {
      NativeRequest native;
      native.read(fd, 4096 * round);
      context.submit(native);
      context.finish();
      if (native.result == -ECANCELED && may_be_cancelled) goto next;
      native.expect_all();
      native.check_pattern(1);
    }
  next:
    close_unseen(fd);
    open_as(fd, first, O_RDWR | O_DIRECT);
  }
  close(fd);
  unlink(first.c_str());
  unlink(second.c_str());
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
