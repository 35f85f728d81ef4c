// engine_scope_test.cc - signals that are put off while a thread is in the middle of a call: they come when it is over,
// once, and none stays blocked, also where a handler that cannot be put off has made a call in between.

#include "core/engine_scope.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ucontext.h>
#include <csignal>

#include "catch.h"

using namespace aiox::engine;

namespace {

volatile sig_atomic_t g_handled = 0;

bool is_blocked(int signo) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return sigismember(&mask, signo) == 1;
}

// As shim/signal_exports.cc has it.
void deliver(int signo, siginfo_t* info, void* context) {
  if (scope_depth() != 0 && put_off(signo, info, context)) return;
  g_handled = g_handled + 1;
}

class Handler {
 public:
  Handler() {
    g_handled = 0;
    struct sigaction action = {};
    action.sa_sigaction = deliver;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGUSR1, &action, &previous_);
  }
  ~Handler() { sigaction(SIGUSR1, &previous_, nullptr); }

 private:
  struct sigaction previous_;
};

// A handler that cannot be put off: the mask to which it returns is that of the code that it strikes.
template <class Body>
void strike(Body body) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  body();
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
}

// A signal is put off, then such a handler makes a call.
template <class Call>
void check_put_off_until_the_struck_call_ends(Call call) {
  Handler handler;
  {
    Undisturbed struck;
    raise(SIGUSR1);
    strike(call);
    CHECK(g_handled == 0);
  }
  CHECK(g_handled == 1);
  CHECK_FALSE(is_blocked(SIGUSR1));
}

}  // namespace

TEST_CASE("a signal that strikes inside comes once, when the call is over") {
  Handler handler;
  {
    Undisturbed undisturbed;
    raise(SIGUSR1);
    CHECK(g_handled == 0);
    CHECK(is_blocked(SIGUSR1));
  }
  CHECK(g_handled == 1);
  CHECK_FALSE(is_blocked(SIGUSR1));
}

TEST_CASE("a signal that has been put off comes where the call sleeps") {
  Handler handler;
  Undisturbed undisturbed;
  raise(SIGUSR1);
  {
    Outside outside;
    CHECK(g_handled == 1);
    CHECK(outside.let_in() == uint64_t{1} << (SIGUSR1 - 1));
  }
  CHECK_FALSE(is_blocked(SIGUSR1));
}

TEST_CASE("nothing stays blocked after a handler that cannot be put off has slept in a call of its own") {
  check_put_off_until_the_struck_call_ends([] {
    Undisturbed of_the_handler;
    Outside outside;
  });
}

TEST_CASE("nor after it has held all signals off for its sleeps") {
  check_put_off_until_the_struck_call_ends([] {
    Undisturbed of_the_handler;
    Hold hold;
    Outside outside;
  });
}
