// json.h - JSON as the command shows it and reads it back: members stay in the order in which they were put. What the
// command and its worker tell each other has no order to keep (bench/work/job.cc).
#pragma once

#include <optional>

#include <nlohmann/json.hpp>

namespace aiox::cli {

using Json = nlohmann::ordered_json;

template <typename Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}

}  // namespace aiox::cli
