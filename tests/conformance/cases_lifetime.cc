// cases_lifetime.cc - who may go away while requests run, and when: threads, memory, descriptors, and the process
// itself by fork, spawn, exec and exit.
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "case_runner.h"
#include "channels.h"
#include "requests.h"

extern char** environ;

namespace conformance {
namespace {

using aiox_test::kSanitized;
using aiox_test::note;

void write_one(int fd, off_t offset = 0) {
  aiocb cb = make_write(fd, "x", 1, offset);
  submit(cb);
  EXPECT_EQ(result_of(cb), 1);
}

// Waits for a child and checks its exit status.
void expect_child(pid_t child, int status_expected) {
  int status = 0;
  while (waitpid(child, &status, 0) != child) EXPECT_EQ(errno, EINTR);
  EXPECT(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), status_expected);
}

AIOX_CASE("a child forked after its parent used AIO can use AIO") {
  aiox_test::skip_if_no_threads_in_children();
  const int fd = open_temp_file();
  write_one(fd);
  const pid_t child = fork();
  if (child == 0) {
    note("AIO in the forked child");
    write_one(fd, 1);
    char buffer[2];
    aiocb read = make_read(fd, buffer, 2);
    const aiocb* const list[] = {&read};
    submit(read);
    while (aio_error(&read) == EINPROGRESS) EXPECT_EQ(aio_suspend(list, 1, nullptr), 0);
    EXPECT_EQ(aio_return(&read), 2);
    _exit(7);
  }
  expect_child(child, 7);
  write_one(fd, 2);
}

AIOX_CASE("a fork leaves the parent's requests in flight alone") {
  const Pipe pipe = open_pipe();
  const SocketPair pair = open_socketpair();
  char bytes[2] = "";
  aiocb on_pipe = make_read(pipe.read_fd, &bytes[0], 1), on_socket = make_read(pair.a, &bytes[1], 1);
  submit(on_pipe);
  submit(on_socket);
  let_it_begin(pipe.read_fd);
  for (int round = 0; round < 10; ++round) {
    const pid_t child = fork();
    if (child == 0) _exit(3);
    expect_child(child, 3);
  }
  EXPECT_EQ(aio_error(&on_pipe), EINPROGRESS);
  EXPECT_EQ(aio_error(&on_socket), EINPROGRESS);
  write_exactly(pipe.write_fd, "p");
  write_exactly(pair.b, "s");
  note("completing the parent's requests after forks");
  EXPECT_EQ(result_of(on_pipe), 1);
  EXPECT_EQ(result_of(on_socket), 1);
  EXPECT(bytes[0] == 'p' && bytes[1] == 's');
}

AIOX_CASE("the data a parent's read waits for is never taken by a forked child") {
  aiox_test::skip_if_no_threads_in_children();
  const Pipe pipe = open_pipe();
  char byte = 0;
  aiocb waiting = make_read(pipe.read_fd, &byte, 1);
  submit(waiting);
  let_it_begin(pipe.read_fd);
  const int fd = open_temp_file();
  const Pipe gate = open_pipe();
  const pid_t child = fork();
  if (child == 0) {
    write_exactly(pipe.write_fd, "x");  // while the child's own AIO runs
    for (int i = 0; i < 20; ++i) write_one(fd, i);
    EXPECT_EQ(byte, 0);
    read_exactly(gate.read_fd, 1);
    _exit(5);
  }
  note("the parent's read");
  EXPECT_EQ(result_of(waiting), 1);
  EXPECT_EQ(byte, 'x');
  write_exactly(gate.write_fd, "g");
  note("the child");
  expect_child(child, 5);
}

AIOX_CASE("a process that forks while other threads submit leaves both sides working", .timeout_s = 30,
          .not_compared = "glibc's child hangs when the fork meets its lock held or its threads idle: timing") {
  if (aiox_test::kSanitized) {
    aiox_test::skip_case("a fork may copy a lock that the sanitizer's own allocator holds at that moment");
  }
  const int fd = open_temp_file();
  std::atomic<bool> ending{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !ending; ++i) write_one(fd, 1000 * t + i % 1000);
    });
  }
  note("forking next to submitting threads");
  for (int round = 0; round < (kSanitized ? 10 : 40); ++round) {
    const pid_t child = fork();
    if (child == 0) {
      write_one(fd, 5000);
      _exit(9);
    }
    expect_child(child, 9);
  }
  ending = true;
  for (std::thread& thread : threads) thread.join();
}

AIOX_CASE("a daemon that forks twice can use AIO at every step") {
  aiox_test::skip_if_no_threads_in_children();
  const int fd = open_temp_file();
  write_one(fd);
  const pid_t child = fork();
  if (child == 0) {
    write_one(fd, 1);
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      write_one(fd, 2);
      _exit(4);
    }
    expect_child(grandchild, 4);
    write_one(fd, 3);
    _exit(6);
  }
  note("AIO in child and grandchild");
  expect_child(child, 6);
}

AIOX_CASE("programs can be spawned while requests are in flight") {
  const Pipe pipe = open_pipe();
  char byte;
  aiocb waiting = make_read(pipe.read_fd, &byte, 1);
  submit(waiting);
  let_it_begin(pipe.read_fd);
  char program[] = "/bin/true";
  char* arguments[] = {program, nullptr};
  for (int round = 0; round < 10; ++round) {
    pid_t child = -1;
    EXPECT_EQ(posix_spawn(&child, program, nullptr, nullptr, arguments, environ), 0);
    expect_child(child, 0);
  }
  EXPECT_EQ(aio_error(&waiting), EINPROGRESS);
  write_exactly(pipe.write_fd, "x");
  EXPECT_EQ(result_of(waiting), 1);
}

AIOX_CASE("a process can exec while requests are in flight") {
  const pid_t child = fork();
  if (child == 0) {
    const Pipe pipe = open_pipe();
    char byte;
    aiocb waiting = make_read(pipe.read_fd, &byte, 1);
    submit(waiting);
    let_it_begin(pipe.read_fd);
    execl("/bin/sh", "sh", "-c", "exit 11", static_cast<char*>(nullptr));
    _exit(1);
  }
  note("exec in a process with a request in flight");
  expect_child(child, 11);
}

AIOX_CASE("a process can exit while requests are in flight") {
  const pid_t child = fork();
  if (child == 0) {
    static const Pipe pipe = open_pipe();
    static char bytes[8];
    static aiocb waiting[8];
    for (int i = 0; i < 8; ++i) {
      waiting[i] = make_read(pipe.read_fd, &bytes[i], 1);
      submit(waiting[i]);
    }
    let_it_begin(pipe.read_fd);
    std::exit(12);
  }
  note("exit in a process with requests in flight");
  expect_child(child, 12);
}

AIOX_CASE("requests of a thread that has ended complete") {
  const Pipe pipes[] = {open_pipe(), open_pipe(), open_pipe()};
  const int fd = open_temp_file();
  static char bytes[3];
  static aiocb reads[3];
  static aiocb writes[50];
  static const char data[] = "x";
  std::thread submitter([&] {
    for (int i = 0; i < 3; ++i) {
      reads[i] = make_read(pipes[i].read_fd, &bytes[i], 1);
      submit(reads[i]);
    }
    for (int i = 0; i < 50; ++i) {
      writes[i] = make_write(fd, data, 1, i);
      submit(writes[i]);
    }
  });
  submitter.join();
  sleep_ms(20);
  for (const aiocb& cb : reads) EXPECT_EQ(aio_error(&cb), EINPROGRESS);
  for (const Pipe& pipe : pipes) write_exactly(pipe.write_fd, "y");
  note("completing the requests of a thread that is gone");
  for (aiocb& cb : reads) EXPECT_EQ(result_of(cb), 1);
  for (aiocb& cb : writes) EXPECT_EQ(result_of(cb), 1);
}

AIOX_CASE("the control block's memory can go as soon as aio_error says that the request is complete") {
  const int fd = open_temp_file();
  const int rounds = kSanitized ? 500 : 4000;
  const long page = sysconf(_SC_PAGESIZE);
  for (int round = 0; round < rounds; ++round) {
    void* const memory = mmap(nullptr, static_cast<size_t>(page), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(memory != MAP_FAILED);
    auto* const cb = new (memory) aiocb(make_write(fd, "x", 1, round % 4096));
    if (round % 3 == 0) std::memset(&cb->aio_sigevent, 0, sizeof cb->aio_sigevent);
    submit(*cb);
    while (aio_error(cb) == EINPROGRESS) {
    }
    EXPECT_EQ(aio_return(cb), 1);
    EXPECT_EQ(munmap(memory, static_cast<size_t>(page)), 0);
  }
}

struct Unmapping {
  void* memory;
  sem_t done;
};

void unmap_in_callback(sigval value) {
  auto* const unmapping = static_cast<Unmapping*>(value.sival_ptr);
  munmap(unmapping->memory, 4096);
  sem_post(&unmapping->done);
}

AIOX_CASE("the control block's memory can go in its callback") {
  const int fd = open_temp_file();
  Unmapping unmapping{};
  sem_init(&unmapping.done, 0, 0);
  for (int round = 0; round < 300; ++round) {
    unmapping.memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(unmapping.memory != MAP_FAILED);
    auto* const cb = new (unmapping.memory) aiocb(make_write(fd, "x", 1));
    cb->aio_sigevent = thread_event(unmap_in_callback, &unmapping);
    submit(*cb);
    note("waiting for the callback that unmaps the control block");
    while (sem_wait(&unmapping.done) != 0) {
    }
  }
}

AIOX_CASE("control blocks on the heap can be freed when LIO_WAIT returns") {
  const int fd = open_temp_file();
  for (int round = 0; round < 300; ++round) {
    std::vector<std::unique_ptr<aiocb>> cbs;
    std::vector<aiocb*> list;
    for (int i = 0; i < 8; ++i) {
      cbs.push_back(std::make_unique<aiocb>(make_write(fd, "x", 1, i)));
      list.push_back(cbs.back().get());
    }
    EXPECT_EQ(lio_listio(LIO_WAIT, list.data(), 8, nullptr), 0);
    for (auto& cb : cbs) {
      EXPECT_EQ(aio_return(cb.get()), 1);
      std::memset(static_cast<void*>(cb.get()), 0xdd, sizeof(aiocb));
    }
  }
}

std::set<std::string> open_descriptors() {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (!error && target.find("/proc/") != 0) found.insert(entry.path().filename().string() + " " + target);
  }
  return found;
}

AIOX_CASE("the program's descriptor table does not change") {
  const int fd = open_temp_file();
  const Pipe pipe = open_pipe();
  const SocketPair pair = open_socketpair();
  char bytes[2];
  const std::set<std::string> before = open_descriptors();
  aiocb on_pipe = make_read(pipe.read_fd, &bytes[0], 1), on_socket = make_read(pair.a, &bytes[1], 1);
  submit(on_pipe);
  submit(on_socket);
  for (int i = 0; i < 50; ++i) write_one(fd, i);
  EXPECT(open_descriptors() == before);
  write_exactly(pipe.write_fd, "x");
  write_exactly(pair.b, "x");
  EXPECT_EQ(result_of(on_pipe), 1);
  EXPECT_EQ(result_of(on_socket), 1);
  EXPECT(open_descriptors() == before);
}

AIOX_CASE("a program that closes every descriptor it does not know keeps its AIO") {
  const int fd = open_temp_file();
  const Pipe pipe = open_pipe();
  char byte;
  write_one(fd);
  aiocb waiting = make_read(pipe.read_fd, &byte, 1);
  submit(waiting);
  let_it_begin(pipe.read_fd);
  const std::set<int> known{0, 1, 2, fd, pipe.read_fd, pipe.write_fd};
  for (int other = 3; other < 1000; ++other) {
    if (known.count(other) == 0) close(other);
  }
  note("AIO after closing every unknown descriptor");
  for (int i = 0; i < 20; ++i) write_one(fd, i);
  write_exactly(pipe.write_fd, "x");
  EXPECT_EQ(result_of(waiting), 1);
}

AIOX_CASE("record locks of the process survive AIO on the locked file") {
  const int fd = open_temp_file();
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  EXPECT_EQ(fcntl(fd, F_SETLK, &lock), 0);
  for (int i = 0; i < 20; ++i) write_one(fd, i);
  const pid_t child = fork();
  if (child == 0) {
    struct flock probe = lock;
    if (fcntl(fd, F_GETLK, &probe) != 0) _exit(1);
    _exit(probe.l_type == F_WRLCK ? 21 : 22);
  }
  expect_child(child, 21);
}

AIOX_CASE("a pipe gives its end when the writer closes it after its writes are complete") {
  const Pipe pipe = open_pipe();
  for (int i = 0; i < 5; ++i) write_one(pipe.write_fd);
  EXPECT_EQ(close(pipe.write_fd), 0);
  read_exactly(pipe.read_fd, 5);
  char byte;
  note("reading the end of a pipe whose writer is closed");
  EXPECT_EQ(read(pipe.read_fd, &byte, 1), 0);  // nobody else may hold the writing end open
}

AIOX_CASE("threads that use AIO for a moment can come and go by the hundred") {
  const int fd = open_temp_file();
  for (int round = 0; round < 30; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) threads.emplace_back([fd, t] { write_one(fd, t); });
    for (std::thread& thread : threads) thread.join();
  }
}

}  // namespace
}  // namespace conformance
