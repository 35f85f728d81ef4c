// slot.h - one control block with its buffer, its guards and its notification: everything that must survive until the
// request's one end, and must not be touched by anybody after it.
//
// After the end was seen, the control block and the buffer are filled with a poison; the slot rests at the back of a
// queue and when it is taken again the poison must be whole: whoever wrote meanwhile wrote after the end.
// Notifications (signal handler, SIGEV_THREAD callback) carry the slot's address and generation in their value, so a
// second or late notification meets another generation.
#ifndef AIOX_TESTS_RANDOM_SLOT_H
#define AIOX_TESTS_RANDOM_SLOT_H

#include <aio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "file_model.h"
#include "record_model.h"

namespace random_driver {

struct Lane;
struct Target;
struct Group;

enum class Operation : uint8_t { kRead, kWrite, kAppend, kFsync, kStreamRead, kStreamWrite };
enum class Method : uint8_t { kPoll, kSuspend, kSignal, kThread };

// What a notification leaves behind: how often it came. Shared by slots and groups.
// Written by the handler or callback (release), read by the owner (acquire): what the handler saw, the owner sees.
struct Notice {
  std::atomic<uint32_t> generation{0};
  std::atomic<uint32_t> came{0};
  const aiocb* const* blocks = nullptr;  // these must have ended when the notice comes; set before the submission
  int block_count = 0;
};

constexpr size_t kBufferMax = 256 * 1024;

struct Slot {
  uint64_t guard_front[4];
  aiocb block;
  uint64_t guard_back[4];

  unsigned char* arena = nullptr;  // page | kBufferMax | page
  unsigned char* buffer = nullptr;
  Notice notice;
  const aiocb* self = nullptr;
  Group* group = nullptr;

  Operation operation;
  Method method;
  Target* target = nullptr;
  Lane* lane = nullptr;
  uint64_t order = 0;      // place in the lane's call order
  uint64_t plan_index = 0;
  unsigned thread = 0;
  uint64_t offset = 0;
  size_t size_bytes = 0;
  uint32_t write_id = 0;
  uint64_t ticket = 0;
  uint64_t appended_low = 0;
  int fsync_operation = 0;
  bool cancel_attempted = false;  // under the lane's mutex
  bool is_poisoned = false;
  FileModel::Expectation expectation;
  size_t outstanding_index = 0;  // in the owner's list
  size_t lane_index = 0;         // in the lane's list

  bool is_read() const { return operation == Operation::kRead || operation == Operation::kStreamRead; }
  bool is_write() const { return !is_read() && operation != Operation::kFsync; }
  bool has_buffer() const { return operation != Operation::kFsync; }
  bool wants_notice() const { return method == Method::kSignal || method == Method::kThread; }
  std::string describe() const;
};

// A LIO_NOWAIT list with a notification of its own.
struct Group {
  Notice notice;
  const aiocb* blocks[16];
  int block_count = 0;
  int left = 0;  // entries not yet reaped
  std::vector<Slot*> refused;
  bool wants_notice = false;
  bool is_free = true;
};

void slot_create(Slot* slot);
// Takes the slot for a new request: the poison must be whole. `misalignment` places the buffer.
void slot_prepare(Slot* slot, size_t size_bytes, size_t misalignment);
// The request has ended and its result was taken: guards must be whole, then everything is poisoned.
void slot_retire(Slot* slot);

// Fills in a sigevent that ends in `notice`. `plain_variant` chooses among the spellings of "nothing".
void set_notification(sigevent* event, Method method, Notice* notice, bool plain_variant);
// Installs the handler of Method::kSignal. True: a handler will not do (see slot.cc), the signal is blocked for this
// thread and those it makes, and one of them must run take_signals; has_taker() once it does.
bool prepare_signals();
bool has_taker();
void take_signals(const std::atomic<bool>& is_over);
uint64_t notices_seen();

}  // namespace random_driver
#endif
