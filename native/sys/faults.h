// faults.h -- the kernel on a bad day, on demand: interruptions, refusals, short counts.
//
// Facts.      EINTR, EAGAIN in spite of readiness, short reads and short writes are legal at every
//             call and next to impossible to provoke on loopback.
// Decision.   A plan says in how many of a thousand calls each happens; a seed makes it replay.
//             Off unless a test asks for it, for the whole process.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace ringloop {

struct FaultPlan {
  uint32_t seed = 0;  // 0: off
  uint32_t interrupted_per_mille = 0;
  uint32_t again_per_mille = 0;
  uint32_t short_per_mille = 0;
};

void SetFaultPlan(const FaultPlan& plan);

// For the calls in sockets.cc.
class Faults {
 public:
  static bool active() { return active_; }
  // EINTR, EAGAIN or 0.
  static int BeforeCall(bool may_block);
  // How much of `size` the call may move.
  static size_t Shorten(size_t size);

 private:
  friend void SetFaultPlan(const FaultPlan&);
  static uint32_t Below(uint32_t bound);
  static bool active_;
};

}  // namespace ringloop
