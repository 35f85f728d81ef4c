// case_runner.h - runs every test case in a forked child of its own, under a hang guard.
//
// For tests whose subject may hang, crash or leave threads behind (an AIO implementation, glibc's included): each of
// those is then one failed case. The runner itself stays single-threaded and never touches the subject, so that a
// child always begins with a fresh one. A child passes by returning from the body, fails through the EXPECT macros
// (from any thread; not from a signal handler), by dying, or by not ending in time; skip_case() ends it as skipped.
//
// Command line of every program made of cases: --help tells. Exit status: 0 passed, 1 failed, 77 all skipped.
#pragma once

#include <cstdint>
#include <functional>
#include <sstream>
#include <string>
#include <type_traits>

namespace aiox_test {

struct CaseOptions {
  int timeout_s = 60;                    // hang guard; longer under a sanitizer
  bool alone = false;                    // runs with no other case next to it
  const char* not_compared = nullptr;    // why glibc's answer to this case says nothing (oracle mode skips it)
};

struct Case {
  std::string name;    // the property, as a sentence
  std::string kind;    // of file; empty outside the matrix
  std::string method;  // of completion; empty outside the matrix
  std::function<void()> body;
  CaseOptions options = {};
};

// Registers a case; called by static initialisers. Always true.
bool add_case(Case c);

// End the running case. Any thread of the child.
[[noreturn]] void fail_case(const char* file, int line, const std::string& message);
[[noreturn]] void skip_case(const std::string& reason);

// Says what the case does from now on; printed when it hangs or dies. Async-signal-safe; text must be static.
void note(const char* text);

// The seed of this run, different for each case, replayable with --seed.
std::uint64_t case_seed();

// True when built with AddressSanitizer or ThreadSanitizer: everything is slower, use fewer rounds.
constexpr bool kSanitized =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    true;
#else
    false;
#endif

constexpr bool kThreadSanitizer =
#if defined(__SANITIZE_THREAD__)
    true;
#else
    false;
#endif

// ThreadSanitizer holds a signal back until the thread makes a call that it intercepts, and keeps one per number: a
// handler may run much later than it would, and real-time signals may be lost.
constexpr bool kSignalsAreDelayed = kThreadSanitizer;

// A forked child has none of its parent's threads, but ThreadSanitizer goes on counting them: it ends the child when a
// new thread gets the number of one of them. For cases in which both have some.
inline void skip_if_no_threads_in_children() {
  if (kThreadSanitizer) skip_case("ThreadSanitizer: a child's thread may get the number of one of its parent's");
}

// The whole main(). `provider` names the function whose owner is printed and, with --provider, checked.
int run_cases_main(int argc, char** argv, const char* provider_symbol);

template <typename T>
std::string to_text(const T& value) {
  std::ostringstream out;
  if constexpr (std::is_enum_v<T>) {
    out << static_cast<long long>(value);
  } else {
    out << value;
  }
  return out.str();
}

}  // namespace aiox_test

#define AIOX_CASE_JOIN_(a, b) a##b
#define AIOX_CASE_JOIN(a, b) AIOX_CASE_JOIN_(a, b)
#define AIOX_CASE_DEFINE(fn, title, ...)                                                                          \
  static void fn();                                                                                               \
  [[maybe_unused]] static const bool AIOX_CASE_JOIN(fn, _added) = ::aiox_test::add_case(                          \
      ::aiox_test::Case{title, {}, {}, fn, ::aiox_test::CaseOptions{__VA_ARGS__}});                               \
  static void fn()

// AIOX_CASE("property", .timeout_s = 5, ...) { body }
#define AIOX_CASE(title, ...) AIOX_CASE_DEFINE(AIOX_CASE_JOIN(case_at_line_, __LINE__), title, __VA_ARGS__)

#define EXPECT(condition)                                                               \
  do {                                                                                  \
    if (!(condition)) ::aiox_test::fail_case(__FILE__, __LINE__, "not true: " #condition); \
  } while (false)

#define EXPECT_EQ(actual, expected)                                                                     \
  do {                                                                                                  \
    const auto actual_value_ = (actual);                                                                \
    const std::decay_t<decltype(actual_value_)> expected_value_ =                                       \
        static_cast<std::decay_t<decltype(actual_value_)>>(expected);                                   \
    if (!(actual_value_ == expected_value_))                                                            \
      ::aiox_test::fail_case(__FILE__, __LINE__,                                                        \
                             #actual " is " + ::aiox_test::to_text(actual_value_) + ", expected " #expected " (" + \
                                 ::aiox_test::to_text(expected_value_) + ")");                          \
  } while (false)

// A call that must answer -1 with this errno.
#define EXPECT_FAILS(call, error)                                                                          \
  do {                                                                                                     \
    errno = 0;                                                                                             \
    const long long result_value_ = (call);                                                                \
    const int errno_value_ = errno;                                                                        \
    if (result_value_ != -1 || errno_value_ != (error))                                                    \
      ::aiox_test::fail_case(__FILE__, __LINE__,                                                           \
                             #call " is " + std::to_string(result_value_) + " with errno " +              \
                                 std::to_string(errno_value_) + ", expected -1 with " #error " (" + \
                                 std::to_string(error) + ")");                                             \
  } while (false)
