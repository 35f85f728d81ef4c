// worker_calls.h - what a file's queue asks of the worker that carries out one of its requests.
//
// Declared here and defined above (workers/service.cc), so that files know nothing of workers. Thread: any, under the
// lock of the request's file, so that the request stays that worker's. Blocks: no.
#pragma once

#include "backend/threads.h"

namespace aiox::engine {

class Worker;
struct CancelTicket;

// Worker::cancel.
backend::CancelAnswer ask_to_cancel(Worker* worker, CancelTicket* ticket);
// Worker::plain_call.
backend::Threads::PlainCall plain_call_of(Worker* worker, backend::Io* io);

}  // namespace aiox::engine
