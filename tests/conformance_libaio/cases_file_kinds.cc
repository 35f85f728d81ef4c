// cases_file_kinds.cc - every kind of file beside the plain call: what read(2) or write(2) answers is what the event says, or
// io_submit itself; and where the one waits, the other does.
#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "calls.h"
#include "case_runner.h"
#include "file_kinds.h"

namespace libaio_conformance {
namespace {

using aiox_test::Answer;
using aiox_test::Attempt;

// The blocks of one context, and what has come of each.
struct Blocks {
  Context context{512};
  std::map<const iocb*, Answer> answers;
  void take() {
    io_event events[64];
    for (long count; (count = get_events(context, 0, 64, events, nullptr)) > 0;) {
      for (long i = 0; i < count; ++i) answers[events[i].obj] = {true, result_in(events[i])};
    }
  }
};

// The kernel's AIO knows no reading of directories, and no writing to eventfds: -EINVAL.
std::set<std::string> refused_states(bool is_read) {
  if (is_read) return {"a directory"};
  return {"eventfd", "eventfd, full"};
}

void compare(bool is_read, size_t bytes) {
  if (!differs_from_kernel(kSubmitDoesNotWait)) aiox_test::skip_case("io_submit would wait");
  auto* blocks = new Blocks;  // some are in flight for ever
  aiox_test::compare_with_plain_calls(is_read, bytes, 0, [=](int) -> Attempt {
    auto block = std::make_shared<iocb>();
    return {[=](int fd, void* data, size_t length, long long offset) {
              *block = is_read ? pread_block(fd, data, length, offset) : pwrite_block(fd, data, length, offset);
              const long result = submit(blocks->context, *block);
              if (result < 0) blocks->answers[block.get()] = {true, result};
            },
            [=]() -> Answer {
              blocks->take();
              return blocks->answers[block.get()];
            }};
  }, refused_states(is_read));
}

bool add_comparisons() {
  for (const bool is_read : {true, false}) {
    for (const size_t bytes : {0, 1, 8, 4096}) {
      aiox_test::add_case({std::string("every kind of file answers a ") + (is_read ? "read" : "write") + " of " +
                               std::to_string(bytes) + " bytes as the plain call does",
                           {}, {}, [=] { compare(is_read, bytes); }});
    }
  }
  return true;
}

[[maybe_unused]] const bool comparisons_added = add_comparisons();

}  // namespace
}  // namespace libaio_conformance
