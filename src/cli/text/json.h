// json.h - JSON as all of the command writes and reads it: members stay in the order in which they were put.
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
