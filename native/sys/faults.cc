// faults.cc -- chance that can be replayed.
#include "sys/faults.h"

#include <errno.h>

namespace ringloop {
namespace {

FaultPlan current_plan;
uint32_t state = 0;

}  // namespace

bool Faults::active_ = false;

void SetFaultPlan(const FaultPlan& plan) {
  current_plan = plan;
  state = plan.seed;
  Faults::active_ = plan.seed != 0;
}

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
  return 1 + Below(static_cast<uint32_t>(size < 4096 ? size - 1 : 4095));
}

}  // namespace ringloop
