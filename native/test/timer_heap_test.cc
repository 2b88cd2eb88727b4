// timer_heap_test.cc -- order, ties, cancelling, renumbering.
#include "timer/timer_heap.h"

#include <cmath>
#include <vector>

#include "support.h"
#include "testing.h"

namespace ringloop {
namespace {

using Slots = std::vector<Slot>;

Slots PopAll(TimerHeap& heap, TimeNs now) {
  Slots slots;
  for (Slot slot = heap.PopExpired(now); slot != kNoSlot; slot = heap.PopExpired(now)) {
    slots.push_back(slot);
  }
  return slots;
}

TEST("an empty heap has no deadline and nothing to pop") {
  TimerHeap heap;
  CHECK_EQUAL(heap.size(), 0);
  CHECK_EQUAL(heap.NextDeadline(), kNever);
  CHECK_EQUAL(heap.SecondDeadline(), kNever);
  CHECK_EQUAL(heap.PopExpired(kNever), kNoSlot);
  CHECK(!heap.Contains(0));
  CHECK(!heap.Remove(0));
}

TEST("timers pop by deadline, whatever the order they were armed in") {
  TimerHeap heap;
  heap.Insert(0, 30);
  heap.Insert(1, 10);
  heap.Insert(2, 20);
  CHECK_EQUAL(PopAll(heap, 100), Slots{1, 2, 0});
  CHECK(heap.InvariantsHold());
}

TEST("timers with one deadline pop in the order they were armed in") {
  TimerHeap heap;
  Slots expected;
  for (Slot slot = 50; slot > 0; slot--) {
    heap.Insert(slot, 7);
    expected.push_back(slot);
  }
  CHECK_EQUAL(PopAll(heap, 7), expected);
}

TEST("a timer is due at its deadline and not a moment before") {
  TimerHeap heap;
  heap.Insert(3, 10);
  CHECK_EQUAL(heap.PopExpired(std::nextafter(10.0, 0.0)), kNoSlot);
  CHECK_EQUAL(heap.PopExpired(10), 3);
  CHECK_EQUAL(heap.PopExpired(10), kNoSlot);
}

TEST("a removed timer does not pop, and the others keep their order") {
  for (Slot removed = 0; removed < 40; removed++) {
    TimerHeap heap;
    Slots expected;
    for (Slot slot = 0; slot < 40; slot++) heap.Insert(slot, (slot * 7) % 40);
    for (Slot at = 0; at < 40; at++) {
      const Slot slot = (at * 23) % 40;  // 7 * 23 is 1 modulo 40
      if (slot != removed) expected.push_back(slot);
    }
    CHECK(heap.Remove(removed));
    CHECK(!heap.Remove(removed));
    CHECK(!heap.Contains(removed));
    CHECK(heap.InvariantsHold());
    CHECK_EQUAL(PopAll(heap, 100), expected);
  }
}

TEST("arming a slot again moves its timer to the end of its ties") {
  TimerHeap heap;
  heap.Insert(0, 5);
  heap.Insert(1, 5);
  heap.Insert(2, 9);
  heap.Insert(0, 5);
  heap.Insert(2, 1);
  CHECK_EQUAL(heap.size(), 3);
  CHECK(heap.InvariantsHold());
  CHECK_EQUAL(PopAll(heap, 5), Slots{2, 1, 0});
}

TEST("the next and the second deadline are those of the first two timers") {
  TimerHeap heap;
  heap.Insert(0, 50);
  CHECK_EQUAL(heap.NextDeadline(), 50.0);
  CHECK_EQUAL(heap.SecondDeadline(), kNever);
  for (Slot slot = 1; slot < 20; slot++) heap.Insert(slot, 100.0 - slot);
  CHECK_EQUAL(heap.NextDeadline(), 50.0);
  CHECK_EQUAL(heap.SecondDeadline(), 81.0);
  heap.Remove(0);
  CHECK_EQUAL(heap.NextDeadline(), 81.0);
  CHECK_EQUAL(heap.SecondDeadline(), 82.0);
}

TEST("deadlines may be infinite or negative") {
  TimerHeap heap;
  heap.Insert(0, kNever);
  heap.Insert(1, -kNever);
  heap.Insert(2, -5);
  CHECK_EQUAL(PopAll(heap, 1e300), Slots{1, 2});
  CHECK(heap.Contains(0));
}

TEST("slots need not be dense") {
  TimerHeap heap;
  heap.Insert(1'000'000, 1);
  heap.Insert(3, 2);
  CHECK(!heap.Contains(999'999));
  CHECK(!heap.Contains(5'000'000));
  CHECK(heap.InvariantsHold());
  CHECK_EQUAL(PopAll(heap, 2), Slots{1'000'000, 3});
}

TEST("ties stay in arming order while the sequence is renumbered") {
  // Every distance to the end of the sequence: the renumbering meets each size of the heap.
  for (uint32_t left = 0; left <= 30; left++) {
    TimerHeap heap(UINT32_MAX - left);
    Slots expected;
    for (Slot slot = 0; slot < 30; slot++) {
      heap.Insert(slot, 7);
      CHECK(heap.InvariantsHold());
      expected.push_back(slot);
    }
    heap.Insert(0, 7);
    expected.erase(expected.begin());
    expected.push_back(0);
    CHECK_EQUAL(PopAll(heap, 7), expected);
  }
}

TEST("a renumbering keeps different deadlines apart") {
  TimerHeap heap(UINT32_MAX - 3);
  heap.Insert(0, 40);
  heap.Insert(1, 10);
  heap.Insert(2, 40);
  heap.Insert(3, 10);
  heap.Insert(4, 20);
  CHECK(heap.InvariantsHold());
  CHECK_EQUAL(PopAll(heap, 100), Slots{1, 3, 4, 0, 2});
}

TEST("a deadline that is not a number, and the slot that means none, end the process") {
  CHECK(testing::Stopped([] { TimerHeap().Insert(0, std::nan("")); }));
  CHECK(testing::Stopped([] { TimerHeap().Insert(kNoSlot, 1); }));
  CHECK(!testing::Aborts([] { TimerHeap().Insert(0, 1); }));
}

}  // namespace
}  // namespace ringloop
