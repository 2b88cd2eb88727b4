// faults.h -- the kernel on a bad day, on demand: interruptions, refusals, short counts.
//
// Facts.      EINTR, EAGAIN in spite of readiness, short reads and short writes are legal at every
//             call and next to impossible to provoke on loopback. A worker thread makes its own
//             calls, and chance that threads share would not replay.
// Decision.   A plan says in how many of a thousand calls each happens; a seed makes it replay.
//             Off unless a test asks for it; each thread has its own.
// Cost.       While no thread has ever asked, one relaxed load and a branch.
// Invariants. A datagram is never cut short, and no count becomes zero: neither is legal.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>

namespace ringloop {

struct FaultPlan {
  uint32_t seed = 0;  // 0: off
  uint32_t interrupted_per_mille = 0;  // less than 1000: the call has to be made some time
  uint32_t again_per_mille = 0;
  uint32_t short_per_mille = 0;
};

// For this thread.
void SetFaultPlan(const FaultPlan& plan);

// For the calls in sockets.cc.
class Faults {
 public:
  static bool active() { return armed_.load(std::memory_order_relaxed) && ActiveHere(); }
  // EINTR, EAGAIN or 0.
  static int BeforeCall(bool may_block);
  // How much of `size` the call may move.
  static size_t Shorten(size_t size);

 private:
  friend void SetFaultPlan(const FaultPlan&);
  static bool ActiveHere();
  static uint32_t Below(uint32_t bound);
  static std::atomic<bool> armed_;  // some thread had a plan; stays so
};

}  // namespace ringloop
