// ready_ring.h -- C++'s end of the ready ring: it appends, and never takes.
//
// Facts.      JavaScript grows the ring by doubling before a turn, so that every timer and every
//             watched fd finds room. Its counters come from shared memory: they may be wrong.
// Decision.   Whoever lets JavaScript run asks CountersHold() afterwards; free() and Append() are
//             for counters that do, and assert it.
//
//      head            tail                    head and tail only ever count up; the place is
//       v               v                      counter & (capacity - 1)
//   +--+--+--+--+--+--+--+--+
//   |  |A |B |C |D |  |  |  |    free = capacity - (tail - head)
//   +--+--+--+--+--+--+--+--+
#pragma once

#include "base/assert.h"
#include "ring/layout.h"

namespace ringloop {

class ReadyRing {
 public:
  // `capacity` is a power of two. Both pointers stay valid until the next Attach.
  void Attach(Header* header, uint32_t* records, uint32_t capacity) {
    RINGLOOP_ASSERT(capacity >= 2 && (capacity & (capacity - 1)) == 0);
    header_ = header;
    records_ = records;
    capacity_ = capacity;
  }

  bool CountersHold() const { return used() <= capacity_; }

  uint32_t free() const {
    RINGLOOP_ASSERT(CountersHold());
    return capacity_ - used();
  }

  bool empty() const { return header_->ready_tail == header_->ready_head; }

  void Append(ReadyTag tag, uint32_t payload) {
    RINGLOOP_ASSERT(payload <= kReadyPayloadMax);
    RINGLOOP_ASSERT(free() > 0);
    records_[header_->ready_tail & (capacity_ - 1)] = PackReady(tag, payload);
    header_->ready_tail += 1;
  }

 private:
  uint32_t used() const { return header_->ready_tail - header_->ready_head; }

  Header* header_ = nullptr;
  uint32_t* records_ = nullptr;
  uint32_t capacity_ = 0;
};

}  // namespace ringloop
