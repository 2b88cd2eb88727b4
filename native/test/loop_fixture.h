// loop_fixture.h -- a Loop whose shared memory is on the heap, and JavaScript's part of the work.
#pragma once

#include <cmath>
#include <memory>
#include <vector>

#include "base/assert.h"
#include "loop/loop.h"
#include "sys/clock.h"

namespace ringloop::testing {

using Records = std::vector<uint32_t>;

inline uint32_t Timer(Slot slot) { return PackReady(kTagTimer, slot); }
inline uint32_t Read(int fd) { return PackReady(kTagReadable, static_cast<uint32_t>(fd)); }
inline uint32_t Write(int fd) { return PackReady(kTagWritable, static_cast<uint32_t>(fd)); }
inline uint32_t Remote(uint32_t id) { return PackReady(kTagRemote, id); }

class LoopFixture {
 public:
  explicit LoopFixture(uint32_t capacity = kReadyCapacityMin)
      : ready_(capacity),
        submissions_(kSubmissionCapacity),
        loop(memory(), MonotonicNs()) {
    RINGLOOP_CHECK(loop.Open().ok());
  }

  // Into the submission ring, unchecked, as JavaScript writes it.
  void Arm(Slot slot, TimeNs deadline) {
    if (header.submission_count == kSubmissionCapacity) RINGLOOP_CHECK(loop.ApplySubmissions());
    submissions_[header.submission_count++] = {deadline, slot, 0};
  }
  void Cancel(Slot slot) { Arm(slot, NAN); }

  // One turn, without taking anything from the ring.
  void Turn(TimeNs now) {
    RINGLOOP_CHECK(loop.ApplySubmissions());
    RINGLOOP_CHECK(loop.Turn(now).ok());
  }

  Records Take(size_t limit = SIZE_MAX) {
    Records records;
    while (header.ready_head != header.ready_tail && records.size() < limit) {
      records.push_back(ready_[header.ready_head++ & (ready_.size() - 1)]);
    }
    return records;
  }

  Records TurnAndTake(TimeNs now) {
    Turn(now);
    return Take();
  }

  // What callSoon does.
  void AppendLocal(uint32_t record) { ready_[header.ready_tail++ & (ready_.size() - 1)] = record; }

  void Grow() {
    Records larger(ready_.size() * 2);
    for (uint32_t at = header.ready_head; at != header.ready_tail; at++) {
      larger[at & (larger.size() - 1)] = ready_[at & (ready_.size() - 1)];
    }
    ready_.swap(larger);
    loop.Attach(memory());
  }

  uint32_t Peek(uint32_t at) const { return ready_[at & (ready_.size() - 1)]; }
  uint32_t capacity() const { return static_cast<uint32_t>(ready_.size()); }
  Loop::Memory memory() { return {&header, ready_.data(), capacity(), submissions_.data()}; }
  uint32_t queued() const { return header.ready_tail - header.ready_head; }

  Header header{};

 private:
  Records ready_;
  std::vector<Submission> submissions_;

 public:
  Loop loop;
};

}  // namespace ringloop::testing
