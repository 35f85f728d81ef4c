// residency.h - which bytes of a file are in the page cache.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace aiox::cli::doctor {

// Whether any of the bytes is; false also where it cannot be told.
bool is_any_cached(int fd, off_t offset, std::size_t length_bytes);

}  // namespace aiox::cli::doctor
