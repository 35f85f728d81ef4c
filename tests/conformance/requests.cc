// requests.cc - see requests.h.
#include "requests.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "case_runner.h"

namespace conformance {
namespace {

using aiox_test::note;

bool a_thread_is_in_io_on(int fd) {
  DIR* const tasks = opendir("/proc/self/task");
  if (tasks == nullptr) return false;
  bool found = false;
  while (const dirent* entry = readdir(tasks)) {
    if (entry->d_name[0] == '.') continue;
    char path[300], line[256] = "";
    std::snprintf(path, sizeof path, "/proc/self/task/%s/syscall", entry->d_name);
    FILE* const file = std::fopen(path, "re");
    if (file == nullptr) continue;
    if (std::fgets(line, sizeof line, file) != nullptr) {
      long number = -1;
      unsigned long long first = 0;
      if (std::sscanf(line, "%ld %llx", &number, &first) == 2 && static_cast<int>(first) == fd) {
        found = found || number == SYS_read || number == SYS_pread64 || number == SYS_write || number == SYS_pwrite64;
      }
    }
    std::fclose(file);
  }
  closedir(tasks);
  return found;
}

void complete_by_poll(std::vector<aiocb*>& requests) {
  for (aiocb* cb : requests) submit(*cb);
  note("polling aio_error");
  for (const aiocb* cb : requests) wait_for(*cb);
}

void complete_by_suspend(std::vector<aiocb*>& requests) {
  for (aiocb* cb : requests) submit(*cb);
  note("aio_suspend on what is not complete yet");
  std::vector<const aiocb*> list(requests.begin(), requests.end());
  for (;;) {
    size_t left = 0;
    for (const aiocb*& cb : list) {
      if (cb != nullptr && aio_error(cb) != EINPROGRESS) cb = nullptr;
      left += cb != nullptr;
    }
    if (left == 0) return;
    EXPECT_EQ(aio_suspend(list.data(), static_cast<int>(list.size()), nullptr), 0);
  }
}

void complete_by_signal(std::vector<aiocb*>& requests) {
  const int signo = SIGRTMIN + 3;
  block_signal(signo);
  for (aiocb* cb : requests) cb->aio_sigevent = signal_event_pointer(signo, cb);
  for (aiocb* cb : requests) submit(*cb);
  std::map<void*, int> seen;
  note("waiting for one signal per request");
  for (size_t i = 0; i < requests.size(); ++i) {
    siginfo_t info{};
    EXPECT(take_signal(signo, 60000, &info));
    EXPECT_EQ(info.si_code, SI_ASYNCIO);
    EXPECT(aio_error(static_cast<aiocb*>(info.si_value.sival_ptr)) != EINPROGRESS);
    ++seen[info.si_value.sival_ptr];
  }
  for (aiocb* cb : requests) EXPECT_EQ(seen[cb], 1);
  EXPECT(!take_signal(signo, 5));
}

struct ThreadNotice {
  aiocb* cb;
  std::atomic<int> calls{0};
  std::atomic<bool> early{false};
  sem_t* done;
};

void on_thread_notice(sigval value) {
  auto* notice = static_cast<ThreadNotice*>(value.sival_ptr);
  if (aio_error(notice->cb) == EINPROGRESS) notice->early = true;
  ++notice->calls;
  sem_post(notice->done);
}

void wait_semaphore(sem_t* semaphore) {
  while (sem_wait(semaphore) != 0) EXPECT_EQ(errno, EINTR);
}

void complete_by_thread(std::vector<aiocb*>& requests) {
  sem_t done;
  sem_init(&done, 0, 0);
  std::vector<ThreadNotice> notices(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    notices[i].cb = requests[i];
    notices[i].done = &done;
    requests[i]->aio_sigevent = thread_event(on_thread_notice, &notices[i]);
  }
  for (aiocb* cb : requests) submit(*cb);
  note("waiting for one callback per request");
  for (size_t i = 0; i < requests.size(); ++i) wait_semaphore(&done);
  sleep_ms(2);  // a second call of the same callback would come about now
  for (const ThreadNotice& notice : notices) {
    EXPECT_EQ(notice.calls.load(), 1);
    EXPECT(!notice.early);
  }
}

// Some requests of a list may fail in the matrix: then EIO is the right answer.
void check_list_result(int result, int error, const std::vector<aiocb*>& requests) {
  bool any_failed = false;
  for (const aiocb* cb : requests) any_failed = any_failed || aio_error(cb) != 0;
  EXPECT_EQ(result, any_failed ? -1 : 0);
  if (any_failed) EXPECT_EQ(error, EIO);
}

void complete_by_lio_wait(std::vector<aiocb*>& requests) {
  note("lio_listio with LIO_WAIT");
  const int result = lio_listio(LIO_WAIT, requests.data(), static_cast<int>(requests.size()), nullptr);
  const int error = errno;
  for (const aiocb* cb : requests) EXPECT(aio_error(cb) != EINPROGRESS);
  check_list_result(result, error, requests);
}

void complete_by_lio_nowait(std::vector<aiocb*>& requests) {
  const int signo = SIGRTMIN + 4;
  block_signal(signo);
  sigevent event = signal_event_pointer(signo, &requests);
  note("waiting for the one signal of a list");
  EXPECT_EQ(lio_listio(LIO_NOWAIT, requests.data(), static_cast<int>(requests.size()), &event), 0);
  siginfo_t info{};
  EXPECT(take_signal(signo, 60000, &info));
  EXPECT_EQ(info.si_value.sival_ptr, static_cast<void*>(&requests));
  for (const aiocb* cb : requests) EXPECT(aio_error(cb) != EINPROGRESS);
  EXPECT(!take_signal(signo, 5));
}

}  // namespace

const char* name_of(Method method) {
  switch (method) {
    case Method::kPoll: return "poll";
    case Method::kSuspend: return "suspend";
    case Method::kSignal: return "signal";
    case Method::kThread: return "thread";
    case Method::kLioWait: return "lio_wait";
    case Method::kLioNowait: return "lio_nowait";
  }
  return "";
}

aiocb make_request(int opcode, int fd, void* data, size_t bytes, off_t offset) {
  aiocb cb{};
  cb.aio_lio_opcode = opcode;
  cb.aio_fildes = fd;
  cb.aio_buf = data;
  cb.aio_nbytes = bytes;
  cb.aio_offset = offset;
  cb.aio_sigevent.sigev_notify = SIGEV_NONE;
  return cb;
}

aiocb make_read(int fd, void* data, size_t bytes, off_t offset) {
  return make_request(LIO_READ, fd, data, bytes, offset);
}

aiocb make_write(int fd, const void* data, size_t bytes, off_t offset) {
  return make_request(LIO_WRITE, fd, const_cast<void*>(data), bytes, offset);
}

aiocb make_fsync(int fd) { return make_request(LIO_NOP, fd, nullptr, 0, 0); }

void submit(aiocb& cb) {
  if (cb.aio_lio_opcode == LIO_WRITE) {
    EXPECT_EQ(aio_write(&cb), 0);
  } else {
    EXPECT_EQ(aio_read(&cb), 0);
  }
}

int wait_for(const aiocb& cb) {
  int error;
  for (unsigned round = 0; (error = aio_error(&cb)) == EINPROGRESS; ++round) {
    if (round < 200) {
      sched_yield();
    } else {
      sleep_ms(1);
    }
  }
  return error;
}

ssize_t result_of(aiocb& cb) {
  EXPECT_EQ(wait_for(cb), 0);
  return aio_return(&cb);
}

void complete_all(Method method, std::vector<aiocb*>& requests) {
  switch (method) {
    case Method::kPoll: return complete_by_poll(requests);
    case Method::kSuspend: return complete_by_suspend(requests);
    case Method::kSignal: return complete_by_signal(requests);
    case Method::kThread: return complete_by_thread(requests);
    case Method::kLioWait: return complete_by_lio_wait(requests);
    case Method::kLioNowait: return complete_by_lio_nowait(requests);
  }
}

void let_it_begin(int fd) {
  for (int round = 0; round < 40 && !a_thread_is_in_io_on(fd); ++round) sleep_ms(5);
}

sigevent signal_event(int signo, int value) {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = signo;
  event.sigev_value.sival_int = value;
  return event;
}

sigevent signal_event_pointer(int signo, void* value) {
  sigevent event = signal_event(signo);
  event.sigev_value.sival_ptr = value;
  return event;
}

sigevent thread_event(void (*function)(sigval), void* value, pthread_attr_t* attributes) {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = function;
  event.sigev_notify_attributes = attributes;
  event.sigev_value.sival_ptr = value;
  return event;
}

}  // namespace conformance
