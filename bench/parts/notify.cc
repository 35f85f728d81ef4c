// notify.cc - from the submission of a cached read to its notification: a signal taken by sigwaitinfo, a function
// called.
//
// A notification is never sent inside the submitting call, so both sides need another thread for it.
#include <semaphore.h>
#include <signal.h>

#include "support/rows.h"

namespace {

using namespace bench;

void notify_signal(benchmark::State& state) {
  scratch().warm_up();
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &set, &before);
  RandomOffset offsets;
  Buffer buffer;
  for (auto _ : state) {
    aiocb block = make_block(LIO_READ, scratch().fd(), offsets.next(), buffer.data(), kBlockBytes);
    block.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
    block.aio_sigevent.sigev_signo = SIGRTMIN;
    if (failed(state, start(&block))) break;
    while (sigwaitinfo(&set, nullptr) != SIGRTMIN) {
    }
    if (failed(state, finish(&block))) break;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void notify_function(benchmark::State& state) {
  scratch().warm_up();
  sem_t called;
  sem_init(&called, 0, 0);
  RandomOffset offsets;
  Buffer buffer;
  for (auto _ : state) {
    aiocb block = make_block(LIO_READ, scratch().fd(), offsets.next(), buffer.data(), kBlockBytes);
    block.aio_sigevent.sigev_notify = SIGEV_THREAD;
    block.aio_sigevent.sigev_value.sival_ptr = &called;
    block.aio_sigevent.sigev_notify_function = [](sigval value) { sem_post(static_cast<sem_t*>(value.sival_ptr)); };
    if (failed(state, start(&block))) break;
    while (sem_wait(&called) != 0) {
    }
    if (failed(state, finish(&block))) break;
  }
  sem_destroy(&called);
}

BENCHMARK(notify_signal)->UseRealTime();
BENCHMARK(notify_function)->UseRealTime();

}  // namespace
