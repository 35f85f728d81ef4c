// catch.h - Catch2, whichever of 2.13 (Debian 12) and 3 the build found, and a skip that both understand.
//
// Tests are written in the 2.13 dialect: assertions on the main thread only, worker threads record and main asserts.
// A test that cannot run here says AIOX_SKIP("what is missing") in the test case's own body; when every test case of
// the program that ran was skipped the program exits 77, otherwise the reasons stay in its output.
#pragma once

#if defined(AIOX_CATCH2_V3)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <string>

namespace aiox_test {

// Prints "SKIP: <test case>: <reason>" and marks the running test case as skipped. Main thread only.
void note_skip(const std::string& reason);

}  // namespace aiox_test

// Leaves the test case; only in its own body (or a section of it), since it returns.
#define AIOX_SKIP(reason)           \
  do {                              \
    ::aiox_test::note_skip(reason); \
    return;                         \
  } while (false)
