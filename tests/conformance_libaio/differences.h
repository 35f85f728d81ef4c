// differences.h - where aiox answers otherwise than the kernel, on purpose: one entry each, and no expectation of a
// case may depend on who answers but through differs_from_kernel().
#pragma once

namespace libaio_conformance {

struct Difference {
  const char* name;
  const char* reason;
};

// True when the kernel itself answers (AIOX_TEST_AGAINST=kernel).
bool against_kernel();

// Whether aiox is to use the kernel's AIO (AIOX_DIRECT).
bool has_direct_lane();

// True when it is aiox's answer that is to be expected here.
inline bool differs_from_kernel(const Difference&) { return !against_kernel(); }

inline constexpr Difference kSubmitDoesNotWait{
    "io_submit does not wait",
    "the kernel makes buffered and stream transfers within io_submit, and waits there for data or room"};
inline constexpr Difference kIdleReadsCanBeCancelled{
    "idle stream reads can be cancelled",
    "they are pending requests: io_cancel answers EINPROGRESS and an event with ECANCELED comes; in the kernel the "
    "submitter is still inside io_submit, and io_cancel knows nothing of it"};
inline constexpr Difference kDestroyCancelsIdleReads{
    "io_destroy cancels idle stream reads",
    "it would wait for them for ever; in the kernel the submitter is still inside io_submit"};
inline constexpr Difference kSigpipeMayBeLeftOut{
    "SIGPIPE may be left out", "the write may be made by a thread that is not the program's: EPIPE alone tells"};
inline constexpr Difference kPlainFilesMayBeServed{
    "files that know plain read and write only may be served",
    "files of /proc and some devices have no read_iter or write_iter, which the kernel's AIO needs (EINVAL); no "
    "system call tells which, and carrying the request out gives what the plain call gives"};
inline constexpr Difference kOldAddressIsLetGoLate{
    "a ring that was moved is known by its old address until the new one is used",
    "the kernel is told of an mremap, a library finds out when it meets the new address"};
inline constexpr Difference kPollMayEndWithItsDescriptor{
    "a poll ends with its descriptor where the kernel's own AIO is not to be had",
    "what waits then is a thread or a ring of aiox's, which must not be left with the number of another file"};
inline constexpr Difference kClosedEventfdIsLetGo{
    "an eventfd is told of nothing once its number is closed",
    "the kernel holds the eventfd itself; a library could only by a descriptor, which the program would see"};
inline constexpr Difference kRingMayGrow{
    "mremap may make the ring's mapping longer",
    "only the kernel can forbid that; what is gained is no part of the ring"};

}  // namespace libaio_conformance
