// timer_heap_fuzz.cc -- any sequence of calls, against a list that is searched from end to end.
#include <vector>

#include "base/assert.h"
#include "input.h"
#include "timer/timer_heap.h"

namespace ringloop {
namespace {

struct Timer {
  Slot slot;
  TimeNs deadline;
};

// In arming order, so that the first of the earliest is the one that is due.
class Model {
 public:
  void Insert(Slot slot, TimeNs deadline) {
    Remove(slot);
    timers_.push_back({slot, deadline});
  }

  bool Remove(Slot slot) {
    return std::erase_if(timers_, [&](const Timer& timer) { return timer.slot == slot; }) > 0;
  }

  TimeNs NextDeadline() const {
    TimeNs next = kNever;
    for (const Timer& timer : timers_) next = std::min(next, timer.deadline);
    return next;
  }

  Slot PopExpired(TimeNs now) {
    const TimeNs next = NextDeadline();
    for (const Timer& timer : timers_) {
      if (timer.deadline != next || timer.deadline > now) continue;
      const Slot slot = timer.slot;
      Remove(slot);
      return slot;
    }
    return kNoSlot;
  }

  size_t size() const { return timers_.size(); }

 private:
  std::vector<Timer> timers_;
};

}  // namespace
}  // namespace ringloop

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringloop;
  fuzz::Input input(data, size);
  TimerHeap heap(UINT32_MAX - input.Take<uint8_t>());  // some reach the renumbering
  Model model;
  while (!input.empty()) {
    const uint32_t choice = input.Below(4);
    const Slot slot = input.Below(48);
    if (choice < 2) {
      const TimeNs deadline = input.NumberButNan();
      heap.Insert(slot, deadline);
      model.Insert(slot, deadline);
    } else if (choice == 2) {
      RINGLOOP_CHECK(heap.Remove(slot) == model.Remove(slot));
    } else {
      const TimeNs now = input.NumberButNan();
      RINGLOOP_CHECK(heap.PopExpired(now) == model.PopExpired(now));
    }
    RINGLOOP_CHECK(heap.size() == model.size());
    RINGLOOP_CHECK(heap.NextDeadline() == model.NextDeadline());
    RINGLOOP_CHECK(heap.InvariantsHold());
  }
  return 0;
}
