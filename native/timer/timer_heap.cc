// timer_heap.cc -- sifting, and the renumbering that keeps ties in arming order for ever.
#include "timer/timer_heap.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"

namespace ringloop {

void TimerHeap::Insert(Slot slot, TimeNs deadline) {
  RINGLOOP_ASSERT(slot < kNoSlot && !std::isnan(deadline));
  if (slot >= position_.size()) position_.resize(slot + size_t{1}, kAbsent);
  if (position_[slot] != kAbsent) RemoveAt(position_[slot]);
  const Entry entry{deadline, TakeSequence(), slot};
  heap_.push_back(entry);
  SiftUp(size() - 1, entry);
}

bool TimerHeap::Remove(Slot slot) {
  if (!Contains(slot)) return false;
  RemoveAt(position_[slot]);
  return true;
}

Slot TimerHeap::PopExpired(TimeNs now) {
  if (heap_.empty() || heap_[0].deadline > now) return kNoSlot;
  const Slot slot = heap_[0].slot;
  RemoveAt(0);
  return slot;
}

TimeNs TimerHeap::SecondDeadline() const {
  TimeNs second = kNever;
  const uint32_t end = std::min(size(), 1 + kArity);
  for (uint32_t i = 1; i < end; i++) second = std::min(second, heap_[i].deadline);
  return second;
}

void TimerHeap::RemoveAt(uint32_t index) {
  position_[heap_[index].slot] = kAbsent;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (index == size()) return;
  if (index > 0 && Before(last, heap_[(index - 1) / kArity])) {
    SiftUp(index, last);
  } else {
    SiftDown(index, last);
  }
}

// Both sifts move a hole and write the entry once, at the end.
void TimerHeap::SiftUp(uint32_t index, Entry entry) {
  while (index > 0) {
    const uint32_t parent = (index - 1) / kArity;
    if (!Before(entry, heap_[parent])) break;
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, entry);
}

void TimerHeap::SiftDown(uint32_t index, Entry entry) {
  const uint32_t count = size();
  for (;;) {
    const uint64_t first = uint64_t{index} * kArity + 1;
    if (first >= count) break;
    uint32_t best = static_cast<uint32_t>(first);
    const uint32_t end = std::min(best + kArity, count);
    for (uint32_t child = best + 1; child < end; child++) {
      if (Before(heap_[child], heap_[best])) best = child;
    }
    if (!Before(heap_[best], entry)) break;
    Place(index, heap_[best]);
    index = best;
  }
  Place(index, entry);
}

// A sorted array is a heap, so renumbering is one sort: I1 and I2 hold again afterwards.
uint32_t TimerHeap::TakeSequence() {
  if (next_sequence_ == UINT32_MAX) {
    std::sort(heap_.begin(), heap_.end(), Before);
    for (uint32_t i = 0; i < size(); i++) {
      heap_[i].sequence = i;
      position_[heap_[i].slot] = i;
    }
    next_sequence_ = size();
  }
  return next_sequence_++;
}

bool TimerHeap::InvariantsHold() const {
  for (uint32_t i = 0; i < size(); i++) {
    if (i > 0 && Before(heap_[i], heap_[(i - 1) / kArity])) return false;
    if (position_[heap_[i].slot] != i) return false;
  }
  const auto armed = std::count_if(position_.begin(), position_.end(),
                                   [](uint32_t position) { return position != kAbsent; });
  return static_cast<size_t>(armed) == heap_.size();
}

}  // namespace ringloop
