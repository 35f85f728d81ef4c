// route_stages_test.cc - the other stages of engine/route.h, a table for each: what may answer an operation in the
// submitting call, what begins a request, and what an answer means that is none.

#include <poll.h>

#include <cerrno>

#include "catch.h"
#include "engine/route.h"

using namespace aiox::engine;
using aiox::backend::kInlineBytesMax;
using aiox::backend::Opcode;
using aiox::kernel::FileKind;
using aiox::kernel::kRwfNowait;
using Start = FileQueue::Start;

namespace {

// ---- In the call ----

CallQuestion call(Opcode opcode, FileKind kind = FileKind::kRegular) {
  CallQuestion question = {.opcode = opcode, .kind = kind, .offset = 0, .bytes = 4096, .rw_flags = 0};
  question.is_alone = question.is_first = true;
  return question;
}
CallQuestion quick_call(Opcode opcode) {
  CallQuestion question = call(opcode, FileKind::kBlockDevice);
  question.is_quick = question.does_quick_in_call = true;
  return question;
}
template <class Question, class Change>
Question with(Question question, Change change) {
  change(question);
  return question;
}

struct CallRow {
  const char* what;
  CallQuestion question;
  InCall answer;
};

const CallRow kCallRows[] = {
    {"a plain read is a request", call(Opcode::kRead), InCall::kNothing},
    {"a negative offset is refused", with(call(Opcode::kWrite), [](auto& q) { q.offset = -1; }), InCall::kBadOffset},
    {"but not of an fsync, which has none", with(call(Opcode::kSync), [](auto& q) { q.offset = -1; }),
     InCall::kNothing},
    {"so is what no address space holds", with(call(Opcode::kRead), [](auto& q) { q.is_beyond_addresses = true; }),
     InCall::kBadLength},
    {"the offset first", with(call(Opcode::kRead), [](auto& q) { q.is_beyond_addresses = true, q.offset = -1; }),
     InCall::kBadOffset},
    {"RWF_NOWAIT has its answer now", with(call(Opcode::kRead), [](auto& q) { q.rw_flags = kRwfNowait; }),
     InCall::kNowait},
    {"unless the kernel's AIO takes it",
     with(call(Opcode::kRead), [](auto& q) { q.rw_flags = kRwfNowait, q.goes_direct = true; }), InCall::kNothing},
    {"a poll may be ready", call(Opcode::kPoll, FileKind::kSocket), InCall::kPoll},
    {"/dev/null waits for nothing",
     with(call(Opcode::kWrite, FileKind::kOther), [](auto& q) { q.is_instant = true, q.bytes = 1 << 30; }),
     InCall::kInstant},
    {"a long read of /dev/zero takes its time",
     with(call(Opcode::kRead, FileKind::kOther), [](auto& q) { q.is_instant = true, q.bytes = kInlineBytesMax + 1; }),
     InCall::kNothing},
    {"nothing is instant with AIOX_INLINE=0",
     with(call(Opcode::kRead, FileKind::kOther), [](auto& q) { q.is_instant = true, q.is_inline_enabled = false; }),
     InCall::kNothing},
    {"what /dev/null's number stands for by now may be a signalfd",
     with(call(Opcode::kRead, FileKind::kOther),
          [](auto& q) { q.is_instant = q.does_quick_in_call = true, q.is_inline_enabled = false; }),
     InCall::kOwnSignals},
    {"a RAM disk does a native read in the call", quick_call(Opcode::kRead), InCall::kQuick},
    {"and a write", quick_call(Opcode::kWrite), InCall::kQuick},
    {"not for POSIX AIO", with(quick_call(Opcode::kRead), [](auto& q) { q.does_quick_in_call = false; }),
     InCall::kNothing},
    {"not behind others of the file", with(quick_call(Opcode::kRead), [](auto& q) { q.is_alone = false; }),
     InCall::kNothing},
    {"nor of its context", with(quick_call(Opcode::kRead), [](auto& q) { q.is_first = false; }), InCall::kNothing},
    {"nor with a priority of its own", with(quick_call(Opcode::kRead), [](auto& q) { q.has_priority = true; }),
     InCall::kNothing},
    {"nor a long one", with(quick_call(Opcode::kRead), [](auto& q) { q.bytes = kInlineBytesMax + 1; }),
     InCall::kNothing},
    {"nor where a backend is told",
     with(quick_call(Opcode::kRead), [](auto& q) { q.backend = BackendChoice::kThreads; }), InCall::kNothing},
    {"a native read of an unknown file may be of signals",
     with(call(Opcode::kRead, FileKind::kOther), [](auto& q) { q.does_quick_in_call = true; }), InCall::kOwnSignals},
    {"a write is not", with(call(Opcode::kWrite, FileKind::kOther), [](auto& q) { q.does_quick_in_call = true; }),
     InCall::kNothing},
    {"nor a read of nothing",
     with(call(Opcode::kRead, FileKind::kOther), [](auto& q) { q.does_quick_in_call = true, q.bytes = 0; }),
     InCall::kNothing},
};

InlineQuestion cached(Opcode opcode) {
  return {.opcode = opcode,
          .bytes = 4096,
          .may_read_inline = true,
          .knows_nowait = true,
          .is_direct = false,
          .is_past_cache = false,
          .is_synced = false,
          .is_inline_enabled = true};
}

// ---- From a descriptor table of its own ----

struct OwnTableRow {
  const char* what;
  OwnTableQuestion question;
  OwnTable answer;
};

const OwnTableRow kOwnTableRows[] = {
    {"a read", {Opcode::kRead, 0, false, false}, OwnTable::kIfReady},
    {"a write", {Opcode::kWrite, 0, false, false}, OwnTable::kIfReady},
    {"a poll", {Opcode::kPoll, 0, false, false}, OwnTable::kIfReady},
    {"an fsync waits, as the plain call", {Opcode::kSync, 0, false, false}, OwnTable::kPlainCall},
    {"a callback would run in this table", {Opcode::kRead, 0, false, true}, OwnTable::kRefused},
    {"whatever it is", {Opcode::kSync, -1, true, true}, OwnTable::kRefused},
    {"a negative offset", {Opcode::kWrite, -1, true, false}, OwnTable::kBadOffset},
    {"of an fsync it is no offset", {Opcode::kDataSync, -1, true, false}, OwnTable::kPlainCall},
    {"nor of a poll", {Opcode::kPoll, -1, true, false}, OwnTable::kIfReady},
    {"what no address space holds", {Opcode::kRead, 0, true, false}, OwnTable::kBadLength},
};

struct ReadyRow {
  const char* what;
  Opcode opcode;
  uint64_t bytes;
  int64_t poll_result;
  Ready answer;
};

const ReadyRow kReadyRows[] = {
    {"a pipe with data is read", Opcode::kRead, 1, POLLIN, Ready::kTransfer},
    {"an empty one would wait", Opcode::kRead, 1, 0, Ready::kRefused},
    {"but not for nothing", Opcode::kRead, 0, 0, Ready::kTransfer},
    {"a full one would wait", Opcode::kWrite, 4096, 0, Ready::kRefused},
    {"a poll that finds something", Opcode::kPoll, 0, POLLIN, Ready::kAnswer},
    {"and one that does not", Opcode::kPoll, 0, 0, Ready::kRefused},
    {"a closed number is no transfer", Opcode::kRead, 1, -EBADF, Ready::kAnswer},
    {"nor a poll's event", Opcode::kPoll, 0, -EBADF, Ready::kAnswer},
};

struct InlineRow {
  const char* what;
  InlineQuestion question;
  bool answer;
};

const InlineRow kInlineRows[] = {
    {"a short read may be cached", cached(Opcode::kRead), true},
    {"of the longest", with(cached(Opcode::kRead), [](auto& q) { q.bytes = kInlineBytesMax; }), true},
    {"not of more", with(cached(Opcode::kRead), [](auto& q) { q.bytes = kInlineBytesMax + 1; }), false},
    {"nor of nothing", with(cached(Opcode::kRead), [](auto& q) { q.bytes = 0; }), false},
    {"nor of a file whose reads miss", with(cached(Opcode::kRead), [](auto& q) { q.may_read_inline = false; }), false},
    {"nor past the page cache", with(cached(Opcode::kRead), [](auto& q) { q.is_past_cache = true; }), false},
    {"nor with AIOX_INLINE=0", with(cached(Opcode::kRead), [](auto& q) { q.is_inline_enabled = false; }), false},
    {"a write may go there, too", cached(Opcode::kWrite), true},
    {"if it waits for no disk", with(cached(Opcode::kWrite), [](auto& q) { q.is_synced = true; }), false},
    {"nor is it O_DIRECT", with(cached(Opcode::kWrite), [](auto& q) { q.is_direct = true; }), false},
    {"nor of a file without RWF_NOWAIT", with(cached(Opcode::kWrite), [](auto& q) { q.knows_nowait = false; }), false},
    {"an fsync is in no cache", cached(Opcode::kSync), false},
    {"nor a poll", cached(Opcode::kPoll), false},
};

// ---- Buffered transfers that the submitting call does ----

BufferedQuestion buffered(Opcode opcode) {
  return {.opcode = opcode, .does_buffered_in_call = true, .is_seekable = true, .is_direct = false,
          .is_past_cache = false, .is_native_sync = false, .has_siblings = false,
          .inline_outcome = InlineOutcome::kNotForIt};
}
BufferedQuestion untried_read() {
  return with(buffered(Opcode::kRead), [](auto& q) { q.inline_outcome = InlineOutcome::kNotTried; });
}

struct BufferedRow {
  const char* what;
  BufferedQuestion question;
  Buffered answer;
};

const BufferedRow kBufferedRows[] = {
    {"a write is copied", buffered(Opcode::kWrite), Buffered::kCopied},
    {"and done where other numbers have the file",
     with(buffered(Opcode::kWrite), [](auto& q) { q.has_siblings = true; }), Buffered::kDone},
    {"a read that must come after a write is done", untried_read(), Buffered::kDone},
    {"one that was missed waits for the device",
     with(buffered(Opcode::kRead), [](auto& q) { q.inline_outcome = InlineOutcome::kMissed; }), Buffered::kQueued},
    {"with AIOX_NATIVE_SYNC that is done too",
     with(buffered(Opcode::kRead), [](auto& q) { q.is_native_sync = true; }), Buffered::kDone},
    {"and a write", with(buffered(Opcode::kWrite), [](auto& q) { q.is_native_sync = true; }), Buffered::kDone},
    {"not for POSIX AIO", with(buffered(Opcode::kWrite), [](auto& q) { q.does_buffered_in_call = false; }),
     Buffered::kQueued},
    {"nor O_DIRECT", with(buffered(Opcode::kWrite), [](auto& q) { q.is_direct = true; }), Buffered::kQueued},
    {"nor past the page cache", with(buffered(Opcode::kWrite), [](auto& q) { q.is_past_cache = true; }),
     Buffered::kQueued},
    {"nor of a stream", with(buffered(Opcode::kWrite), [](auto& q) { q.is_seekable = false; }), Buffered::kQueued},
    {"nor an fsync", with(buffered(Opcode::kSync), [](auto& q) { q.is_native_sync = true; }), Buffered::kQueued},
};

// ---- Begun by whom ----

StartQuestion start(Opcode opcode) {
  return {.opcode = opcode, .bytes = 4096, .serial = SerialId::kNone, .service = ServiceId::kThreads,
          .can_go_direct = false, .must_not_fault = false, .bypasses_cache = false, .is_past_cache = false,
          .has_notification = false, .is_in_list = false, .is_quick_file = false,
          .inline_outcome = InlineOutcome::kNotForIt, .is_inline_enabled = true, .backend = BackendChoice::kAuto};
}
StartQuestion direct(Opcode opcode) {
  return with(start(opcode), [](auto& q) { q.can_go_direct = true; });
}
StartQuestion missed() {
  return with(start(Opcode::kRead), [](auto& q) { q.inline_outcome = InlineOutcome::kMissed; });
}
StartQuestion quick_file(Opcode opcode) {
  return with(start(opcode), [](auto& q) { q.is_quick_file = true; });
}

struct StartRow {
  const char* what;
  StartQuestion question;
  bool is_direct;
  Start otherwise;
};

const StartRow kStartRows[] = {
    {"a worker is told of a request", start(Opcode::kWrite), false, Start::kWorker},
    {"O_DIRECT reads go to the kernel's AIO", direct(Opcode::kRead), true, Start::kWorker},
    {"and writes", direct(Opcode::kWrite), true, Start::kWorker},
    {"but not an fsync", direct(Opcode::kSync), false, Start::kWorker},
    {"nor what waits for its turn", with(direct(Opcode::kWrite), [](auto& q) { q.serial = SerialId::kWrites; }), false,
     Start::kWorker},
    {"nor where the call might wait for a page", with(direct(Opcode::kRead), [](auto& q) { q.must_not_fault = true; }),
     false, Start::kWorker},
    {"of a device without O_DIRECT what is aligned",
     with(direct(Opcode::kRead), [](auto& q) { q.bypasses_cache = q.is_past_cache = true; }), true, Start::kWorker},
    {"and nothing else", with(direct(Opcode::kRead), [](auto& q) { q.bypasses_cache = true; }), false, Start::kWorker},
    {"a read that was missed is its waiter's", missed(), false, Start::kWaiter},
    {"also the rest of one that was partly there",
     with(missed(), [](auto& q) { q.inline_outcome = InlineOutcome::kPartly; }), false, Start::kWaiter},
    {"not one that was not tried", with(missed(), [](auto& q) { q.inline_outcome = InlineOutcome::kNotTried; }), false,
     Start::kWorker},
    {"nor with a notification", with(missed(), [](auto& q) { q.has_notification = true; }), false, Start::kWorker},
    {"nor in a list", with(missed(), [](auto& q) { q.is_in_list = true; }), false, Start::kWorker},
    {"nor a long one", with(missed(), [](auto& q) { q.bytes = kInlineBytesMax + 1; }), false, Start::kWorker},
    {"nor where a backend is told", with(missed(), [](auto& q) { q.backend = BackendChoice::kIoUring; }), false,
     Start::kWorker},
    {"nor with AIOX_INLINE=0", with(missed(), [](auto& q) { q.is_inline_enabled = false; }), false, Start::kWorker},
    {"a lone request of a quick file is its waiter's", quick_file(Opcode::kWrite), false, Start::kWaiterIfLone},
    {"but not an fsync", quick_file(Opcode::kSync), false, Start::kWorker},
    {"nor a stream's", with(quick_file(Opcode::kRead), [](auto& q) { q.service = ServiceId::kStreams; }), false,
     Start::kWorker},
};

// ---- After an answer ----

struct AfterRow {
  const char* what;
  AfterQuestion question;
  After answer;
};

AfterQuestion after(FileKind kind, ServiceId service, int64_t result) {
  return {Opcode::kRead, kind, service, 0, result, false};
}

const AfterRow kAfterRows[] = {
    {"bytes are an answer", after(FileKind::kRegular, ServiceId::kRing, 4096), After::kAnswer},
    {"and so is an error", after(FileKind::kRegular, ServiceId::kRing, -EIO), After::kAnswer},
    {"a ring that could not sends it to a thread", after(FileKind::kRegular, ServiceId::kRing, -EAGAIN),
     After::kBlocking},
    {"a thread's EAGAIN is the file's", after(FileKind::kPipe, ServiceId::kStreams, -EAGAIN), After::kAnswer},
    {"RWF_NOWAIT asked for it",
     with(after(FileKind::kRegular, ServiceId::kRing, -EAGAIN), [](auto& q) { q.rw_flags = kRwfNowait; }),
     After::kAnswer},
    {"a file that is a stream by now", after(FileKind::kRegular, ServiceId::kThreads, -ESPIPE), After::kOtherKind},
    {"a socket that is a file by now", after(FileKind::kSocket, ServiceId::kRing, -ENOTSOCK), After::kOtherKind},
    {"a stream says ESPIPE by itself", after(FileKind::kPipe, ServiceId::kRing, -ESPIPE), After::kAnswer},
    {"what has no kind is asked once", after(FileKind::kOther, ServiceId::kStreams, -ENOTSOCK), After::kAnswer},
    {"what is to be cancelled begins nothing new",
     with(after(FileKind::kPipe, ServiceId::kRing, -EAGAIN), [](auto& q) { q.is_cancel_wanted = true; }),
     After::kCancelled},
    {"but has its answer, if it has one",
     with(after(FileKind::kPipe, ServiceId::kRing, 5), [](auto& q) { q.is_cancel_wanted = true; }), After::kAnswer},
};

}  // namespace

TEST_CASE("what is answered in the submitting call is as its row says") {
  for (const CallRow& row : kCallRows) {
    INFO(row.what);
    CHECK(route_in_call(row.question) == row.answer);
  }
}

TEST_CASE("what a thread with a descriptor table of its own gets is as its row says") {
  for (const OwnTableRow& row : kOwnTableRows) {
    INFO(row.what);
    CHECK(route_from_own_table(row.question) == row.answer);
  }
}

TEST_CASE("what is not ready is refused, and nothing is refused that does not wait") {
  for (const ReadyRow& row : kReadyRows) {
    INFO(row.what);
    CHECK(route_ready(row.opcode, row.bytes, row.poll_result) == row.answer);
  }
}

TEST_CASE("what is tried in the page cache is as its row says") {
  for (const InlineRow& row : kInlineRows) {
    INFO(row.what);
    CHECK(is_inline_work(row.question) == row.answer);
  }
}

TEST_CASE("what a submitting call has done of a buffered transfer is as its row says") {
  for (const BufferedRow& row : kBufferedRows) {
    INFO(row.what);
    CHECK(route_buffered(row.question) == row.answer);
  }
}

TEST_CASE("each request is begun by whom its row says") {
  for (const StartRow& row : kStartRows) {
    INFO(row.what);
    CHECK(wants_direct(row.question) == row.is_direct);
    CHECK(start_otherwise(row.question) == row.otherwise);
  }
}

TEST_CASE("an answer that is none sends a request where its row says") {
  for (const AfterRow& row : kAfterRows) {
    INFO(row.what);
    CHECK(route_after(row.question) == row.answer);
  }
}

TEST_CASE("O_NONBLOCK is asked of a stream's transfer alone") {
  CHECK(needs_status_flags(after(FileKind::kPipe, ServiceId::kRing, -EAGAIN)));
  CHECK_FALSE(needs_status_flags(after(FileKind::kRegular, ServiceId::kRing, -EAGAIN)));
  CHECK_FALSE(needs_status_flags({Opcode::kPoll, FileKind::kSocket, ServiceId::kRing, 0, -EAGAIN, false}));
}
