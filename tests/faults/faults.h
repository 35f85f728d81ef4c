// faults.h - which call of the engine fails, and with what: one fault at a time, armed before the scenario begins.
//
// The engine in this program is built with AIOX_FAULTS: kernel::raw_syscall asks fault_of() first; the entrances of
// liburing that lead to io_uring_enter, and pthread_create, are wrapped by the linker. Counting is per kind of call,
// since the threads of the engine run side by side: the k-th mmap is about the same one in each run, the k-th call of
// all is not.
//
// Thread: arm, disarm by the one that has no engine yet; the rest any. Signal-safe: yes.
#ifndef AIOX_TESTS_FAULTS_FAULTS_H
#define AIOX_TESTS_FAULTS_FAULTS_H

#include <atomic>
#include <cstdint>

namespace faults {

inline constexpr int kAnswersMax = 6;

// What a request may see of a fault.
enum class Harm : uint8_t {
  kNone,    // nothing: there is another way, or another try
  kSubmit,  // submitting calls may say EAGAIN
  kStream,  // the same, and requests on streams may end with EAGAIN
  kResult,  // requests may end with the very answer
};

struct Kind {
  const char* name;
  long number;             // of the system call; kPthreadCreate
  Harm harm;
  int once[kAnswersMax];   // answers that one call may get (positive errno; kSpurious: 0), up to the first 0
  int always[kAnswersMax]; // answers that all of them may get from some moment on
};

inline constexpr long kPthreadCreate = -1;
inline constexpr int kSpurious = -1;

extern const Kind kKinds[];
extern const int kKindCount;

struct Fault {
  int kind = -1;  // of kKinds; -1: none, only count
  uint32_t at = 0;  // the k-th call, from 1
  int answer = 0;
  bool is_lasting = false;
};

void arm(const Fault& fault, std::atomic<uint32_t>* hits);  // hits: how many calls have failed
void disarm();
uint32_t count_of(int kind);

const char* answer_name(int answer);

}  // namespace faults
#endif
