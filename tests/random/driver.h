// driver.h - one thread of the random driver: carries out its plan and looks after the ends of its own requests.
//
// A request is submitted with its lane's mutex held and entered into the model before the mutex is dropped; it is
// reaped by the thread that submitted it, which checks the result against the model (mutex held again), then the
// guards, and poisons what the request used.
#ifndef AIOX_TESTS_RANDOM_DRIVER_H
#define AIOX_TESTS_RANDOM_DRIVER_H

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "plan.h"
#include "slot.h"
#include "target.h"

namespace random_driver {

struct Counts {
  uint64_t accepted = 0, refused = 0, cancelled = 0, cancel_calls = 0, lists = 0, fsyncs = 0, bytes = 0, skipped = 0;
  void operator+=(const Counts& other);
};

class Driver {
 public:
  Driver(TargetSet& targets, unsigned thread);

  // Submits up to `requests_max` requests and returns when all but those on streams have ended.
  void run(uint64_t requests_max, const std::atomic<bool>& is_stopping);
  // Reaps whatever is left until nothing is.
  void finish();
  // For the thread that ends the run: moves what is left in the streams, then closes their writing ends.
  void drain_streams();

  const Counts& counts() const { return counts_; }
  void print_outstanding() const;
  std::atomic<uint64_t> progress{0};  // changes as long as this thread gets anywhere

 private:
  Slot* take_slot(const PlannedRequest& request, uint64_t plan_index);
  void give_back(Slot* slot);
  bool submit_one(const PlannedRequest& request, uint64_t plan_index);
  void submit_list(const Plan& plan);
  void free_group(Group* group);
  void fill(Slot* slot, const PlannedRequest& request);
  void enter_into_model(Slot* slot, const PlannedRequest& request);
  bool may_submit(const PlannedRequest& request) const;

  void cancel_one(const Plan& plan);
  void cancel_file(const Plan& plan);

  bool harvest();                    // reaps what has ended; true if anything had
  void wait_for_any();               // harvest, blocking until something has ended
  bool is_ready(Slot* slot);
  void reap(Slot* slot);
  std::string settle(Slot* slot, int error, ssize_t result);  // lane's mutex held; "" or what is wrong
  std::string settle_fsync(Slot* slot);

  TargetSet& targets_;
  unsigned thread_;
  unsigned depth_ = 16;
  unsigned stream_outstanding_ = 0;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::deque<Slot*> free_;  // the longest unused first
  std::vector<Slot*> outstanding_;
  std::vector<std::unique_ptr<Group>> groups_;
  Counts counts_;
};

}  // namespace random_driver
#endif
