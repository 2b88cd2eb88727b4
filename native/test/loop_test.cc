// loop_test.cc -- the turn, in virtual time; and the wait after it, on the real fd.
#include "loop/loop.h"

#include <errno.h>

#include <cmath>
#include <limits>
#include <thread>

#include "loop_fixture.h"
#include "support.h"
#include "testing.h"

namespace ringloop {
namespace {

using testing::kSurelyMs;
using testing::LoopFixture;
using testing::MakePipe;
using testing::MakeSocketPair;
using testing::Pair;
using testing::Read;
using testing::Readable;
using testing::Records;
using testing::Remote;
using testing::Timer;
using testing::Write;

constexpr TimeNs kMs = 1'000'000;
constexpr TimeNs kHour = 3'600'000 * kMs;

TEST("a turn with nothing to do appends nothing and asks the kernel nothing") {
  LoopFixture fixture;
  CHECK_EQUAL(fixture.TurnAndTake(5), Records{});
  CHECK_EQUAL(fixture.header.now_ns, 5.0);
  CHECK_EQUAL(fixture.header.next_deadline_ns, kNever);
  CHECK_EQUAL(fixture.header.statistics.turns, 1.0);
  CHECK_EQUAL(fixture.header.statistics.polls, 0.0);
}

TEST("due timers come by deadline, and ties in the order they were armed in") {
  LoopFixture fixture;
  fixture.Arm(0, 20);
  fixture.Arm(1, 10);
  fixture.Arm(2, 20);
  fixture.Arm(3, 10);
  fixture.Arm(4, 21);
  CHECK_EQUAL(fixture.TurnAndTake(20), Records{Timer(1), Timer(3), Timer(0), Timer(2)});
  CHECK_EQUAL(fixture.header.next_deadline_ns, 21.0);
  CHECK_EQUAL(fixture.loop.timers(), 1);
}

TEST("a timer that was cancelled or moved does not fire at its old deadline") {
  LoopFixture fixture;
  fixture.Arm(0, 10);
  fixture.Arm(1, 10);
  fixture.Arm(2, 10);
  fixture.Turn(5);
  fixture.Cancel(0);
  fixture.Arm(1, 30);
  fixture.Cancel(77);  // never armed
  CHECK_EQUAL(fixture.TurnAndTake(20), Records{Timer(2)});
  CHECK_EQUAL(fixture.TurnAndTake(30), Records{Timer(1)});
  CHECK_EQUAL(fixture.header.statistics.timers_cancelled, 1.0);
  CHECK_EQUAL(fixture.header.statistics.timers_fired, 2.0);
}

TEST("a timer can be armed, cancelled and armed again within one submission") {
  LoopFixture fixture;
  fixture.Arm(0, 10);
  fixture.Arm(1, 10);
  fixture.Cancel(0);
  fixture.Arm(0, 10);
  CHECK_EQUAL(fixture.TurnAndTake(10), Records{Timer(1), Timer(0)});
}

TEST("what was queued stays first; then fds, read before write; then remote calls, then timers") {
  LoopFixture fixture;
  const Pair pair = MakeSocketPair();
  const int fd = pair.read_end.get();
  pair.Write();
  CHECK(fixture.loop.Watch(fd, kReadable | kWritable).ok());
  fixture.Arm(5, 0);
  fixture.loop.inbox().Post(9);
  fixture.AppendLocal(8);
  CHECK_EQUAL(fixture.TurnAndTake(1), Records{8, Read(fd), Write(fd), Remote(9), Timer(5)});
}

TEST("a ready fd is seen in the turn it is ready in, beside a due timer and a remote call") {
  LoopFixture fixture;
  const Pair pair = MakePipe();
  const int fd = pair.read_end.get();
  CHECK(fixture.loop.Watch(fd, kReadable).ok());
  fixture.Arm(5, 0);
  CHECK(fixture.loop.ApplySubmissions());
  CHECK(fixture.loop.PrepareToWait().ok());
  CHECK(Readable(fixture.loop.fd(), kSurelyMs));
  fixture.loop.inbox().Post(9);
  pair.Write();
  CHECK_EQUAL(fixture.TurnAndTake(1), Records{Read(fd), Remote(9), Timer(5)});
}

TEST("an fd is reported in every turn while it is ready, and no more once it is forgotten") {
  LoopFixture fixture;
  const Pair pair = MakePipe();
  const int fd = pair.read_end.get();
  pair.Write();
  CHECK(fixture.loop.Watch(fd, kReadable).ok());
  CHECK_EQUAL(fixture.loop.watchers(), 1);
  CHECK_EQUAL(fixture.TurnAndTake(1), Records{Read(fd)});
  CHECK_EQUAL(fixture.TurnAndTake(2), Records{Read(fd)});
  CHECK(fixture.loop.Watch(fd, kNone).ok());
  CHECK_EQUAL(fixture.loop.watchers(), 0);
  CHECK_EQUAL(fixture.TurnAndTake(3), Records{});
}

TEST("an fd that cannot be watched is refused with the system's error") {
  LoopFixture fixture;
  Pair pair = MakePipe();
  const int fd = pair.read_end.get();
  pair.read_end.Reset();
  CHECK_EQUAL(fixture.loop.Watch(fd, kReadable).error, EBADF);
  CHECK_EQUAL(fixture.loop.watchers(), 0);
}

TEST("timers that find no room wait for a later turn, in order") {
  LoopFixture fixture(4);
  Records expected;
  for (Slot slot = 0; slot < 10; slot++) {
    fixture.Arm(slot, 1);
    expected.push_back(Timer(slot));
  }
  Records seen;
  for (int turn = 0; turn < 3; turn++) {
    const Records records = fixture.TurnAndTake(turn + 1);
    CHECK(records.size() <= 4);
    seen.insert(seen.end(), records.begin(), records.end());
  }
  CHECK_EQUAL(seen, expected);
}

TEST("a full ring takes nothing in, and what it could not take comes later") {
  LoopFixture fixture(4);
  const Pair pair = MakeSocketPair();
  const int fd = pair.read_end.get();
  pair.Write();
  CHECK(fixture.loop.Watch(fd, kReadable | kWritable).ok());
  fixture.loop.inbox().Post(9);
  fixture.Arm(5, 0);
  for (int i = 0; i < 4; i++) fixture.AppendLocal(8);
  CHECK_EQUAL(fixture.TurnAndTake(1), Records{8, 8, 8, 8});
  CHECK(Readable(fixture.loop.fd()));  // the remote call did not lose its wake-up
  CHECK_EQUAL(fixture.TurnAndTake(2), Records{Read(fd), Write(fd), Remote(9), Timer(5)});
}

TEST("one free place is not enough for an fd, which may need two") {
  LoopFixture fixture(4);
  const Pair pair = MakeSocketPair();
  const int fd = pair.read_end.get();
  pair.Write();
  CHECK(fixture.loop.Watch(fd, kReadable | kWritable).ok());
  for (int i = 0; i < 3; i++) fixture.AppendLocal(8);
  CHECK_EQUAL(fixture.TurnAndTake(1), Records{8, 8, 8});
  CHECK_EQUAL(fixture.TurnAndTake(2), Records{Read(fd), Write(fd)});
}

TEST("remote calls that find no room stay before those that were posted later") {
  LoopFixture fixture(2);
  for (const uint32_t id : {1u, 2u, 3u, 4u, 5u}) fixture.loop.inbox().Post(id);
  CHECK_EQUAL(fixture.TurnAndTake(1), Records{Remote(1), Remote(2)});
  CHECK(Readable(fixture.loop.fd()));
  fixture.loop.inbox().Post(6);
  CHECK_EQUAL(fixture.TurnAndTake(2), Records{Remote(3), Remote(4)});
  CHECK_EQUAL(fixture.TurnAndTake(3), Records{Remote(5), Remote(6)});
  CHECK(!Readable(fixture.loop.fd()));
  CHECK_EQUAL(fixture.header.statistics.remote_calls, 6.0);
}

TEST("remote calls keep their order while a full ring sends some of them back") {
  constexpr uint32_t kCalls = 50'000;
  LoopFixture fixture(4);
  std::thread other([&fixture] {
    for (uint32_t id = 0; id < kCalls; id++) fixture.loop.inbox().Post(id);
  });
  uint32_t next = 0;
  bool in_order = true;
  while (next < kCalls && Readable(fixture.loop.fd(), kSurelyMs)) {
    for (const uint32_t record : fixture.TurnAndTake(1)) {
      if (record != Remote(next++)) in_order = false;
    }
  }
  other.join();
  CHECK(in_order);
  CHECK_EQUAL(next, kCalls);
}

TEST("a remote call from another thread wakes the loop's fd") {
  LoopFixture fixture;
  std::thread other([&fixture] { fixture.loop.inbox().Post(3); });
  CHECK(Readable(fixture.loop.fd(), kSurelyMs));
  other.join();
  CHECK_EQUAL(fixture.TurnAndTake(1), Records{Remote(3)});
  CHECK(!Readable(fixture.loop.fd()));
}

TEST("the ring can move to larger memory between turns") {
  LoopFixture fixture(2);
  for (Slot slot = 0; slot < 3; slot++) fixture.Arm(slot, 1);
  fixture.Turn(1);
  fixture.Grow();
  fixture.Turn(1);
  CHECK_EQUAL(fixture.Take(), Records{Timer(0), Timer(1), Timer(2)});
}

TEST("counters of the ring that cannot be are found out, whatever JavaScript wrote there") {
  LoopFixture fixture(8);
  CHECK(fixture.loop.RingHolds());
  for (const uint32_t tail : {9u, 1000u, UINT32_MAX}) {
    fixture.header.ready_tail = tail;
    CHECK(!fixture.loop.RingHolds());
  }
  fixture.header.ready_head = fixture.header.ready_tail - 8;  // full, and about to wrap
  CHECK(fixture.loop.RingHolds());
}

TEST("all of the memory can move, as when JavaScript has it elsewhere") {
  LoopFixture fixture(8);
  LoopFixture other(16);
  fixture.Arm(0, 1);
  fixture.Turn(0);
  other.Arm(1, 1);
  fixture.loop.Attach(other.memory());
  CHECK(fixture.loop.ApplySubmissions());
  CHECK(fixture.loop.Turn(1).ok());
  CHECK_EQUAL(other.Take(), Records{Timer(0), Timer(1)});
  CHECK_EQUAL(fixture.queued(), 0);
}

TEST("a table of slots grows with them, and not by a number that somebody writes") {
  LoopFixture fixture;
  fixture.Arm(kSubmissionCapacity - 1, 1);
  CHECK(fixture.loop.ApplySubmissions());
  fixture.Arm(2 * kSubmissionCapacity, 1);
  CHECK(!fixture.loop.ApplySubmissions());
  fixture.Arm(2 * kSubmissionCapacity - 1, 1);
  CHECK(fixture.loop.ApplySubmissions());
  CHECK_EQUAL(fixture.loop.timers(), 2);
}

TEST("a submission with a slot out of range is dropped and reported, the others count") {
  for (const Slot garbage : {kNoSlot, kReadyPayloadMax + 1, kReadyPayloadMax, 2000u}) {
    LoopFixture fixture;
    fixture.Arm(0, 1);
    fixture.Arm(garbage, 1);
    fixture.Cancel(garbage);
    fixture.Arm(1, 1);
    CHECK(!fixture.loop.ApplySubmissions());
    CHECK_EQUAL(fixture.header.submission_count, 0);
    CHECK_EQUAL(fixture.TurnAndTake(1), Records{Timer(0), Timer(1)});
  }
}

TEST("a count of submissions beyond the capacity is reported, and not believed") {
  LoopFixture fixture;
  fixture.Arm(0, 1);
  for (Slot slot = 1; slot < kSubmissionCapacity; slot++) fixture.Cancel(slot);
  for (const uint32_t count : {kSubmissionCapacity + 1, UINT32_MAX}) {
    fixture.header.submission_count = count;
    CHECK(!fixture.loop.ApplySubmissions());
    CHECK_EQUAL(fixture.header.submission_count, 0);
  }
  CHECK_EQUAL(fixture.loop.timers(), 1);
}

TEST("statistics count records and calls") {
  LoopFixture fixture;
  const Pair pair = MakeSocketPair();
  pair.Write();
  CHECK(fixture.loop.Watch(pair.read_end.get(), kReadable | kWritable).ok());
  fixture.Arm(0, 1);
  fixture.Arm(1, 1);
  fixture.Cancel(1);
  fixture.Turn(1);
  CHECK_EQUAL(fixture.header.statistics.polls, 1.0);
  CHECK_EQUAL(fixture.header.statistics.io_events, 2.0);
  CHECK_EQUAL(fixture.header.statistics.timers_armed, 2.0);
  CHECK_EQUAL(fixture.header.statistics.timers_cancelled, 1.0);
  CHECK_EQUAL(fixture.header.statistics.timers_fired, 1.0);
}

TEST("the loop's time starts near zero and does not go back") {
  const LoopFixture fixture;
  const TimeNs first = fixture.loop.Now();
  CHECK(first >= 0);
  CHECK(fixture.loop.Now() >= first);
}

TEST("a waiting loop's fd becomes readable at the deadline and not before") {
  LoopFixture fixture;
  const TimeNs deadline = fixture.loop.Now() + 2 * kMs + 0.5;
  fixture.Arm(0, deadline);
  fixture.Turn(fixture.loop.Now());
  CHECK(fixture.loop.PrepareToWait().ok());
  CHECK(Readable(fixture.loop.fd(), kSurelyMs));
  const TimeNs now = fixture.loop.Now();
  CHECK(now >= deadline);
  CHECK_EQUAL(fixture.TurnAndTake(now), Records{Timer(0)});
}

TEST("a loop without timers waits in silence, also after its last timer was cancelled or fired") {
  LoopFixture fixture;
  CHECK(fixture.loop.PrepareToWait().ok());
  CHECK(!Readable(fixture.loop.fd()));
  fixture.Arm(0, 0);
  fixture.Arm(1, 0);
  fixture.Turn(-1);
  CHECK(fixture.loop.PrepareToWait().ok());
  CHECK(Readable(fixture.loop.fd(), kSurelyMs));
  fixture.Cancel(0);
  CHECK_EQUAL(fixture.TurnAndTake(0), Records{Timer(1)});
  CHECK(fixture.loop.PrepareToWait().ok());
  CHECK(!Readable(fixture.loop.fd(), 1));
}

TEST("a sooner timer replaces the wait for a later one, and the reverse") {
  LoopFixture fixture;
  fixture.Arm(0, kHour);
  fixture.Turn(0);
  CHECK(fixture.loop.PrepareToWait().ok());
  CHECK(!Readable(fixture.loop.fd(), 1));
  fixture.Arm(1, 0);
  CHECK(fixture.loop.ApplySubmissions());
  CHECK(fixture.loop.PrepareToWait().ok());
  CHECK(Readable(fixture.loop.fd(), kSurelyMs));
  fixture.Cancel(1);
  CHECK(fixture.loop.ApplySubmissions());
  CHECK(fixture.loop.PrepareToWait().ok());
  CHECK(!Readable(fixture.loop.fd(), 1));
}

TEST("a deadline that was given up and is wanted again wakes the loop") {
  LoopFixture fixture;
  const TimeNs deadline = fixture.loop.Now() + 2 * kMs;
  for (const bool wanted : {true, false, true}) {
    fixture.Arm(0, wanted ? deadline : NAN);
    CHECK(fixture.loop.ApplySubmissions());
    CHECK(fixture.loop.PrepareToWait().ok());
  }
  CHECK(Readable(fixture.loop.fd(), kSurelyMs));
}

TEST("a deadline that passes while a turn goes on still wakes the loop") {
  LoopFixture fixture;
  const Pair pair = MakePipe();
  CHECK(fixture.loop.Watch(pair.read_end.get(), kReadable).ok());
  const TimeNs deadline = fixture.loop.Now() + kMs;
  fixture.Arm(0, deadline);
  fixture.Turn(fixture.loop.Now());
  CHECK(fixture.loop.PrepareToWait().ok());
  CHECK(Readable(fixture.loop.fd(), kSurelyMs));
  // The turn's time was read a moment too early; its wait meets the timer that is due by now.
  CHECK_EQUAL(fixture.TurnAndTake(deadline - 1), Records{});
  CHECK(fixture.loop.PrepareToWait().ok());
  CHECK(Readable(fixture.loop.fd(), kSurelyMs));
  CHECK_EQUAL(fixture.TurnAndTake(deadline), Records{Timer(0)});
}

TEST("deadlines of any size can be waited for") {
  constexpr TimeNs kLargest = std::numeric_limits<TimeNs>::max();
  for (const TimeNs deadline : {1e15, 9.3e18, 1e300, kLargest, kNever}) {
    LoopFixture fixture;
    fixture.Arm(0, deadline);
    fixture.Turn(0);
    CHECK(fixture.loop.PrepareToWait().ok());
    CHECK(!Readable(fixture.loop.fd(), 1));
  }
  for (const TimeNs deadline : {0.0, -1.0, -9.3e18, -kLargest, -kNever}) {
    LoopFixture fixture;
    fixture.Arm(0, deadline);
    CHECK(fixture.loop.ApplySubmissions());
    CHECK(fixture.loop.PrepareToWait().ok());
    CHECK(Readable(fixture.loop.fd(), kSurelyMs));
    CHECK_EQUAL(fixture.TurnAndTake(0), Records{Timer(0)});
  }
}

// The last timers fired an hour ahead in virtual time, so the window of a crowd ends then.
TEST("a crowd of timers is collected until the end of the window, a lone timer is not") {
  LoopFixture fixture;
  fixture.Arm(0, kHour);
  CHECK_EQUAL(fixture.TurnAndTake(kHour), Records{Timer(0)});
  fixture.Arm(1, 0);
  CHECK(fixture.loop.ApplySubmissions());
  CHECK(fixture.loop.PrepareToWait().ok());
  CHECK(Readable(fixture.loop.fd(), kSurelyMs));
  fixture.Arm(2, kHour + kMs / 10);
  CHECK(fixture.loop.ApplySubmissions());
  CHECK(fixture.loop.PrepareToWait().ok());
  CHECK(!Readable(fixture.loop.fd(), 1));
  fixture.Arm(2, kHour + kMs);  // beyond the window: the first is alone again
  CHECK(fixture.loop.ApplySubmissions());
  CHECK(fixture.loop.PrepareToWait().ok());
  CHECK(Readable(fixture.loop.fd(), kSurelyMs));
}

TEST("a duplicate of an fd that was closed too early does not keep the loop awake") {
  LoopFixture fixture;
  Pair closed = MakePipe();
  const Pair pair = MakePipe();
  const int fd = closed.read_end.get();
  closed.Write();
  CHECK(fixture.loop.Watch(pair.read_end.get(), kReadable).ok());
  CHECK(fixture.loop.Watch(fd, kReadable).ok());
  const UniqueFd duplicate(dup(fd));
  closed.read_end.Reset();
  CHECK(fixture.loop.Watch(fd, kNone).ok());
  bool purged = false;
  CHECK(fixture.loop.Purge(&purged).ok());
  CHECK_EQUAL(fixture.TurnAndTake(0), Records{});
  if (purged) CHECK(!Readable(fixture.loop.fd()));
  pair.Write();
  CHECK_EQUAL(fixture.TurnAndTake(0), Records{Read(pair.read_end.get())});
  fixture.loop.inbox().Post(5);
  CHECK(Readable(fixture.loop.fd()));
  CHECK_EQUAL(fixture.TurnAndTake(0), (Records{Read(pair.read_end.get()), Remote(5)}));
}

}  // namespace
}  // namespace ringloop
