// answerer.h - who answers the worker's calls. An engine that is another one than its name says would be a wrong
// figure, so each asks before it begins, and is an error instead.
#pragma once

#include <string>

#include "cli/bench/work/job.h"

namespace aiox::cli::bench {

// The file that the loader took a function from; "" when there is none of that name.
std::string file_of_function(const char* name);
std::string file_of_address(void* address);

// Throw Failed when it is otherwise: aiox answers `function`; nothing of aiox is loaded.
void expect_aiox(const char* function);
void expect_no_aiox();

// Throws Unavailable when the aiox that is loaded cannot use this lane ("" stands for none in particular).
void expect_lane(const std::string& lane);

// What aiox has counted; zeros without it.
LaneCounts lane_counts();

}  // namespace aiox::cli::bench
