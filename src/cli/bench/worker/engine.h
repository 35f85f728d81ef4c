// engine.h - a way to do I/O, as a program would use it: requests are begun one by one, and completions are collected
// one by one, as fio does it with its defaults (iodepth_batch=1), so that the figures can be held against fio's. One
// thread calls an engine from its construction to its end.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "cli/bench/work/job.h"

namespace aiox::cli::bench {

enum class Operation : std::uint8_t { kRead, kWrite, kSync };

// A request; the job's units live as long as it does, and an engine finds its own part by `index`.
struct Unit {
  unsigned index = 0;
  Operation operation = Operation::kRead;
  int fd = -1;
  std::uint64_t offset_bytes = 0;
  std::uint64_t length_bytes = 0;
  char* data = nullptr;
  std::int64_t result = 0;  // bytes, or a negative errno

  // The job's own (job_run.cc).
  std::uint64_t begun_ns = 0;
  std::uint64_t block = 0;
  std::uint32_t write = 0;
};

enum class Begun {
  kInFlight,
  kDone,  // already: `result` is there
  kFull,  // not now; when another has ended
};

inline constexpr std::uint64_t kNever = UINT64_MAX;

class Engine {
 public:
  virtual ~Engine() = default;
  virtual Begun begin(Unit& unit) = 0;
  // Waits for a completion until the deadline (CLOCK_MONOTONIC; 0: looks only); null when there is none by then. Only
  // while something is in flight.
  virtual Unit* collect(std::uint64_t deadline_ns) = 0;
  // The library that has answered, for the report.
  virtual std::string answered_by() const = 0;
};

// The machine does not let this engine work; the text says why and what would change it.
struct Unavailable : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// The engine works, and the work went wrong.
struct Failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::unique_ptr<Engine> make_psync();
std::unique_ptr<Engine> make_threads(unsigned depth);
std::unique_ptr<Engine> make_posix_aio(unsigned depth, bool is_on_aiox);
std::unique_ptr<Engine> make_libaio(unsigned depth, bool is_on_aiox);
std::unique_ptr<Engine> make_io_uring(unsigned depth);

// Carries a unit out in the calling thread.
std::int64_t carry_out(const Unit& unit);

}  // namespace aiox::cli::bench
