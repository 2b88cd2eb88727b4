// timer_heap.h -- orders deadlines. Knows nothing of clocks, callbacks or file descriptors.
//
// Facts.      Most timers are timeouts, and most timeouts are cancelled before they fire. A
//             million sleepers are ordinary. asyncio leaves ties undefined; people expect FIFO.
// Decision.   Indexed 4-ary min-heap ordered by (deadline, sequence). A cancel finds its entry
//             through position_ and removes it: O(log n), no tombstones to prune. Four children
//             of 16 bytes share a cache line.
// Cost.       16 bytes per timer and 4 per slot. The 32-bit sequence is renumbered by one sort
//             every 2^32 insertions.
// Invariants. I1  parent <= child by (deadline, sequence).
//             I2  position_[heap_[i].slot] == i; kAbsent for every other slot.
//
//   index      0
//              |
//      +----+--+-+----+
//      1    2    3    4          children of i: 4i+1 .. 4i+4, parent of i: (i-1)/4
//      |
//   5 6 7 8 ...
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace ringloop {

class TimerHeap {
 public:
  // `first_sequence` is a door for tests: it lets them reach the renumbering.
  explicit TimerHeap(uint32_t first_sequence = 0) : next_sequence_(first_sequence) {}

  uint32_t size() const { return static_cast<uint32_t>(heap_.size()); }
  // How many slots have been used so far, or the highest and those below it.
  uint32_t slots() const { return static_cast<uint32_t>(position_.size()); }
  bool Contains(Slot slot) const { return slot < position_.size() && position_[slot] != kAbsent; }

  // Arms `slot`; one that is armed already is moved, as if cancelled first. `deadline` is a number.
  void Insert(Slot slot, TimeNs deadline);
  // Returns whether `slot` was armed.
  bool Remove(Slot slot);
  // Removes and returns the first slot that is due at `now`, or kNoSlot.
  Slot PopExpired(TimeNs now);

  TimeNs NextDeadline() const { return heap_.empty() ? kNever : heap_[0].deadline; }
  // The deadline after the next one: tells a lone timer from a crowd.
  TimeNs SecondDeadline() const;

  // Walks everything; for tests.
  bool InvariantsHold() const;

 private:
  struct Entry {
    TimeNs deadline;
    uint32_t sequence;
    Slot slot;
  };
  static_assert(sizeof(Entry) == 16);
  static constexpr uint32_t kAbsent = UINT32_MAX;
  static constexpr uint32_t kArity = 4;

  static bool Before(const Entry& a, const Entry& b) {
    return a.deadline < b.deadline || (a.deadline == b.deadline && a.sequence < b.sequence);
  }
  void Place(uint32_t index, const Entry& entry) {
    heap_[index] = entry;
    position_[entry.slot] = index;
  }
  void SiftUp(uint32_t index, Entry entry);
  void SiftDown(uint32_t index, Entry entry);
  void RemoveAt(uint32_t index);
  uint32_t TakeSequence();

  std::vector<Entry> heap_;
  std::vector<uint32_t> position_;
  uint32_t next_sequence_;
};

}  // namespace ringloop
