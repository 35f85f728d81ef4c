// catch_main.cc - the main of every Catch2 program here: runs the session and turns its outcome into CTest's terms:
// 0 passed, 1 failed, 77 when nothing failed and every test case that ran was skipped.
#define CATCH_CONFIG_RUNNER
#include "catch.h"

#include <cstdio>

namespace {

constexpr int kExitSkipped = 77;

struct Tally {
  std::string current_case;
  bool current_skipped = false;
  int cases_run = 0;
  int cases_skipped = 0;
} tally;

#if defined(AIOX_CATCH2_V3)
using ListenerBase = Catch::EventListenerBase;
#else
using ListenerBase = Catch::TestEventListenerBase;
#endif

struct SkipListener : ListenerBase {
  using ListenerBase::ListenerBase;

  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    tally.current_case = info.name;
    tally.current_skipped = false;
  }

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    ++tally.cases_run;
    // A case that skipped one section and checked something in another has run.
    if (tally.current_skipped && stats.totals.assertions.total() == 0) ++tally.cases_skipped;
  }
};

}  // namespace

CATCH_REGISTER_LISTENER(SkipListener)

void aiox_test::note_skip(const std::string& reason) {
  std::printf("SKIP: %s: %s\n", tally.current_case.c_str(), reason.c_str());
  std::fflush(stdout);
  tally.current_skipped = true;
}

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const int failed = Catch::Session().run(argc, argv);
  if (failed != 0) return 1;
  return tally.cases_run > 0 && tally.cases_run == tally.cases_skipped ? kExitSkipped : 0;
}
