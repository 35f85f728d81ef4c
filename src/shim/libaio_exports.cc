// libaio_exports.cc - the names of libaio 0.3, each spelling one or two lines into libaio.h.
//
// They answer as libaio's do: a count or 0, or -errno, and leave errno alone. None calls another by its name: what a
// program interposes is its own affair, and a name less to look up when the library is loaded. Three names exist twice,
// with other arguments in LIBAIO_0.1 than today, so the version nodes are part of the interface (libaio_versions.map).
// The old ones are named here; the maps give the plain names their default version.

#define AIOX_EXPORT extern "C" __attribute__((visibility("default")))

#include <cerrno>

#include "shim/libaio.h"

using namespace aiox;

namespace {

// What libaio's header calls io_callback_t: io_set_callback keeps one in the control block's data.
using Callback = void (*)(aio_context_t context, iocb* control_block, long result, long result2);

constexpr size_t kKernelMaskBytes = 8;  // of sigset_t's 128

// io_queue_wait asks for no events and waits for none, for all its name: so it has been in libaio since 0.3.
int wait_for_none(aio_context_t context, const timespec* timeout) {
  return static_cast<int>(shim::get_events(context, 0, 0, nullptr, timeout));
}

}  // namespace

AIOX_EXPORT int io_setup(int event_count, aio_context_t* context) {
  return static_cast<int>(shim::setup_context(static_cast<unsigned>(event_count), context));
}

AIOX_EXPORT int io_destroy(aio_context_t context) { return static_cast<int>(shim::destroy_context(context)); }

AIOX_EXPORT int io_submit(aio_context_t context, long count, iocb* list[]) {
  return static_cast<int>(shim::submit_blocks(context, count, list));
}

AIOX_EXPORT int io_cancel(aio_context_t context, iocb* control_block, io_event* result) {
  return static_cast<int>(shim::cancel_block(context, control_block, result));
}

AIOX_EXPORT int io_getevents(aio_context_t context, long min_count, long count, io_event* events, timespec* timeout) {
  return static_cast<int>(shim::get_events(context, min_count, count, events, timeout));
}

AIOX_EXPORT int io_pgetevents(aio_context_t context, long min_count, long count, io_event* events, timespec* timeout,
                              sigset_t* mask) {
  return static_cast<int>(shim::get_events(context, min_count, count, events, timeout, mask, kKernelMaskBytes));
}

// ---- The io_queue_* of 2002, which sysbench and fio still make their contexts with ----

AIOX_EXPORT int io_queue_init(int event_count, aio_context_t* context) {
  if (event_count <= 0) return -EINVAL;
  *context = 0;  // unlike io_setup, which wants to find it so
  return static_cast<int>(shim::setup_context(static_cast<unsigned>(event_count), context));
}

AIOX_EXPORT int io_queue_release(aio_context_t context) { return static_cast<int>(shim::destroy_context(context)); }

AIOX_EXPORT int io_queue_wait(aio_context_t context, timespec* timeout) { return wait_for_none(context, timeout); }

// Takes the events that are there, one at a time, since the callback may take some as well.
AIOX_EXPORT int io_queue_run(aio_context_t context) {
  timespec now = {};
  io_event event;
  for (;;) {
    long count = shim::get_events(context, 0, 1, &event, &now);
    if (count != 1) return static_cast<int>(count);
    auto callback = reinterpret_cast<Callback>(event.data);
    callback(context, reinterpret_cast<iocb*>(event.obj), static_cast<long>(event.res), static_cast<long>(event.res2));
  }
}

// ---- LIBAIO_0.1 ----

// "remove": without it the functions would be visible under these names as well.
asm(".symver io_cancel_0_1, io_cancel@LIBAIO_0.1, remove");
asm(".symver io_queue_wait_0_1, io_queue_wait@LIBAIO_0.1, remove");
asm(".symver io_getevents_0_1, io_getevents@LIBAIO_0.1, remove");

AIOX_EXPORT int io_cancel_0_1(aio_context_t context, iocb* control_block) {
  io_event result;
  return static_cast<int>(shim::cancel_block(context, control_block, &result));
}

AIOX_EXPORT int io_queue_wait_0_1(aio_context_t context, timespec* timeout) {
  return wait_for_none(context, timeout);
}

// At least one event, and the timeout is only read.
AIOX_EXPORT int io_getevents_0_1(aio_context_t context, long count, io_event* events, const timespec* timeout) {
  return static_cast<int>(shim::get_events(context, 1, count, events, timeout));
}
