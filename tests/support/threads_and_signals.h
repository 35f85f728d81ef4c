// threads_and_signals.h - what cases of the conformance suites do with time, threads and signals.
#pragma once

#include <signal.h>
#include <sys/types.h>

namespace conformance {

void sleep_ms(long ms);
pid_t thread_id();

// Blocks signo in this thread (and those it makes), so that it queues up for sigtimedwait.
void block_signal(int signo);

// Takes one pending signo within ms milliseconds. True when one came.
bool take_signal(int signo, long ms, siginfo_t* info = nullptr);

// Installs a handler without SA_RESTART unless flags say so.
void handle_signal(int signo, void (*handler)(int, siginfo_t*, void*), int flags = 0);

}  // namespace conformance
