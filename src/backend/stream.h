// stream.h - one transfer on a stream (pipe, socket, terminal, eventfd ...): the work of read(2) or write(2), in steps.
//
// The plain call sleeps inside the kernel, where only a signal ends it. Here each step moves the bytes that it can
// without waiting and names the event to wait for; the caller does the waiting, in a way that it can end. The file's
// own rules (O_NONBLOCK, SO_RCVTIMEO, SO_SNDTIMEO, SO_RCVLOWAT, VMIN, VTIME) are asked for when the transfer begins, as
// the plain call does.
// Thread: the one that carries the unit out. Blocks: plain_call() alone. errno kept.
#pragma once

#include "backend/io.h"
#include "kernel/futex.h"

namespace aiox::backend {

// What a transfer waits for before its next step.
struct StreamWait {
  short events = 0;                            // POLLIN or POLLOUT, and as ever errors and hang-ups
  int64_t deadline_ns = kernel::kNoTimeout;    // then the next step is told that time is up
  // The poll does not tell all (a terminal's with VMIN, for a read of fewer bytes): look again every so often.
  bool is_look_needed = false;
  // The poll looks at the pending signals of whichever thread asks (signalfd): a kernel thread would see none.
  bool is_own_poll_needed = false;

  bool is_time_up() const { return deadline_ns != kernel::kNoTimeout && kernel::monotonic_now_ns() >= deadline_ns; }
};

class StreamTransfer {
 public:
  enum class Step : uint8_t {
    kEnded,  // result() is the answer
    kWait,   // wait() says for what
    kCall,   // plain_call() is the answer: there is no other way, or it will not wait
  };
  enum class Wake : uint8_t { kBegin, kReady, kLook, kTimeUp };

  explicit StreamTransfer(Io* io) : io_(io), is_read_(io->opcode == Opcode::kRead) {}
  Step step(Wake wake);
  const StreamWait& wait() const { return wait_; }
  int64_t result() const { return total_result(*io_, result_); }
  // Whether the wait is for the events alone, and nothing is lost if the transfer is begun anew when they have come.
  bool may_begin_anew() const {
    return wait_.deadline_ns == kernel::kNoTimeout && !wait_.is_look_needed && !wait_.is_own_poll_needed &&
           (!is_read_ || least_bytes_ <= 1) && io_->done_bytes == 0;
  }
  // The plain call.
  int64_t plain_call();

 private:
  Step begin();
  Step begin_socket();
  Step begin_terminal();
  Step begin_other();
  Step attempt_until_done(Wake wake);
  Step gather_from_terminal(Wake wake);
  bool is_at_end_of_socket(Wake wake, Step* step);
  int64_t attempt();
  int64_t read_part(uint64_t bytes_max);
  uint64_t moved_bytes() const { return static_cast<uint64_t>(io_->done_bytes - bytes_before_); }
  void restart_clock();
  Step complete(int64_t result) {
    result_ = result;
    return Step::kEnded;
  }
  Step wait_for(short events) {
    wait_.events = events;
    return Step::kWait;
  }

  static constexpr uint32_t kVainMax = 64;

  Io* io_;
  bool is_read_;
  bool has_attempt_ = false;     // the kernel offers a try that does not wait
  bool is_gathering_ = false;    // a terminal's read of more than one byte
  bool is_clock_per_part_ = false;  // the limit counts anew after each part that was moved
  int64_t limit_ns_ = 0;         // 0: none
  int64_t bytes_before_ = 0;     // Io::done_bytes when it began
  uint64_t least_bytes_ = 1;     // a read ends with so many, or at its end
  uint32_t vain_count_ = 0;      // it was said to be ready, and was not
  int64_t result_ = 0;
  StreamWait wait_;
};

// Whether the file has rules of its own, which a ring does not know, for how long a transfer waits or for how much.
bool waits_by_own_rules(const Io& io);
// Whether the poll of this file must be made by a thread of the process (StreamWait::is_own_poll_needed).
bool needs_own_poll(int fd);

}  // namespace aiox::backend
