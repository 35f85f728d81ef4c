// assert.cc - reports a failed assertion and ends the process; called by checked builds only.
//
// Owns nothing. Thread: any, in a signal handler included: it never allocates, locks or uses stdio.
#include "base/assert.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

namespace aiox::base {

namespace {
void put(const char* text) {
  [[maybe_unused]] ssize_t ignored = ::write(STDERR_FILENO, text, strlen(text));
}
}  // namespace

void assertion_failed(const char* condition, const char* file, int line) {
  char digits[16];
  char* at = digits + sizeof digits - 1;
  *at = '\0';
  do {
    *--at = static_cast<char>('0' + line % 10);
    line /= 10;
  } while (line > 0);
  put("aiox: assertion failed: ");
  put(condition);
  put(" at ");
  put(file);
  put(":");
  put(at);
  put("\n");
  abort();
}

}  // namespace aiox::base
