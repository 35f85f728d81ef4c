// syscall.cc - what the interposed syscall(2) costs a call that has nothing to do with AIO: SYS_getppid by the name
// that the program is bound to, and by libc's own, in turn.
//
// The time of the row is that of the bound one; `libc_ns` is libc's, `ratio` the median of the quotients of two batches
// that ran one right after the other, in an order that changes. In the glibc build both are the same function: its
// ratio says how far from 1 noise goes.
#include <dlfcn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "support/rows.h"

namespace {

using namespace bench;

constexpr unsigned kCalls = 1000;

using Syscall = long (*)(long, ...);

double seconds_for_calls(Syscall call) {
  Clock::time_point begin = Clock::now();
  for (unsigned i = 0; i < kCalls; ++i) call(SYS_getppid);
  return seconds_since(begin);
}

double median(std::vector<double>* values) {
  auto middle = values->begin() + values->size() / 2;
  std::nth_element(values->begin(), middle, values->end());
  return *middle;
}

void syscall_passed_on(benchmark::State& state) {
  void* libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
  auto of_libc = libc != nullptr ? reinterpret_cast<Syscall>(dlsym(libc, "syscall")) : nullptr;
  if (of_libc == nullptr) {
    state.SkipWithError("libc's own syscall cannot be found");
    return;
  }
  std::vector<double> ratios, libc_seconds;
  bool is_libc_first = false;
  for (auto _ : state) {
    is_libc_first = !is_libc_first;
    double of_libc_s = is_libc_first ? seconds_for_calls(of_libc) : 0;
    double bound_s = seconds_for_calls(syscall);
    if (!is_libc_first) of_libc_s = seconds_for_calls(of_libc);
    state.SetIterationTime(bound_s);
    ratios.push_back(bound_s / of_libc_s);
    libc_seconds.push_back(of_libc_s);
  }
  dlclose(libc);
  state.SetItemsProcessed(int64_t(state.iterations()) * kCalls);
  state.counters["ratio"] = median(&ratios);
  state.counters["libc_ns"] = median(&libc_seconds) / kCalls * 1e9;
}

BENCHMARK(syscall_passed_on)->UseManualTime();

}  // namespace
