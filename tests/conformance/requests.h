// requests.h - control blocks, waiting and the completion methods, through <aio.h> only.
//
// Waits here have no time limit: the runner's hang guard ends the case, and says what it was waiting for (note()).
#pragma once

#include <aio.h>
#include <signal.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "threads_and_signals.h"

namespace conformance {

enum class Method { kPoll, kSuspend, kSignal, kThread, kLioWait, kLioNowait };

inline constexpr Method kAllMethods[] = {Method::kPoll,   Method::kSuspend, Method::kSignal,
                                         Method::kThread, Method::kLioWait, Method::kLioNowait};

const char* name_of(Method method);

// A zeroed control block with SIGEV_NONE; opcode is LIO_READ, LIO_WRITE or LIO_NOP.
aiocb make_request(int opcode, int fd, void* data, size_t bytes, off_t offset = 0);
aiocb make_read(int fd, void* data, size_t bytes, off_t offset = 0);
aiocb make_write(int fd, const void* data, size_t bytes, off_t offset = 0);
aiocb make_fsync(int fd);

// aio_read or aio_write, by aio_lio_opcode; must be accepted.
void submit(aiocb& cb);

// Until aio_error is no longer EINPROGRESS; by polling, so that it says nothing about aio_suspend. Returns aio_error.
int wait_for(const aiocb& cb);

// The same and then aio_return; fails the case unless aio_error is 0.
ssize_t result_of(aiocb& cb);

// Submits all of them and waits until all are complete, checking that the method's notifications came exactly once.
void complete_all(Method method, std::vector<aiocb*>& requests);

// Lets whatever was submitted get as far as it can: until a thread of this process is seen in a read or write on fd
// (as a thread pool would be), or a short while has passed. Says nothing about completion; for the cases whose point
// is a request that has begun.
void let_it_begin(int fd);

// A SIGEV_SIGNAL / SIGEV_THREAD sigevent.
sigevent signal_event(int signo, int value = 0);
sigevent signal_event_pointer(int signo, void* value);
sigevent thread_event(void (*function)(sigval), void* value, pthread_attr_t* attributes = nullptr);

}  // namespace conformance
