// loop.h -- one turn of the loop: apply submissions, select, expire. It runs no callback.
//
// Facts.      asyncio's order within an iteration is: what was queued, then I/O (kernel order, read
//             before write for each fd), then due timers (deadline, then arming order).
// Decision.   What was queued is in the ready ring already. Turn() appends the other two behind it
//             in that order and returns; JavaScript runs the records. Time is a value: the caller
//             hands it in, it is frozen until the next turn.
// Cost.       A turn without watched fds makes no system call.
// Invariants. JavaScript keeps the ring large enough for timers() + 2 * watchers() + remote calls;
//             where it does not, the rest waits for the next turn, nothing is lost.
//
//        submissions            Selector::Wait              TimerHeap::PopExpired
//             |                        |                            |
//    Turn:    +--> TimerHeap           +--> ready ring              +--> ready ring
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/status.h"
#include "loop/io_watchers.h"
#include "loop/remote_inbox.h"
#include "ring/layout.h"
#include "ring/ready_ring.h"
#include "sys/selector_default.h"
#include "timer/timer_heap.h"

namespace ringloop {

class Loop {
 public:
  // What the loop uses until the next Attach(). JavaScript writes all of it, at any value.
  struct Memory {
    Header* header;
    uint32_t* ready;
    uint32_t ready_capacity;
    Submission* submissions;  // kSubmissionCapacity records
  };

  // `origin_ns` is where the loop's time starts, in MonotonicNs().
  Loop(const Memory& memory, int64_t origin_ns);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  Status Open();
  // Gives the file descriptors back, at once. Nothing but the destructor may follow.
  void Close();
  int fd() const { return selector_.fd(); }
  RemoteInbox& inbox() { return inbox_; }
  Header& header() { return *header_; }
  uint32_t timers() const { return timers_.size(); }
  uint32_t watchers() const { return watchers_.count(); }

  // The memory is there now. A smaller ring may hold less than its counters say: see RingHolds().
  void Attach(const Memory& memory);
  // Whether the ready ring's counters are possible: what Turn() needs.
  bool RingHolds() const { return ring_.CountersHold(); }
  Status Watch(int fd, uint8_t interest) { return watchers_.Set(fd, interest); }

  // Moves the submitted timers into the heap. False: a record made no sense and was dropped. Slots
  // are indices into a table that grows one by one, so that one far beyond all others is none.
  bool ApplySubmissions();
  Status Turn(TimeNs now);
  TimeNs Now() const;
  // The loop is about to wait: makes fd() readable at the next deadline.
  Status PrepareToWait();
  // Ends the reports of fds that were closed before they were removed (the selector's Purge); all
  // others are watched as before. `purged`: fd() is another file now.
  Status Purge(bool* purged);

 private:
  Status AppendIo();
  void AppendReady(ReadyTag tag, uint32_t fd);
  void AppendRemote();
  void AppendTaken();
  void AppendExpired(TimeNs now);
  TimeNs WakeDeadline() const;

  Header* header_;
  Submission* submissions_;
  ReadyRing ring_;
  TimerHeap timers_;
  Selector selector_;
  IoWatchers watchers_{&selector_};
  RemoteInbox inbox_;
  std::vector<SelectorEvent> events_;
  std::vector<uint32_t> remote_ids_;  // taken from the inbox
  size_t remote_next_ = 0;            // those before this one are in the ring
  int64_t origin_ns_;
  TimeNs last_fired_ns_ = -kNever;
  TimeNs armed_for_ns_ = kNever;
};

}  // namespace ringloop
