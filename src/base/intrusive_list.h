// intrusive_list.h - doubly linked list through a link inside the element.
//
// Owns nothing and allocates nothing; every operation is O(1). Not synchronised: the lock that guards the list guards
// the links of its elements. An element is in at most one list per link; linking a linked element is an assertion.
#pragma once

#include "base/assert.h"

namespace aiox::base {

template <class T>
struct ListLink {
  T* previous = nullptr;
  T* next = nullptr;
  bool is_linked = false;
};

// kPath: the members on the way to the link: &T::link, or &T::group, &Group::link.
template <class T, auto... kPath>
class IntrusiveList {
 public:
  bool empty() const { return first_ == nullptr; }
  T* front() const { return first_; }
  static T* next(const T* element) { return link_of(element).next; }

  void push_back(T* element) {
    ListLink<T>& link = link_of(element);
    AIOX_ASSERT(!link.is_linked);
    link = {last_, nullptr, true};
    (last_ != nullptr ? link_of(last_).next : first_) = element;
    last_ = element;
  }

  void push_front(T* element) {
    ListLink<T>& link = link_of(element);
    AIOX_ASSERT(!link.is_linked);
    link = {nullptr, first_, true};
    (first_ != nullptr ? link_of(first_).previous : last_) = element;
    first_ = element;
  }

  void remove(T* element) {
    ListLink<T>& link = link_of(element);
    AIOX_ASSERT(link.is_linked);
    (link.previous != nullptr ? link_of(link.previous).next : first_) = link.next;
    (link.next != nullptr ? link_of(link.next).previous : last_) = link.previous;
    link = {};
  }

  T* pop_front() {
    T* element = first_;
    if (element != nullptr) remove(element);
    return element;
  }

 private:
  static ListLink<T>& link_of(T* element) { return (*element.*....*kPath); }
  static const ListLink<T>& link_of(const T* element) { return (*element.*....*kPath); }

  T* first_ = nullptr;
  T* last_ = nullptr;
};

}  // namespace aiox::base
