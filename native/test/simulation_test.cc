// simulation_test.cc -- millions of random operations, each structure beside a naive model of it.
//
//   simulation_test [part of a name] [seed] [operations]
//
// Decision.   The same seed makes the same run; a run that differs from its model prints its seed
//             and ends there. The generator and Below() are the same on every system.
#include <fcntl.h>

#include <cstdlib>
#include <deque>
#include <iostream>
#include <map>
#include <random>
#include <set>

#include "loop_fixture.h"
#include "ring/ready_ring.h"
#include "support.h"
#include "testing.h"
#include "timer/timer_heap.h"

#ifndef RINGLOOP_SIMULATION_OPERATIONS
#define RINGLOOP_SIMULATION_OPERATIONS 2'000'000
#endif

namespace ringloop {
namespace {

using testing::LoopFixture;
using testing::Pair;
using testing::Records;

uint64_t Argument(size_t index, uint64_t otherwise) {
  const auto& arguments = testing::arguments;
  return index < arguments.size() ? std::strtoull(arguments[index], nullptr, 10) : otherwise;
}

class Random {
 public:
  ~Random() {
    if (testing::failures > 0) std::cout << "the seed was " << seed_ << std::endl;
  }
  uint32_t Below(uint32_t limit) { return static_cast<uint32_t>(engine_() % limit); }
  bool OneIn(uint32_t count) { return Below(count) == 0; }

 private:
  uint64_t seed_ = Argument(2, 1);
  std::mt19937_64 engine_{seed_};
};

// Runs `step` until the operations are used up or a check fails. `share`: of all, in percent.
template <typename Step>
void Simulate(uint64_t share, Step step) {
  const uint64_t operations = Argument(3, RINGLOOP_SIMULATION_OPERATIONS) * share / 100;
  for (uint64_t i = 0; i < operations && testing::failures == 0; i++) step(i);
}

// Equal keys keep the order they were inserted in, which is all that the heap promises.
class TimerModel {
 public:
  size_t size() const { return timers_.size(); }
  void Insert(Slot slot, TimeNs deadline) {
    Remove(slot);
    places_[slot] = timers_.emplace(deadline, slot);
  }
  bool Remove(Slot slot) {
    const auto place = places_.find(slot);
    if (place == places_.end()) return false;
    timers_.erase(place->second);
    places_.erase(place);
    return true;
  }
  Slot PopExpired(TimeNs now) {
    if (timers_.empty() || timers_.begin()->first > now) return kNoSlot;
    const Slot slot = timers_.begin()->second;
    Remove(slot);
    return slot;
  }
  TimeNs Deadline(size_t index) const {
    return index < size() ? std::next(timers_.begin(), static_cast<long>(index))->first : kNever;
  }

 private:
  using Timers = std::multimap<TimeNs, Slot>;
  Timers timers_;
  std::map<Slot, Timers::iterator> places_;
};

// Few different deadlines make many ties; now and then one is extreme.
TimeNs SomeDeadline(Random& random, TimeNs now) {
  if (random.OneIn(500)) return random.OneIn(2) ? kNever : -kNever;
  return now + random.Below(random.OneIn(4) ? 1000 : 8) * 0.5;
}

void StepHeap(Random& random, TimerHeap& heap, TimerModel& model, uint32_t slots, TimeNs& now) {
  const Slot slot = random.Below(slots);
  const uint32_t choice = random.Below(100);
  if (choice < 50) {
    const TimeNs deadline = SomeDeadline(random, now);
    heap.Insert(slot, deadline);
    model.Insert(slot, deadline);
  } else if (choice < 75) {
    CHECK_EQUAL(heap.Remove(slot), model.Remove(slot));
  } else {
    now += random.Below(3) * 0.5;
    CHECK_EQUAL(heap.PopExpired(now), model.PopExpired(now));
  }
  CHECK_EQUAL(heap.size(), model.size());
  CHECK_EQUAL(heap.NextDeadline(), model.Deadline(0));
  CHECK_EQUAL(heap.SecondDeadline(), model.Deadline(1));
}

void CheckDrained(TimerHeap& heap, TimerModel& model) {
  CHECK(heap.InvariantsHold());
  while (model.size() > 0 && testing::failures == 0) {
    CHECK_EQUAL(heap.PopExpired(kNever), model.PopExpired(kNever));
  }
  CHECK_EQUAL(heap.size(), 0);
}

TEST("the timer heap does what a sorted list does") {
  Random random;
  TimerHeap heap;
  TimerModel model;
  TimeNs now = 0;
  uint32_t slots = 1;
  Simulate(45, [&](uint64_t i) {
    if (i % 8192 == 0) slots = 1u << random.Below(15);
    StepHeap(random, heap, model, slots, now);
    if (i % 4096 == 0) CHECK(heap.InvariantsHold());
  });
  CheckDrained(heap, model);
}

TEST("the timer heap keeps its order through the renumbering of its sequence") {
  Random random;
  Simulate(1, [&](uint64_t i) {
    if (i % 100 != 0) return;  // one life of a heap stands for 100 operations
    TimerHeap heap(UINT32_MAX - random.Below(80));
    TimerModel model;
    TimeNs now = 0;
    for (int step = 0; step < 200; step++) {
      StepHeap(random, heap, model, 64, now);
      CHECK(heap.InvariantsHold());
    }
    CheckDrained(heap, model);
  });
}

TEST("the ready ring does what a queue does, through wrapping and growing") {
  Random random;
  Header header{};
  header.ready_head = header.ready_tail = UINT32_MAX - 5000;
  Records records(2);
  ReadyRing ring;
  ring.Attach(&header, records.data(), 2);
  std::deque<uint32_t> model;
  Simulate(30, [&](uint64_t) {
    const auto mask = [&] { return records.size() - 1; };
    if (random.OneIn(10'000) && records.size() < 4096) {
      Records larger(records.size() * 2);
      for (uint32_t at = header.ready_head; at != header.ready_tail; at++) {
        larger[at & (larger.size() - 1)] = records[at & mask()];
      }
      records.swap(larger);
      ring.Attach(&header, records.data(), static_cast<uint32_t>(records.size()));
    } else if (random.OneIn(2) && ring.free() > 0) {
      const auto tag = static_cast<ReadyTag>(1 + random.Below(4));
      const uint32_t payload = random.Below(kReadyPayloadMax + 1);
      ring.Append(tag, payload);
      model.push_back(payload << 4 | tag);
    } else if (!model.empty()) {
      CHECK_EQUAL(records[header.ready_head++ & mask()], model.front());
      model.pop_front();
    }
    CHECK_EQUAL(ring.empty(), model.empty());
    CHECK_EQUAL(ring.free(), records.size() - model.size());
  });
}

// A Loop and everything that was asked of it.
class LoopSimulation {
 public:
  LoopSimulation() {
    for (Pair& pair : pairs_) pair = testing::MakeSocketPair();
  }

  void Step() {
    const uint32_t choice = random_.Below(100);
    if (choice < 40) return SubmitTimer();
    if (choice < 48) return Post();
    if (choice < 52) return SubmitGarbage();
    if (choice < 60) return ChangeWatch();
    if (choice < 68) return ChangeReadiness();
    if (choice < 70) return AppendLocal();
    if (choice < 85) return Take(random_.Below(fixture_.capacity() + 1));
    if (random_.OneIn(2000) && fixture_.capacity() < 256) return fixture_.Grow();
    Turn();
  }

  // With room for everything, whatever was still waiting comes: nothing was lost.
  void Finish() {
    while (testing::failures == 0 && (remote_.size() + timers_.size() > 0)) {
      now_ = kNever;
      Turn();
      Take(fixture_.capacity());
    }
    CHECK_EQUAL(fixture_.loop.timers(), 0);
  }

 private:
  static constexpr uint32_t kPairs = 6;
  static constexpr uint32_t kAmpleRoom = 2 * (2 * kPairs + 2);  // what Loop::AppendIo asks for

  void SubmitTimer() {
    const Slot slot = random_.Below(64);
    if (random_.OneIn(3)) {
      fixture_.Cancel(slot);
      timers_.Remove(slot);
    } else {
      const TimeNs deadline = SomeDeadline(random_, now_);
      fixture_.Arm(slot, deadline);
      timers_.Insert(slot, deadline);
    }
  }

  void SubmitGarbage() {
    CHECK(fixture_.loop.ApplySubmissions());
    fixture_.Arm(kSubmissionCapacity + 64 + random_.Below(1u << 30), SomeDeadline(random_, now_));
    CHECK(!fixture_.loop.ApplySubmissions());
  }

  void Post() {
    const uint32_t id = random_.Below(kReadyPayloadMax + 1);
    fixture_.loop.inbox().Post(id);
    remote_.push_back(testing::Remote(id));
  }

  void AppendLocal() {
    if (fixture_.queued() == fixture_.capacity()) return;
    const uint32_t record = kTagFirstLocal + random_.Below(8);
    fixture_.AppendLocal(record);
    queue_.push_back(record);
  }

  void ChangeWatch() {
    const uint32_t index = random_.Below(kPairs);
    interest_[index] = static_cast<uint8_t>(random_.Below(4));
    CHECK(fixture_.loop.Watch(pairs_[index].read_end.get(), interest_[index]).ok());
  }

  void ChangeReadiness() {
    const uint32_t index = random_.Below(kPairs);
    if (readable_[index]) {
      pairs_[index].Read();
    } else {
      pairs_[index].Write();
    }
    readable_[index] = !readable_[index];
  }

  void Take(size_t limit) {
    for (const uint32_t record : fixture_.Take(limit)) {
      CHECK(!queue_.empty());
      if (queue_.empty()) return;
      CHECK_EQUAL(record, queue_.front());
      queue_.pop_front();
    }
  }

  void Turn() {
    now_ += random_.Below(5) * 0.5;
    const uint32_t before = fixture_.queued();
    fixture_.Turn(now_);
    CHECK(before <= fixture_.queued() && fixture_.queued() <= fixture_.capacity());
    uint32_t at = fixture_.header.ready_tail - (fixture_.queued() - before);
    ExpectIo(&at);
    const auto room = [this] { return fixture_.capacity() - queue_.size(); };
    for (; room() > 0 && !remote_.empty(); remote_.pop_front()) Expect(&at, remote_.front());
    while (room() > 0) {
      const Slot slot = timers_.PopExpired(now_);
      if (slot == kNoSlot) break;
      Expect(&at, testing::Timer(slot));
    }
    CHECK_EQUAL(at, fixture_.header.ready_tail);
    CHECK_EQUAL(fixture_.header.next_deadline_ns, timers_.Deadline(0));
  }

  // The order among fds is the kernel's; each comes once, in the directions that are ready, and all
  // of them do where the ring surely had room.
  void ExpectIo(uint32_t* at) {
    const size_t room = fixture_.capacity() - queue_.size();
    std::set<int> ready;
    std::map<int, uint32_t> index_of;
    for (uint32_t i = 0; i < kPairs; i++) {
      const int fd = pairs_[i].read_end.get();
      index_of[fd] = i;
      if (interest_[i] & (readable_[i] ? kReadable | kWritable : kWritable)) ready.insert(fd);
    }
    while (*at != fixture_.header.ready_tail && IsIo(fixture_.Peek(*at))) {
      const auto fd = static_cast<int>(fixture_.Peek(*at) >> kReadyTagBits);
      CHECK_EQUAL(ready.erase(fd), 1);
      if (testing::failures > 0) return;
      const uint32_t i = index_of[fd];
      if (readable_[i] && (interest_[i] & kReadable)) Expect(at, testing::Read(fd));
      if (interest_[i] & kWritable) Expect(at, testing::Write(fd));
    }
    if (room >= kAmpleRoom) CHECK(ready.empty());
  }

  static bool IsIo(uint32_t record) {
    const uint32_t tag = record & ((1u << kReadyTagBits) - 1);
    return tag == kTagReadable || tag == kTagWritable;
  }

  void Expect(uint32_t* at, uint32_t record) {
    CHECK(*at != fixture_.header.ready_tail);
    CHECK_EQUAL(fixture_.Peek(*at), record);
    queue_.push_back(record);
    *at += 1;
  }

  Random random_;
  LoopFixture fixture_{8};
  Pair pairs_[kPairs];
  uint8_t interest_[kPairs] = {};
  bool readable_[kPairs] = {};
  std::deque<uint32_t> queue_;   // what is in the ring
  std::deque<uint32_t> remote_;  // what was posted and is not in it yet
  TimerModel timers_;
  TimeNs now_ = 0;
};

TEST("the loop appends what its models say, in their order, and loses nothing") {
  LoopSimulation simulation;
  Simulate(24, [&](uint64_t) { simulation.Step(); });
  simulation.Finish();
}

}  // namespace
}  // namespace ringloop
