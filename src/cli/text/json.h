// json.h - JSON as the command shows it and reads it back: members stay in the order in which they were put. What the
// command and its worker tell each other has no order to keep (bench/work/job.cc).
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace aiox::cli {

using Json = nlohmann::ordered_json;

template <typename Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}

inline constexpr int kOnOneLine = -1;
inline constexpr int kReadable = 2;  // spaces a level

// As it is shown, and kept in files: in ASCII, since a terminal takes some of what is not for commands (C1) or turns
// the order of what stands beside it (bidi), and names are other people's. What is no UTF-8 becomes U+FFFD.
template <typename AnyJson>
std::string json_text(const AnyJson& json, int indent) {
  return json.dump(indent, ' ', true, AnyJson::error_handler_t::replace);
}

}  // namespace aiox::cli
