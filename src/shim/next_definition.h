// next_definition.h - the definition of a name that comes behind this library's: another interposer's, or libc's.
//
// A function that this library defines in libc's place ends by calling it, so that libraries which are preloaded behind
// this one see the calls that they watch. The loader's lists are read as they are, with no lock and no call of libc's
// (dlsym has both), since close is called in handlers, in the child of a vfork and before libc is ready. Objects loaded
// at the program's start stay loaded; where this library came later, by dlopen, nothing is behind it.
//
// Thread: any. Signal-safe: yes. Blocks: no.
#pragma once

#include <atomic>

namespace aiox::shim {

// Not an indirect function: those have yet to be resolved. nullptr: there is none.
void* find_next_definition(const char* name);

template <class Function>
class NextDefinition {
 public:
  // otherwise: libc's own, by another name that it has, or the plain system call.
  constexpr NextDefinition(const char* name, Function* otherwise) : name_(name), otherwise_(otherwise) {}
  Function* get() {
#if defined(__SANITIZE_THREAD__)
    // ThreadSanitizer's own close and read report a descriptor that is closed in use as a race: tests do that.
    if (otherwise_ != nullptr) return otherwise_;
#endif
    Function* found = found_.load(std::memory_order_relaxed);  // relaxed: an address of code, the same for all
    if (found != nullptr) [[likely]]
      return found;
    found = reinterpret_cast<Function*>(find_next_definition(name_));
    if (found == nullptr) found = otherwise_;
    found_.store(found, std::memory_order_relaxed);  // relaxed: as above
    return found;
  }

 private:
  const char* const name_;
  Function* const otherwise_;
  std::atomic<Function*> found_{nullptr};
};

}  // namespace aiox::shim
