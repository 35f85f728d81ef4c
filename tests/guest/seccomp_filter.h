// seccomp_filter.h - makes the kernel refuse some system calls, in every thread of this process, as a container's
// profile does. For good: call it in a forked child or in a property that ends afterwards.
#ifndef AIOX_TESTS_GUEST_SECCOMP_FILTER_H
#define AIOX_TESTS_GUEST_SECCOMP_FILTER_H

#include <vector>

namespace guest {

// False if this kernel has no such filters. `error` is what the calls then answer.
bool refuse_system_calls(const std::vector<long>& numbers, int error);

// The call answers 0, and does nothing, where the argument (from 0) has the flag.
bool answer_nothing(long number, unsigned argument, unsigned flag);

// The same as refuse_system_calls, and the process is killed for making one of them.
bool kill_for_system_calls(const std::vector<long>& numbers);

}  // namespace guest
#endif
