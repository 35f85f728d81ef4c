// owner_of.h - from a member back to the object it is in.
#pragma once

#include <cstddef>
#include <cstdint>

namespace aiox::base {

// The Outer whose `member` is *inner. The offset is taken on a made-up, aligned address: nothing is read there.
template <class Outer, class Inner>
Outer* owner_of(Inner* inner, Inner Outer::*member) {
  constexpr uintptr_t kSomewhere = alignof(Outer) * 64;
  auto* nobody = reinterpret_cast<Outer*>(kSomewhere);
  uintptr_t offset = reinterpret_cast<uintptr_t>(&(nobody->*member)) - kSomewhere;
  return reinterpret_cast<Outer*>(reinterpret_cast<char*>(inner) - offset);
}

}  // namespace aiox::base
