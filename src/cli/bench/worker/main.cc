// main.cc - aiox-bench-worker: does the I/O of `aiox bench`, and nothing else. A program like any other that aiox may
// be preloaded into: it knows <aio.h>, native AIO and liburing, and is not linked with aiox. It reads a job from stdin,
// says that it is ready, begins at the next line, and prints what came out (work/job.h).
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <exception>
#include <iostream>
#include <new>
#include <string>

#include "cli/bench/worker/engine.h"
#include "cli/bench/worker/job_run.h"

using namespace aiox::cli::bench;

namespace {

void print(const Answer& answer) { std::cout << to_line(answer) << std::flush; }

void fail(Trouble trouble, const std::string& reason) {
  Answer answer;
  answer.trouble = trouble;
  answer.reason = reason;
  print(answer);
}

void work() {
  std::string line;
  if (!std::getline(std::cin, line)) throw Failed("no job on stdin; it is `aiox bench` that starts this program");
  const Job job = job_from(line);
  JobRun run(job);
  Answer answer;
  answer.is_ready = true;
  print(answer);
  if (!std::getline(std::cin, line)) return;  // called off
  answer.is_ready = false;
  answer.outcome = run.run();
  print(answer);
}

}  // namespace

int main() {
  // Ctrl-C is for the command, which ends its workers; and whatever ends the command ends them.
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a limit on the size of files is an error that can be told
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // Waiting until a request is due is to end then, not up to 50 us later.
  ::prctl(PR_SET_TIMERSLACK, 1);
  std::ios::sync_with_stdio(false);
  try {
    work();
  } catch (const Unavailable& error) {
    fail(Trouble::kUnavailable, error.what());
  } catch (const std::bad_alloc&) {
    fail(Trouble::kFailed, "the worker has run out of memory");
  } catch (const std::exception& error) {
    fail(Trouble::kFailed, error.what());
  }
}
