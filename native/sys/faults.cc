// faults.cc -- chance that can be replayed.
#include "sys/faults.h"

#include <errno.h>

#include <algorithm>

#include "base/assert.h"

namespace ringloop {
namespace {

constinit thread_local FaultPlan current_plan;
constinit thread_local uint32_t state = 0;

}  // namespace

constinit std::atomic<bool> Faults::armed_{false};

void SetFaultPlan(const FaultPlan& plan) {
  RINGLOOP_ASSERT(plan.interrupted_per_mille < 1000);
  current_plan = plan;
  state = plan.seed;
  if (plan.seed != 0) Faults::armed_.store(true, std::memory_order_relaxed);
}

bool Faults::ActiveHere() { return current_plan.seed != 0; }

// xorshift32
uint32_t Faults::Below(uint32_t bound) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state % bound;
}

int Faults::BeforeCall(bool may_block) {
  if (Below(1000) < current_plan.interrupted_per_mille) return EINTR;
  if (may_block && Below(1000) < current_plan.again_per_mille) return EAGAIN;
  return 0;
}

size_t Faults::Shorten(size_t size) {
  if (size < 2 || Below(1000) >= current_plan.short_per_mille) return size;
  return 1 + Below(static_cast<uint32_t>(std::min<size_t>(size - 1, 4095)));
}

}  // namespace ringloop
