// iocb_checks.h - what one control block of native AIO asks for: the checks of fs/aio.c, in its order, and the
// submission that comes of them.
//
// Thread: the submitting one, inside aiox. Never waits, submits nothing.
#pragma once

#include <linux/aio_abi.h>

namespace aiox::engine {
class Engine;
struct Submission;
}  // namespace aiox::engine

namespace aiox::shim {

// block: a copy of *control_block, which other threads may change; aio_key is written back to *control_block.
// submission: has its fd; gets the operation, and vectors that are to be freed when it is not submitted.
// 0, or the -errno of io_submit(2).
int check_and_prepare(engine::Engine* engine, const iocb& block, iocb* control_block, engine::Submission* submission);

}  // namespace aiox::shim
