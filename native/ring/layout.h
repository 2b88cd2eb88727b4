// layout.h -- the contract of the memory that JavaScript and C++ both read and write.
//
// Facts.      The buffers are allocated by V8 and pinned by a reference (Electron refuses external
//             ones). Both sides run on one thread and never at the same time: a call of turn() and
//             its return are the only hand-over points, so nothing here is atomic.
// Decision.   Fixed-size records of u32 and f64. JavaScript reads every offset below from the
//             addon when it loads (binding/layout_binding.cc); no number is written twice.
// Invariants. I1  ready_tail - ready_head <= capacity of the ready ring (counters wrap at 2^32).
//             I2  submission_count <= kSubmissionCapacity.
//
//   header page                       who writes
//   +--------------------------+
//   | ready_head               |  JavaScript, when it takes a record
//   | ready_tail               |  either side, when it appends one
//   | submission_count         |  JavaScript appends, C++ sets it back to 0
//   | reference_count          |  JavaScript: things that must keep the process alive
//   | now_ns  next_deadline_ns |  C++, at the end of a turn
//   | statistics ...           |  C++
//   +--------------------------+
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/types.h"

namespace ringloop {

struct Statistics {
  double turns = 0;             // turn() calls
  double polls = 0;             // system calls that asked the kernel for ready fds
  double io_events = 0;         // records appended for ready fds
  double timers_armed = 0;      // timers inserted into the heap
  double timers_cancelled = 0;  // timers removed before they were due
  double timers_fired = 0;      // records appended for due timers
  double wakeups = 0;           // times libuv entered the loop
  double remote_calls = 0;      // records appended for calls from other threads
};

struct Header {
  uint32_t ready_head;
  uint32_t ready_tail;
  uint32_t submission_count;
  uint32_t reference_count;
  double now_ns;
  double next_deadline_ns;
  Statistics statistics;
};
static_assert(std::is_standard_layout_v<Header>);
static_assert(offsetof(Header, now_ns) % sizeof(double) == 0);

// A record of the ready ring is one u32: a tag in the low bits says who it is for.
//
//    31                                  4 3    0
//   +-------------------------------------+------+
//   | payload: slot, fd or remote id      | tag  |   appended by C++
//   +-------------------------------------+------+
//   | 0                                   | kind |   appended by JavaScript; the object itself
//   +-------------------------------------+------+   stands beside, at the same index, in an Array
enum ReadyTag : uint32_t {
  kTagTimer = 1,
  kTagReadable = 2,
  kTagWritable = 3,
  kTagRemote = 4,
  kTagFirstLocal = 8,  // 8..15 belong to JavaScript
};
inline constexpr uint32_t kReadyTagBits = 4;
inline constexpr uint32_t kReadyPayloadMax = (1u << (32 - kReadyTagBits)) - 1;

constexpr uint32_t PackReady(ReadyTag tag, uint32_t payload) {
  return (payload << kReadyTagBits) | tag;
}

// A record of the submission ring arms a timer, or cancels one (a deadline that is not a number).
struct Submission {
  double deadline_ns;
  uint32_t slot;
  uint32_t reserved;
};
static_assert(sizeof(Submission) == 16);

inline constexpr uint32_t kSubmissionCapacity = 1024;
inline constexpr uint32_t kReadyCapacityMin = 1024;

}  // namespace ringloop
