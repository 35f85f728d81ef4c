// queue_lifetime_test.cc - for which file a queue stands, what keeps it, and its counts.

#include "files/queue_lifetime.h"

#include <fcntl.h>

#include <thread>

#include "catch.h"
#include "kernel/clock.h"
#include "made_request.h"

using namespace aiox::engine;
using aiox::kernel::MutexLock;

namespace {

uint32_t g_epoch = 1;
uint32_t epoch() { return g_epoch; }

class Life : public QueueLifetime {
 public:
  void attach(int fd) {
    aiox::kernel::FileTraits traits;
    traits.status_flags = O_RDWR;
    MutexLock lock(mu_);
    attach_to(fd, traits, false);
    open_for_requests();
  }
  bool takes_in(int fd) {
    MutexLock lock(mu_);
    return takes(fd);
  }
  bool is_kept_now() {
    MutexLock lock(mu_);
    return is_kept();
  }
  void add(const Request* request) {
    MutexLock lock(mu_);
    outstanding_.add(request);
  }
  void remove(const Request* request) {
    MutexLock lock(mu_);
    outstanding_.begin();
    outstanding_.remove(request);
    wake_if_idle();
  }
};

}  // namespace

TEST_CASE("a queue takes requests for its number alone, and none once it is detached or abandoned") {
  Life life;
  CHECK_FALSE(life.takes_in(7));
  life.attach(7);
  CHECK(life.takes_in(7));
  CHECK_FALSE(life.takes_in(8));
  life.shut();
  CHECK(life.is_detached());
  CHECK_FALSE(life.takes_in(7));
  CHECK(life.is_kept_now());  // until it is detached for good
  life.detach();
  CHECK_FALSE(life.is_kept_now());
  const uint32_t before = life.events().generation();
  life.attach(9);
  CHECK(life.takes_in(9));
  CHECK_FALSE(life.is_detached());
  CHECK(life.events().generation() != before);
}

TEST_CASE("a queue is kept by a hold, which is not to be had of another number") {
  Life life;
  life.attach(7);
  CHECK_FALSE(life.try_hold(8));
  CHECK(life.try_hold(7));
  life.detach();
  CHECK(life.is_kept_now());
  CHECK_FALSE(life.try_hold(7));
  life.let_go();
  CHECK_FALSE(life.is_kept_now());
}

TEST_CASE("a closer sleeps until the last request has ended, or until its time") {
  Life life;
  Maker make;
  life.attach(7);
  CHECK(life.wait_until_idle(0, &epoch));
  Request* one = make.read(0, 1);
  Request* other = make.write(0, 1);
  life.add(one);
  life.add(other);
  CHECK_FALSE(life.wait_until_idle(aiox::kernel::monotonic_now_ns() + 1'000'000, &epoch));
  life.detach();
  CHECK(life.is_kept_now());
  std::thread closer([&life] { CHECK(life.wait_until_idle(aiox::kernel::kNoTimeout, &epoch)); });
  life.remove(one);
  life.remove(other);
  closer.join();
  CHECK_FALSE(life.is_kept_now());
}

TEST_CASE("what is outstanding is counted by kind, and what has not begun besides") {
  Outstanding outstanding;
  Maker make;
  Request* read = make.read(0, 1);
  Request* write = make.write(0, 1);
  outstanding.add(read);
  CHECK_FALSE(outstanding.has_writes());
  outstanding.add(write);
  CHECK(outstanding.has_writes());
  CHECK(outstanding.count() == 2);
  outstanding.begin();
  CHECK(outstanding.has_waiting());
  outstanding.begin();
  CHECK_FALSE(outstanding.has_waiting());
  outstanding.add_direct();
  CHECK(outstanding.has_direct());
  outstanding.remove_direct();
  outstanding.put_back();
  CHECK(outstanding.has_waiting());
  outstanding.begin();
  outstanding.remove(write);
  CHECK_FALSE(outstanding.has_writes());
  outstanding.remove(read);
  CHECK_FALSE(outstanding.has_any());
  CHECK_FALSE(outstanding.has_direct());
}
