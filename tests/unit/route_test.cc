// route_test.cc - where requests go: the table of engine/route.h, a row for each kind of file, request and setting that
// makes a difference, and what must hold for every combination of them.

#include "engine/route.h"

#include <fcntl.h>

#include <string>
#include <vector>

#include "catch.h"

using namespace aiox::engine;
using aiox::backend::Opcode;
using aiox::kernel::FileKind;

namespace {

constexpr auto kAuto = BackendChoice::kAuto;
constexpr auto kRing = BackendChoice::kIoUring;
constexpr auto kThreads = BackendChoice::kThreads;

struct Row {
  const char* what;
  RouteQuestion question;
  SerialId serial;
  bool has_range;
  bool wants_ring;
  ServiceId otherwise;
};

// opcode, kind, bytes, rw_flags, status_flags, knows_nowait, bypasses_cache, was_not_tried, backend
const Row kRows[] = {
    {"a read that was tried in the call goes to a ring",
     {Opcode::kRead, FileKind::kRegular, 4096, 0, 0, true, false, false, kAuto},
     SerialId::kNone, true, true, ServiceId::kThreads},
    {"a read that was not tried stays with the worker that did the write",
     {Opcode::kRead, FileKind::kRegular, 4096, 0, 0, true, false, true, kAuto},
     SerialId::kNone, true, false, ServiceId::kThreads},
    {"with AIOX_BACKEND=io_uring that goes to a ring, too",
     {Opcode::kRead, FileKind::kRegular, 4096, 0, 0, true, false, true, kRing},
     SerialId::kNone, true, true, ServiceId::kThreads},
    {"a read of a file that does not know RWF_NOWAIT is a blocking call",
     {Opcode::kRead, FileKind::kRegular, 4096, 0, 0, false, false, false, kRing},
     SerialId::kNone, true, false, ServiceId::kThreads},
    {"but of a block device, where a ring is asked for",
     {Opcode::kRead, FileKind::kBlockDevice, 4096, 0, 0, false, false, false, kRing},
     SerialId::kNone, true, true, ServiceId::kThreads},
    {"a buffered write waits for its turn, on a thread",
     {Opcode::kWrite, FileKind::kRegular, 4096, 0, 0, true, false, false, kAuto},
     SerialId::kWrites, true, false, ServiceId::kThreads},
    {"an O_DIRECT write waits for nobody, in a ring",
     {Opcode::kWrite, FileKind::kRegular, 4096, 0, O_DIRECT, true, false, false, kAuto},
     SerialId::kNone, true, true, ServiceId::kThreads},
    {"one that goes past the page cache waits for nobody",
     {Opcode::kWrite, FileKind::kBlockDevice, 4096, 0, 0, true, true, false, kAuto},
     SerialId::kNone, true, false, ServiceId::kThreads},
    {"an append has no range that is known, and its turn",
     {Opcode::kWrite, FileKind::kRegular, 4096, 0, O_APPEND | O_DIRECT, true, false, false, kAuto},
     SerialId::kWrites, false, true, ServiceId::kThreads},
    {"RWF_APPEND is an append",
     {Opcode::kWrite, FileKind::kRegular, 4096, RWF_APPEND, O_DIRECT, true, false, false, kAuto},
     SerialId::kWrites, false, true, ServiceId::kThreads},
    {"RWF_NOAPPEND is none, whatever the descriptor says",
     {Opcode::kWrite, FileKind::kRegular, 4096, kRwfNoAppend, O_APPEND | O_DIRECT, true, false, false, kAuto},
     SerialId::kNone, true, true, ServiceId::kThreads},
    {"an fsync goes to a thread",
     {Opcode::kSync, FileKind::kRegular, 0, 0, 0, true, false, false, kAuto},
     SerialId::kNone, false, false, ServiceId::kThreads},
    {"and to a ring where that is asked for",
     {Opcode::kDataSync, FileKind::kRegular, 0, 0, 0, true, false, false, kRing},
     SerialId::kNone, false, true, ServiceId::kThreads},
    {"a stream's reads take turns",
     {Opcode::kRead, FileKind::kSocket, 10, 0, 0, false, false, false, kAuto},
     SerialId::kStreamRead, false, true, ServiceId::kStreams},
    {"a stream's writes take turns of their own",
     {Opcode::kWrite, FileKind::kPipe, 10, 0, 0, false, false, false, kAuto},
     SerialId::kStreamWrite, false, true, ServiceId::kStreams},
    {"O_NONBLOCK is for the plain call to answer",
     {Opcode::kRead, FileKind::kSocket, 10, 0, O_NONBLOCK, false, false, false, kAuto},
     SerialId::kStreamRead, false, false, ServiceId::kStreams},
    {"and so are flags of a stream's transfer",
     {Opcode::kRead, FileKind::kPipe, 10, RWF_HIPRI, 0, false, false, false, kRing},
     SerialId::kStreamRead, false, false, ServiceId::kStreams},
    {"nothing of a stream is asked of the file by a plain call",
     {Opcode::kRead, FileKind::kPipe, 0, 0, 0, false, false, false, kRing},
     SerialId::kStreamRead, false, false, ServiceId::kStreams},
    {"a device that is no stream we know is a blocking call",
     {Opcode::kRead, FileKind::kOther, 10, 0, 0, false, false, false, kRing},
     SerialId::kStreamRead, false, false, ServiceId::kStreams},
    {"a poll goes to a ring, of whatever file",
     {Opcode::kPoll, FileKind::kOther, 0, 0, 0, false, false, false, kAuto},
     SerialId::kNone, false, true, ServiceId::kStreams},
    {"and to a thread where there is to be none",
     {Opcode::kPoll, FileKind::kSocket, 0, 0, 0, false, false, false, kThreads},
     SerialId::kNone, false, false, ServiceId::kStreams},
};

std::vector<RouteQuestion> all_questions() {
  std::vector<RouteQuestion> questions;
  for (const aiox::kernel::Operation& operation : aiox::kernel::kOperations)
    for (FileKind kind : {FileKind::kRegular, FileKind::kBlockDevice, FileKind::kSocket, FileKind::kPipe,
                          FileKind::kTerminal, FileKind::kOther})
      for (uint64_t bytes : {0, 4096})
        for (int rw_flags : {0, RWF_APPEND, RWF_DSYNC})
          for (int status_flags : {0, O_APPEND, O_DIRECT, O_NONBLOCK, O_APPEND | O_DIRECT})
            for (unsigned bits = 0; bits < 8; bits++)
              for (BackendChoice backend : {kAuto, kRing, kThreads})
                questions.push_back({operation.opcode, kind, bytes, rw_flags, status_flags, (bits & 1) != 0,
                                     (bits & 2) != 0, (bits & 4) != 0, backend});
  return questions;
}

std::string text_of(const RouteQuestion& q) {
  return "opcode " + std::to_string(static_cast<int>(q.opcode)) + " kind " + std::to_string(static_cast<int>(q.kind)) +
         " bytes " + std::to_string(q.bytes) + " rw_flags " + std::to_string(q.rw_flags) + " status_flags " +
         std::to_string(q.status_flags) + " backend " + std::to_string(static_cast<int>(q.backend));
}

}  // namespace

TEST_CASE("each request goes where its row says") {
  for (const Row& row : kRows) {
    INFO(row.what);
    const Route answer = route(row.question);
    CHECK(answer.serial == row.serial);
    CHECK(answer.has_range == row.has_range);
    CHECK(answer.wants_ring == row.wants_ring);
    CHECK(answer.otherwise == row.otherwise);
  }
}

TEST_CASE("no request goes to a ring where AIOX_BACKEND=threads") {
  for (const RouteQuestion& question : all_questions()) {
    if (question.backend != kThreads) continue;
    INFO(text_of(question));
    REQUIRE_FALSE(route(question).wants_ring);
  }
}

TEST_CASE("what may wait for ever never takes a bounded worker") {
  for (const RouteQuestion& question : all_questions()) {
    const bool is_transfer = aiox::backend::is_transfer(question.opcode);
    const bool may_last =
        question.opcode == Opcode::kPoll || (is_transfer && !aiox::kernel::is_seekable(question.kind));
    INFO(text_of(question));
    REQUIRE((route(question).otherwise == ServiceId::kStreams) == may_last);
  }
}

TEST_CASE("a transfer of a file has a range or is an append, and an append has its turn") {
  for (const RouteQuestion& question : all_questions()) {
    const Route answer = route(question);
    const bool is_file_transfer =
        aiox::backend::is_transfer(question.opcode) && aiox::kernel::is_seekable(question.kind);
    INFO(text_of(question));
    REQUIRE((answer.has_range || answer.is_append) == is_file_transfer);
    REQUIRE_FALSE((answer.has_range && answer.is_append));
    if (answer.is_append) REQUIRE(answer.serial == SerialId::kWrites);
  }
}

TEST_CASE("status flags make no difference where they are not asked for") {
  for (RouteQuestion question : all_questions()) {
    if (needs_status_flags(question)) continue;
    const Route answer = route(question);
    question.status_flags = 0;
    const Route without = route(question);
    INFO(text_of(question));
    REQUIRE(answer.serial == without.serial);
    REQUIRE(answer.wants_ring == without.wants_ring);
    REQUIRE(answer.is_append == without.is_append);
  }
}
