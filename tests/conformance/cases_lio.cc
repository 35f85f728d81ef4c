// cases_lio.cc - lio_listio: entries that cannot run next to those that can, LIO_WAIT under signals, and the one
// notification of a LIO_NOWAIT list.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "case_runner.h"
#include "channels.h"
#include "requests.h"

namespace conformance {
namespace {

using aiox_test::note;

const int kListSignal = SIGRTMIN + 5;
const int kEntrySignal = SIGRTMIN + 6;

void expect_one_list_signal(int value) {
  siginfo_t info{};
  EXPECT(take_signal(kListSignal, 10000, &info));
  EXPECT_EQ(info.si_code, SI_ASYNCIO);
  EXPECT_EQ(info.si_value.sival_int, value);
  EXPECT(!take_signal(kListSignal, 20));
}

AIOX_CASE("lio_listio with a mode other than LIO_WAIT and LIO_NOWAIT is refused with EINVAL") {
  const int fd = open_temp_file();
  aiocb cb = make_write(fd, "x", 1);
  aiocb* list[] = {&cb};
  for (const int mode : {-1, 2, 99}) EXPECT_FAILS(lio_listio(mode, list, 1, nullptr), EINVAL);
  EXPECT_EQ(lseek(fd, 0, SEEK_END), 0);
}

AIOX_CASE("an empty list is done at once") {
  aiocb* list[] = {nullptr};
  EXPECT_EQ(lio_listio(LIO_WAIT, list, 0, nullptr), 0);
  EXPECT_EQ(lio_listio(LIO_NOWAIT, list, 0, nullptr), 0);
}

AIOX_CASE("LIO_NOWAIT with an empty list notifies once") {
  block_signal(kListSignal);
  aiocb* list[] = {nullptr};
  sigevent event = signal_event(kListSignal, 1);
  EXPECT_EQ(lio_listio(LIO_NOWAIT, list, 0, &event), 0);
  expect_one_list_signal(1);
}

AIOX_CASE("LIO_NOWAIT with only NULL and LIO_NOP entries notifies once") {
  block_signal(kListSignal);
  aiocb nop = make_request(LIO_NOP, -1, nullptr, 0);
  aiocb* list[] = {nullptr, &nop, nullptr};
  sigevent event = signal_event(kListSignal, 2);
  EXPECT_EQ(lio_listio(LIO_NOWAIT, list, 3, &event), 0);
  expect_one_list_signal(2);
}

AIOX_CASE("NULL and LIO_NOP entries of a list are ignored") {
  const int fd = open_temp_file();
  for (const int mode : {LIO_WAIT, LIO_NOWAIT}) {
    aiocb nop = make_request(LIO_NOP, -1, nullptr, 0), write = make_write(fd, "data", 4);
    aiocb* list[] = {nullptr, &nop, &write, nullptr, &nop};
    EXPECT_EQ(lio_listio(mode, list, 5, nullptr), 0);
    EXPECT_EQ(result_of(write), 4);
    EXPECT_EQ(aio_error(&nop), 0);
  }
}

struct MixedList {
  int fd = open_temp_file();
  char buffer[4] = "";
  aiocb good_first = make_write(fd, "good", 4, 0);
  aiocb bad_opcode = make_request(77, fd, buffer, 4);
  aiocb bad_fd = make_read(-1, buffer, 4);
  aiocb bad_priority = make_read(fd, buffer, 4);
  aiocb good_last = make_write(fd, "last", 4, 4);
  aiocb* list[5] = {&good_first, &bad_opcode, &bad_fd, &bad_priority, &good_last};

  MixedList() { bad_priority.aio_reqprio = 21; }

  void expect_ends() {
    EXPECT_EQ(result_of(good_first), 4);
    EXPECT_EQ(result_of(good_last), 4);
    EXPECT_EQ(wait_for(bad_opcode), EINVAL);
    EXPECT_EQ(wait_for(bad_fd), EBADF);
    EXPECT_EQ(wait_for(bad_priority), EINVAL);
    for (aiocb* cb : {&bad_opcode, &bad_fd, &bad_priority}) EXPECT_EQ(aio_return(cb), -1);
    char all[9] = "";
    EXPECT_EQ(pread(fd, all, 8, 0), 8);
    EXPECT(std::string(all) == "goodlast");
  }
};

AIOX_CASE("LIO_WAIT with bad entries runs the others and ends with EIO") {
  MixedList mixed;
  EXPECT_FAILS(lio_listio(LIO_WAIT, mixed.list, 5, nullptr), EIO);
  mixed.expect_ends();
}

AIOX_CASE("LIO_NOWAIT with bad entries runs the others, answers EIO and notifies once") {
  block_signal(kListSignal);
  MixedList mixed;
  sigevent event = signal_event(kListSignal, 3);
  EXPECT_FAILS(lio_listio(LIO_NOWAIT, mixed.list, 5, &event), EIO);
  expect_one_list_signal(3);
  mixed.expect_ends();
}

AIOX_CASE("LIO_NOWAIT in which every entry is refused notifies once") {
  block_signal(kListSignal);
  const int fd = open_temp_file();
  aiocb first = make_write(fd, "x", 1), second = make_read(fd, nullptr, 0);
  first.aio_reqprio = second.aio_reqprio = 21;
  aiocb* list[] = {&first, &second};
  sigevent event = signal_event(kListSignal, 4);
  EXPECT_FAILS(lio_listio(LIO_NOWAIT, list, 2, &event), EIO);
  expect_one_list_signal(4);
  EXPECT_EQ(aio_error(&first), EINVAL);
  EXPECT_EQ(aio_error(&second), EINVAL);
}

AIOX_CASE("LIO_WAIT in which an entry fails while it runs ends with EIO") {
  const int fd = open_temp_file();
  const Pipe pipe = open_pipe();
  close(pipe.read_fd);
  aiocb good = make_write(fd, "good", 4), broken = make_write(pipe.write_fd, "x", 1);
  aiocb* list[] = {&good, &broken};
  EXPECT_FAILS(lio_listio(LIO_WAIT, list, 2, nullptr), EIO);
  EXPECT_EQ(aio_error(&good), 0);
  EXPECT_EQ(aio_error(&broken), EPIPE);
}

AIOX_CASE("LIO_NOWAIT notifies once, after the last entry") {
  block_signal(kListSignal);
  const Pipe first_pipe = open_pipe(), second_pipe = open_pipe();
  char bytes[2];
  aiocb first = make_read(first_pipe.read_fd, &bytes[0], 1), second = make_read(second_pipe.read_fd, &bytes[1], 1);
  aiocb* list[] = {&first, &second};
  sigevent event = signal_event(kListSignal, 6);
  EXPECT_EQ(lio_listio(LIO_NOWAIT, list, 2, &event), 0);
  EXPECT(!take_signal(kListSignal, 10));
  write_exactly(second_pipe.write_fd, "b");
  EXPECT_EQ(result_of(second), 1);
  EXPECT(!take_signal(kListSignal, 20));
  EXPECT_EQ(aio_error(&first), EINPROGRESS);
  write_exactly(first_pipe.write_fd, "a");
  expect_one_list_signal(6);
  EXPECT_EQ(aio_error(&first), 0);
}

AIOX_CASE("LIO_NOWAIT lists that complete at once each notify once") {
  block_signal(kListSignal);
  const int fd = open_temp_file();
  EXPECT_EQ(ftruncate(fd, 1 << 16), 0);
  std::string buffer(1 << 16, 'x');
  EXPECT_EQ(pwrite(fd, buffer.data(), buffer.size(), 0), 1 << 16);  // cached: the reads need no disk
  for (int round = 0; round < 300; ++round) {
    std::vector<aiocb> reads;
    std::vector<aiocb*> list;
    for (size_t i = 0; i < 8; ++i) reads.push_back(make_read(fd, &buffer[i * 512], 512, static_cast<off_t>(i * 512)));
    for (aiocb& cb : reads) list.push_back(&cb);
    sigevent event = signal_event(kListSignal, round);
    EXPECT_EQ(lio_listio(LIO_NOWAIT, list.data(), 8, &event), 0);
    siginfo_t info{};
    EXPECT(take_signal(kListSignal, 10000, &info));
    EXPECT_EQ(info.si_value.sival_int, round);
    for (aiocb& cb : reads) EXPECT_EQ(aio_error(&cb), 0);
  }
  EXPECT(!take_signal(kListSignal, 20));
}

AIOX_CASE("entries of a list notify for themselves, besides the list") {
  block_signal(kListSignal);
  block_signal(kEntrySignal);
  const int fd = open_temp_file();
  std::vector<aiocb> writes;
  std::vector<aiocb*> list;
  for (int i = 0; i < 5; ++i) {
    writes.push_back(make_write(fd, "x", 1, i));
    if (i % 2 == 0) writes.back().aio_sigevent = signal_event(kEntrySignal, i);
  }
  for (aiocb& cb : writes) list.push_back(&cb);
  sigevent event = signal_event(kListSignal, 7);
  EXPECT_EQ(lio_listio(LIO_NOWAIT, list.data(), 5, &event), 0);
  int sum = 0;
  for (int i = 0; i < 3; ++i) {
    siginfo_t info{};
    EXPECT(take_signal(kEntrySignal, 10000, &info));
    sum += 1 << info.si_value.sival_int;
  }
  EXPECT_EQ(sum, 0b10101);
  expect_one_list_signal(7);
  for (aiocb& cb : writes) EXPECT_EQ(aio_error(&cb), 0);
  EXPECT(!take_signal(kEntrySignal, 5));
}

AIOX_CASE("a list's signal comes after those of its entries, also of one that is refused in the call") {
  constexpr int kEntries = 10;
  constexpr int kRounds = aiox_test::kSanitized ? 300 : 2000;
  block_signal(kListSignal);
  block_signal(kEntrySignal);
  const int fd = open_temp_file();
  std::vector<char> buffer(1024, 'x');
  for (int round = 0; round < kRounds; round++) {
    std::vector<aiocb> blocks;
    for (int i = 0; i < kEntries; i++) {
      blocks.push_back(make_write(i == 2 ? -1 : fd, buffer.data(), buffer.size(), i * 65536));
      blocks.back().aio_sigevent = signal_event(kEntrySignal, i);
    }
    std::vector<aiocb*> list;
    for (aiocb& block : blocks) list.push_back(&block);
    sigevent event = signal_event(kListSignal, round);
    lio_listio(LIO_NOWAIT, list.data(), kEntries, &event);
    siginfo_t info{};
    EXPECT(take_signal(kListSignal, 10000, &info));
    int entries = 0;
    while (take_signal(kEntrySignal, 0, &info)) entries++;
    EXPECT_EQ(entries, kEntries);
    for (const aiocb& block : blocks) EXPECT(aio_error(&block) != EINPROGRESS);
  }
}

AIOX_CASE("LIO_WAIT entries notify for themselves, and the list's sigevent is ignored") {
  block_signal(kListSignal);
  block_signal(kEntrySignal);
  const int fd = open_temp_file();
  aiocb write = make_write(fd, "x", 1);
  write.aio_sigevent = signal_event(kEntrySignal, 8);
  aiocb* list[] = {&write};
  sigevent event = signal_event(kListSignal, 8);
  EXPECT_EQ(lio_listio(LIO_WAIT, list, 1, &event), 0);
  EXPECT(take_signal(kEntrySignal, 10000));
  EXPECT(!take_signal(kListSignal, 20));
}

AIOX_CASE("LIO_NOWAIT without a sigevent runs its entries") {
  const int fd = open_temp_file();
  aiocb write = make_write(fd, "data", 4);
  aiocb* list[] = {&write};
  EXPECT_EQ(lio_listio(LIO_NOWAIT, list, 1, nullptr), 0);
  EXPECT_EQ(result_of(write), 4);
}

AIOX_CASE("a LIO_NOWAIT list and its sigevent can be freed when the call returns") {
  block_signal(kListSignal);
  const Pipe pipe = open_pipe();
  char bytes[3];
  std::vector<aiocb> reads;
  for (char& byte : bytes) reads.push_back(make_read(pipe.read_fd, &byte, 1));
  {
    auto list = std::make_unique<aiocb*[]>(3);
    auto event = std::make_unique<sigevent>(signal_event(kListSignal, 10));
    for (size_t i = 0; i < 3; ++i) list[i] = &reads[i];
    EXPECT_EQ(lio_listio(LIO_NOWAIT, list.get(), 3, event.get()), 0);
    std::memset(static_cast<void*>(list.get()), 0xee, 3 * sizeof(aiocb*));
    std::memset(static_cast<void*>(event.get()), 0xee, sizeof(sigevent));
  }
  write_exactly(pipe.write_fd, "abc");
  expect_one_list_signal(10);
  for (aiocb& cb : reads) EXPECT_EQ(aio_error(&cb), 0);
  EXPECT(std::memcmp(bytes, "abc", 3) == 0);
}

AIOX_CASE("LIO_WAIT returns only when every entry is complete, reads and writes on several files") {
  const int fd = open_temp_file();
  const SocketPair pair = open_socketpair();
  const Pipe pipe = open_pipe();
  char from_socket[4], from_pipe[4];
  aiocb cbs[] = {make_read(pair.b, from_socket, 4), make_read(pipe.read_fd, from_pipe, 4),
                 make_write(fd, "file", 4), make_write(pair.a, "sock", 4), make_write(pipe.write_fd, "pipe", 4)};
  aiocb* list[] = {&cbs[0], &cbs[1], &cbs[2], &cbs[3], &cbs[4]};
  note("LIO_WAIT on reads that its own writes feed");
  EXPECT_EQ(lio_listio(LIO_WAIT, list, 5, nullptr), 0);
  for (aiocb& cb : cbs) {
    EXPECT_EQ(aio_error(&cb), 0);
    EXPECT_EQ(aio_return(&cb), 4);
  }
  EXPECT(std::memcmp(from_socket, "sock", 4) == 0);
  EXPECT(std::memcmp(from_pipe, "pipe", 4) == 0);
}

AIOX_CASE("a list of a thousand entries is done in full") {
  const int fd = open_temp_file();
  std::vector<aiocb> writes;
  std::vector<aiocb*> list;
  std::vector<int> data(1000);
  for (int i = 0; i < 1000; ++i) {
    data[static_cast<size_t>(i)] = i;
    writes.push_back(make_write(fd, &data[static_cast<size_t>(i)], 4, 4 * i));
  }
  for (aiocb& cb : writes) list.push_back(&cb);
  EXPECT_EQ(lio_listio(LIO_WAIT, list.data(), 1000, nullptr), 0);
  for (aiocb& cb : writes) EXPECT_EQ(aio_return(&cb), 4);
  std::vector<int> back(1000);
  EXPECT_EQ(pread(fd, back.data(), 4000, 0), 4000);
  EXPECT(back == data);
}

std::atomic<int> handled{0};
void count_handled(int, siginfo_t*, void*) { ++handled; }

// A stack frame like the one LIO_WAIT had, filled with other things.
__attribute__((noinline)) void scribble_on_stack() {
  volatile char junk[65536];
  for (size_t i = 0; i < sizeof junk; ++i) junk[i] = static_cast<char>(0xa5);
}

void interrupted_wait(aiocb* reads, size_t count) {
  std::vector<aiocb*> list;
  for (size_t i = 0; i < count; ++i) list.push_back(&reads[i]);
  const pthread_t waiter = pthread_self();
  std::atomic<bool> returned{false};
  std::thread interrupter([&] {
    while (!returned) {
      sleep_ms(5);
      if (!returned) pthread_kill(waiter, SIGUSR1);
    }
  });
  errno = 0;
  const int result = lio_listio(LIO_WAIT, list.data(), static_cast<int>(count), nullptr);
  const int error = errno;
  returned = true;
  interrupter.join();
  EXPECT_EQ(result, -1);
  EXPECT_EQ(error, EINTR);
  EXPECT(handled > 0);
  for (size_t i = 0; i < count; ++i) EXPECT_EQ(aio_error(&reads[i]), EINPROGRESS);
}

AIOX_CASE("LIO_WAIT interrupted by a signal ends with EINTR, and its entries end later without harm") {
  handle_signal(SIGUSR1, count_handled);
  Pipe pipes[8];
  char bytes[8];
  aiocb reads[8];
  for (int i = 0; i < 8; ++i) {
    pipes[i] = open_pipe();
    reads[i] = make_read(pipes[i].read_fd, &bytes[i], 1);
  }
  note("LIO_WAIT until a signal comes");
  interrupted_wait(reads, 8);
  scribble_on_stack();
  note("completing the entries of an interrupted LIO_WAIT");
  for (const Pipe& pipe : pipes) write_exactly(pipe.write_fd, "x");
  for (aiocb& cb : reads) EXPECT_EQ(result_of(cb), 1);
  for (int i = 0; i < 8; ++i) {  // and the control blocks serve again
    submit(reads[i]);
    write_exactly(pipes[i].write_fd, "y");
    EXPECT_EQ(result_of(reads[i]), 1);
  }
}

AIOX_CASE("LIO_WAIT goes on after a handler installed with SA_RESTART") {
  if (aiox_test::kSignalsAreDelayed) aiox_test::skip_case("ThreadSanitizer runs no handler in a restarted wait");
  handle_signal(SIGUSR1, count_handled, SA_RESTART);
  const Pipe pipe = open_pipe();
  char byte = 0;
  aiocb read = make_read(pipe.read_fd, &byte, 1);
  aiocb* list[] = {&read};
  const pthread_t waiter = pthread_self();
  std::thread interrupter([&] {
    while (handled < 5) {
      sleep_ms(2);
      pthread_kill(waiter, SIGUSR1);
    }
    write_exactly(pipe.write_fd, "x");
  });
  note("LIO_WAIT through five handlers");
  EXPECT_EQ(lio_listio(LIO_WAIT, list, 1, nullptr), 0);
  interrupter.join();
  EXPECT_EQ(aio_return(&read), 1);
}

AIOX_CASE("two threads in LIO_WAIT each wait for their own entries") {
  const Pipe pipes[] = {open_pipe(), open_pipe()};
  std::atomic<int> done[2] = {};
  const auto wait_on = [&](int i) {
    char byte;
    aiocb cb = make_read(pipes[i].read_fd, &byte, 1);
    aiocb* list[] = {&cb};
    done[i] = lio_listio(LIO_WAIT, list, 1, nullptr) == 0 ? 1 : -1;
  };
  std::thread first(wait_on, 0), second(wait_on, 1);
  sleep_ms(20);
  note("one of two LIO_WAIT calls must return");
  write_exactly(pipes[1].write_fd, "x");
  second.join();
  EXPECT_EQ(done[1].load(), 1);
  EXPECT_EQ(done[0].load(), 0);
  write_exactly(pipes[0].write_fd, "x");
  first.join();
  EXPECT_EQ(done[0].load(), 1);
}

}  // namespace
}  // namespace conformance
