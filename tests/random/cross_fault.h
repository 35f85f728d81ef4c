// cross_fault.h - where a child of a handler died: it happens once in some hundred sessions, and no replay shows it.
//
// Thread: the child's only one. Signal-safe: tell_faults is; what it installs formats with stdio, in a process that
// dies.
#pragma once

namespace cross {

// From here on a SIGSEGV or SIGBUS of this process is told on standard error: the instruction, the address, and which
// words of the stack may be return addresses, each as a file and an offset for addr2line. It dies of it all the same.
void tell_faults();

}  // namespace cross
