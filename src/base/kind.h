// kind.h - the kinds of operation that figures tell apart.
#pragma once

#include <cstdint>

namespace aiox::base {

enum class Kind : uint8_t { kRead, kWrite, kSync, kPoll };

}  // namespace aiox::base
