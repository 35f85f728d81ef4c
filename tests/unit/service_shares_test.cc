// service_shares_test.cc - what a file takes of a share is given back, whichever of its units ends; parking beside it.

#include "files/service_shares.h"

#include "catch.h"
#include "files/parking.h"

using namespace aiox::engine;

TEST_CASE("without a bound there is always room") {
  ServiceShares shares;
  for (int i = 0; i < 1000; i++) CHECK(shares.try_take(ServiceId::kThreads));
  for (int i = 0; i < 1000; i++) CHECK(shares.try_take(ServiceId::kRing));
}

TEST_CASE("the overcommitted of a file go back before the one that is its own") {
  WorkerShare share;
  share.open(WorkerShare::kUnlimited, 2);
  ServiceShares shares;
  CHECK(shares.bind(ServiceId::kThreads, &share) == nullptr);
  for (int i = 0; i < 3; i++) CHECK(shares.try_take(ServiceId::kThreads));
  CHECK_FALSE(shares.has_room(ServiceId::kThreads));
  CHECK_FALSE(shares.try_take(ServiceId::kThreads));
  CHECK(share.overcommitted() == 2);
  shares.release(ServiceId::kThreads);
  CHECK(share.overcommitted() == 1);
  CHECK(shares.try_take(ServiceId::kThreads));
  for (int i = 0; i < 3; i++) shares.release(ServiceId::kThreads);
  CHECK(share.overcommitted() == 0);
  CHECK(shares.bind(ServiceId::kThreads, nullptr) == &share);
}

TEST_CASE("a ring has a window, which grows by one with each that ends, and begins anew when none is left") {
  WorkerShare share;
  share.open(WorkerShare::kUnlimited, WorkerShare::kUnlimited);
  ServiceShares shares;
  shares.bind(ServiceId::kRing, &share);
  uint32_t count = 0;
  while (shares.try_take(ServiceId::kRing)) count++;
  CHECK(count == WorkerShare::kFirstWindow);
  shares.release(ServiceId::kRing);
  CHECK(shares.try_take(ServiceId::kRing));
  CHECK(shares.try_take(ServiceId::kRing));
  CHECK_FALSE(shares.has_room(ServiceId::kRing));
  for (uint32_t i = 0; i < count + 1; i++) shares.release(ServiceId::kRing);
  count = 0;
  while (shares.try_take(ServiceId::kRing)) count++;
  CHECK(count == WorkerShare::kFirstWindow);
}

TEST_CASE("the reaper ticks from the first parking on, until a tick finds none and none came since the last") {
  Parking parking;
  CHECK(parking.park(ServiceId::kThreads));
  CHECK_FALSE(parking.park(ServiceId::kRing));
  CHECK(parking.parked() == (mask_of(ServiceId::kThreads) | mask_of(ServiceId::kRing)));
  CHECK(parking.tick(mask_of(ServiceId::kRing)));
  CHECK(parking.parked() == mask_of(ServiceId::kThreads));
  parking.unpark_all();
  CHECK_FALSE(parking.tick(0));
  CHECK_FALSE(parking.is_ticking());
  CHECK(parking.park(ServiceId::kThreads));
  parking.unpark(mask_of(ServiceId::kThreads));
  CHECK(parking.tick(0));  // one came since the last
  CHECK_FALSE(parking.tick(0));
}
