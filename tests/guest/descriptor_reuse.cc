// descriptor_reuse.cc - a descriptor number that is closed and at once given to another file, again and again with
// requests queued: those queued before go to the old file, all of them; those after to the new one; no byte crosses.
// (The C library looks the number up when a request runs: there, bytes go to the wrong file.)
#include <dirent.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "native.h"

using namespace guest;

namespace {

constexpr unsigned kWrites = 6, kReads = 2;
constexpr unsigned kSlots = 1024;                  // of each file; a slot is kWrites blocks
constexpr size_t kReadZone = 64 * 1024;            // never written: a pattern that names the file
constexpr unsigned kRounds = 100000;

// How the number changes hands; returns the number, which now belongs to `path`.
using Handover = int (*)(int fd, const char* path);

int g_flags = 0;

int open_file(const char* path) {
  int fd = open(path, O_RDWR | O_CLOEXEC | g_flags);
  CHECK(fd >= 0);
  return fd;
}

int by_close(int fd, const char* path) {
  CHECK(close(fd) == 0);
  return open_file(path);
}

int by_dup2(int fd, const char* path) {
  int other = open_file(path);
  CHECK(dup2(other, fd) == fd);
  CHECK(close(other) == 0);
  return fd;
}

int by_dup3(int fd, const char* path) {
  int other = open_file(path);
  CHECK(dup3(other, fd, O_CLOEXEC) == fd);
  CHECK(close(other) == 0);
  return fd;
}

int by_close_range(int fd, const char* path) {
  CHECK(close_range(unsigned(fd), unsigned(fd), 0) == 0);
  return open_file(path);
}

int by_fclose(int fd, const char* path) {
  FILE* stream = fdopen(fd, "r+");
  CHECK(stream != nullptr);
  CHECK(fclose(stream) == 0);
  return open_file(path);
}

// libc gives the number away itself, by no call of the program's.
int by_freopen(int fd, const char* path) {
  static FILE* stream = nullptr;  // whose number it is from the second time on
  if (stream == nullptr || fileno(stream) != fd) stream = fdopen(fd, "r+");
  CHECK(stream != nullptr);
  CHECK(freopen(path, "r+", stream) == stream);
  return fileno(stream);
}

int by_closefrom(int fd, const char* path) {
  closefrom(fd);
  return open_file(path);
}

int by_number_of_close(int fd, const char* path) {
  CHECK(syscall(SYS_close, fd) == 0);
  return open_file(path);
}

unsigned char value_of(unsigned round, unsigned i) { return static_cast<unsigned char>(1 + (round * 7 + i) % 255); }

// One user of the number: writes to a slot of its own, reads of the zone that names the file.
struct Batch {
  std::vector<std::unique_ptr<Request>> writes, reads;
  unsigned file = 0;

  Batch() {
    for (unsigned i = 0; i < kWrites; ++i) writes.push_back(std::make_unique<Request>(kBlockBytes));
    for (unsigned i = 0; i < kReads; ++i) reads.push_back(std::make_unique<Request>(kBlockBytes));
  }
  void submit(int fd, unsigned which_file, unsigned round) {
    file = which_file;
    for (unsigned i = 0; i < kWrites; ++i) {
      writes[i]->fill(value_of(round, i));
      writes[i]->write(fd, kReadZone + (uint64_t(round / 2 % kSlots) * kWrites + i) * kBlockBytes);
      if (i < kReads) reads[i]->read(fd, random_below(kReadZone / kBlockBytes) * kBlockBytes);
    }
  }
  void finish() {
    for (auto& write : writes) write->wait_for_all();
    for (auto& read : reads) {
      read->wait_for_all();
      read->check_pattern(file);
    }
  }
};

// The same by native AIO, each batch on the context of its file, whose events are taken in one way or another.
struct NativeBatch {
  NativeContext context{kWrites + kReads, kEveryWay[random_below(4)]};
  NativeRequests requests = native_requests(kWrites + kReads, kBlockBytes);
  unsigned file = 0;

  void submit(int fd, unsigned which_file, unsigned round) {
    file = which_file;
    for (unsigned i = 0; i < kWrites; ++i) {
      requests[i]->fill(value_of(round, i));
      requests[i]->write(fd, kReadZone + (uint64_t(round / 2 % kSlots) * kWrites + i) * kBlockBytes);
    }
    for (unsigned i = kWrites; i < kWrites + kReads; ++i)
      requests[i]->read(fd, random_below(kReadZone / kBlockBytes) * kBlockBytes);
    context.submit(requests);
  }
  void finish() {
    context.finish();
    for (auto& request : requests) {
      request->expect_all();
      if (request->block.aio_lio_opcode == IOCB_CMD_PREAD) request->check_pattern(file);
    }
  }
};

template <class Batch>
void hand_over_often(Handover handover, unsigned round_count) {
  unsigned rounds = trials(round_count) / 2 * 2;
  std::string paths[2] = {scratch_path("a"), scratch_path("b")};
  size_t file_bytes = kReadZone + kSlots * kWrites * kBlockBytes;
  for (unsigned file = 0; file < 2; ++file) close(pattern_file_at(paths[file], file_bytes, 0, file));

  Batch batches[2];  // first, so that what they have open has lower numbers
  int fd = open_file(paths[0].c_str());
  const int number = fd;
  for (unsigned round = 0; round < rounds; ++round) {
    unsigned file = round % 2;
    batches[file].submit(fd, file, round);
    fd = handover(fd, paths[1 - file].c_str());
    CHECK(fd == number);
    if (round > 0) batches[1 - file].finish();  // of the round before; this round's runs on meanwhile
  }
  batches[(rounds - 1) % 2].finish();
  close(fd);

  g_flags = 0;
  std::vector<unsigned char> block(kBlockBytes);
  for (unsigned file = 0; file < 2; ++file) {
    fd = open_file(paths[file].c_str());
    struct stat status {};
    CHECK(fstat(fd, &status) == 0 && size_t(status.st_size) == file_bytes);
    for (unsigned slot = 0; slot < kSlots && slot < rounds / 2; ++slot) {
      // The last round that wrote this slot of this file.
      unsigned last = slot + (rounds / 2 - 1 - slot) / kSlots * kSlots;
      for (unsigned i = 0; i < kWrites; ++i) {
        CHECK(pread(fd, block.data(), kBlockBytes, off_t(kReadZone + (size_t(slot) * kWrites + i) * kBlockBytes)) ==
              ssize_t(kBlockBytes));
        for (unsigned char byte : block)
          if (byte != value_of(last * 2 + file, i))
            FAIL("file %u, slot %u, block %u holds %d, not %d", file, slot, i, byte, value_of(last * 2 + file, i));
      }
    }
    for (uint64_t b = 0; b < kReadZone / kBlockBytes; ++b) {
      CHECK(pread(fd, block.data(), kBlockBytes, off_t(b * kBlockBytes)) == ssize_t(kBlockBytes));
      CHECK(block[0] == block_byte(b, file) && block[kBlockBytes - 1] == block_byte(b, file));
    }
    close(fd);
    unlink(paths[file].c_str());
  }
}

}  // namespace

namespace {

void hand_over_posix(Handover handover) {
  if (!is_answered_by_aiox()) skip("the C library does not hold this property");
  hand_over_often<Batch>(handover, handover == by_close ? kRounds : kRounds / 4);
}

void hand_over_native(Handover handover, int flags = 0) {
  if (flags != 0 && !supports_direct()) skip("O_DIRECT is not supported here");
  g_flags = flags;
  hand_over_often<NativeBatch>(handover, flags != 0 ? kRounds / 10 : kRounds / 5);
}

}  // namespace

GUEST_PROPERTY(number_reused_after_close_reaches_the_right_file) { hand_over_posix(by_close); }
GUEST_PROPERTY(number_reused_by_dup2_reaches_the_right_file) { hand_over_posix(by_dup2); }
GUEST_PROPERTY(number_reused_by_dup3_reaches_the_right_file) { hand_over_posix(by_dup3); }
GUEST_PROPERTY(number_reused_after_close_range_reaches_the_right_file) { hand_over_posix(by_close_range); }
GUEST_PROPERTY(number_reused_after_fclose_reaches_the_right_file) { hand_over_posix(by_fclose); }
GUEST_PROPERTY(number_reused_by_freopen_reaches_the_right_file) { hand_over_posix(by_freopen); }

GUEST_PROPERTY(native_number_reused_after_close_reaches_the_right_file) { hand_over_native(by_close); }
GUEST_PROPERTY(native_number_reused_by_dup2_reaches_the_right_file) { hand_over_native(by_dup2); }
GUEST_PROPERTY(native_number_reused_by_dup3_reaches_the_right_file) { hand_over_native(by_dup3); }
GUEST_PROPERTY(native_number_reused_after_close_range_reaches_the_right_file) { hand_over_native(by_close_range); }
GUEST_PROPERTY(native_number_reused_after_closefrom_reaches_the_right_file) { hand_over_native(by_closefrom); }
GUEST_PROPERTY(native_number_reused_after_fclose_reaches_the_right_file) { hand_over_native(by_fclose); }
GUEST_PROPERTY(native_number_reused_by_freopen_reaches_the_right_file) { hand_over_native(by_freopen); }
GUEST_PROPERTY(native_number_reused_after_syscall_reaches_the_right_file) { hand_over_native(by_number_of_close); }
GUEST_PROPERTY(native_number_of_a_direct_file_reused_after_close) { hand_over_native(by_close, O_DIRECT); }
GUEST_PROPERTY(native_number_of_a_direct_file_reused_by_dup2) { hand_over_native(by_dup2, O_DIRECT); }

// What libc closes itself: when the call returns, what was submitted has ended.
GUEST_PROPERTY(requests_have_ended_when_a_call_of_libc_has_closed_their_descriptor) {
  FILE* program = popen("exec sleep 0.2", "r");
  CHECK(program != nullptr);
  Request from_program(1);
  from_program.read(fileno(program), 0);
  CHECK(pclose(program) == 0);
  CHECK(from_program.is_done() && from_program.wait() == ECANCELED);

  const std::string path = scratch_path("closed-by-libc");
  static auto* const left = new std::vector<FILE*>;  // libc keeps what could not be opened again
  close(pattern_file_at(path, 1 << 20, 0));
  for (unsigned round = 0; round < trials(200); ++round) {
    FILE* stream = fopen(path.c_str(), "r+e");
    CHECK(stream != nullptr);
    Request write(512 * 1024);
    write.write(fileno(stream), 0);
    if (round % 2 != 0) left->push_back(stream);
    stream = round % 2 == 0 ? freopen("/dev/null", "w", stream) : freopen(path.c_str(), "no mode", stream);
    CHECK(write.is_done() && (stream != nullptr) == (round % 2 == 0));  // closed, also where nothing is opened
    write.wait_for_all();
    if (stream != nullptr) CHECK(fclose(stream) == 0);

    DIR* directory = opendir("/");
    CHECK(directory != nullptr);
    Request sync(1);
    sync.block.aio_fildes = dirfd(directory);
    CHECK(aio_fsync(O_SYNC, &sync.block) == 0);
    CHECK(closedir(directory) == 0);
    CHECK(sync.is_done() && sync.wait() != ECANCELED);
  }
  unlink(path.c_str());

  const mqd_t queue =
      mq_open(("/closed-by-libc." + std::to_string(getpid())).c_str(), O_RDONLY | O_CREAT | O_EXCL, 0600, nullptr);
  if (queue < 0) return;  // the kernel has none
  mq_unlink(("/closed-by-libc." + std::to_string(getpid())).c_str());
  Request state(16);
  state.read(queue, 0);
  CHECK(mq_close(queue) == 0);
  CHECK(state.is_done() && state.wait() != ECANCELED);
}

// A handler that closes, as those that rotate a log do, and strikes in the middle of other AIO: it must not wait for
// what the interrupted code holds, and what was queued must not reach what it opens.
namespace {

constexpr unsigned kQueued = 24;
constexpr size_t kQueuedBytes = 128 * 1024;

volatile sig_atomic_t g_log = -1, g_socket = -1, g_handled = 0;
const char* g_next_path = nullptr;

void replace_log_and_socket(int) {
  const int saved_errno = errno;
  const int log = g_log, socket = g_socket;
  close(log);
  if (open(g_next_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) != log) _exit(1);
  dup2(log, socket);
  g_handled = 1;
  errno = saved_errno;
}

void close_in_handlers_for(double seconds) {
  const std::string paths[2] = {scratch_path("log"), scratch_path("next")};
  g_next_path = paths[1].c_str();
  const int other = pattern_file(64 * kBlockBytes);
  struct sigaction action {};
  action.sa_handler = replace_log_and_socket;
  action.sa_flags = SA_RESTART;
  CHECK(sigaction(SIGALRM, &action, nullptr) == 0);
  std::vector<std::unique_ptr<Request>> writes;
  for (unsigned i = 0; i < kQueued; ++i) writes.push_back(std::make_unique<Request>(kQueuedBytes));
  Request busy(kBlockBytes), waiting(8);
  timespec begin{}, now{};
  clock_gettime(CLOCK_MONOTONIC, &begin);
  do {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    waiting.read(pair[0], 0);
    g_socket = pair[0];
    g_log = open(paths[0].c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(g_log >= 0);
    const int keeper = open(paths[0].c_str(), O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; i < kQueued; ++i) {
      writes[i]->fill('L');
      writes[i]->write(g_log, 2 * i * kQueuedBytes);
    }
    g_handled = 0;
    const itimerval once = {{0, 0}, {0, 100 + long(random_below(1500))}};
    setitimer(ITIMER_REAL, &once, nullptr);
    while (g_handled == 0) {
      busy.read(other, random_below(64) * kBlockBytes);
      busy.wait_for_all();
      busy.check_pattern();
    }
    for (unsigned i = 0; i < kQueued; ++i) {
      const int error = writes[i]->wait();
      CHECK(error == 0 || error == ECANCELED);
      char byte = 0;
      if (error == 0) CHECK(pread(keeper, &byte, 1, off_t((2 * i + 1) * kQueuedBytes - 1)) == 1 && byte == 'L');
    }
    CHECK(waiting.wait() == ECANCELED);
    struct stat status {};
    CHECK(fstat(g_log, &status) == 0 && status.st_size == 0);
    for (int fd : {int(g_log), pair[0], pair[1], keeper}) close(fd);
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while (double(now.tv_sec - begin.tv_sec) + 1e-9 * double(now.tv_nsec - begin.tv_nsec) < seconds);
  for (const std::string& path : paths) unlink(path.c_str());
}

}  // namespace

GUEST_PROPERTY(numbers_closed_in_a_handler_are_not_written_to) {
  if (!is_answered_by_aiox()) skip("the C library does not hold this property");
  close_in_handlers_for(1.5);
}

// tracefs' trace_pipe is a regular file to stat, and a read of it waits for data.
GUEST_PROPERTY(close_waits_for_no_data_of_what_looked_like_a_file) {
  if (!is_answered_by_aiox()) skip("the C library does not hold this property");
  const std::string mount_point = scratch_path("tracefs"), instance = mount_point + "/instances/aiox-test";
  mkdir(mount_point.c_str(), 0700);
  const bool is_mounted = unshare(CLONE_NEWNS) == 0 &&
                          mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                          mount("tracefs", mount_point.c_str(), "tracefs", 0, nullptr) == 0;
  if (is_mounted) mkdir(instance.c_str(), 0700);
  const int fd = open((instance + "/trace_pipe").c_str(), O_RDONLY | O_CLOEXEC);
  const int mark = open((instance + "/trace_marker").c_str(), O_WRONLY | O_CLOEXEC);
  bool is_in_time = true;
  if (fd >= 0 && mark >= 0) {
    Request first, second;
    first.read(fd, 0);
    sleep_ms(50);
    second.read(fd, 0);
    // Another process ends what would wait for ever.
    const pid_t rescuer = fork_child([mark] {
      sleep_ms(8000);
      CHECK(write(mark, "end", 3) == 3);
    });
    close(fd);
    is_in_time = kill(rescuer, SIGKILL) == 0 && first.is_done() && second.is_done();
    int status = 0;
    is_in_time = waitpid(rescuer, &status, 0) == rescuer && WIFSIGNALED(status) && is_in_time;
    first.wait();
    second.wait();
    close(mark);
  }
  rmdir(instance.c_str());
  umount2(mount_point.c_str(), MNT_DETACH);
  rmdir(mount_point.c_str());
  if (fd < 0) skip("no trace_pipe is to be had");
  CHECK(is_in_time);
}
