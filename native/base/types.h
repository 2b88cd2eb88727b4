// types.h -- the few numbers that travel through every floor.
#pragma once

#include <cstdint>
#include <limits>

namespace ringloop {

// Nanoseconds since the loop's origin. A double, because that is what crosses from JavaScript
// without a BigInt; exact below 2^53 ns, that is for the first 104 days of a loop's life.
using TimeNs = double;
inline constexpr TimeNs kNever = std::numeric_limits<double>::infinity();

// Index of a timer in JavaScript's table of timers.
using Slot = uint32_t;
inline constexpr Slot kNoSlot = UINT32_MAX;

// Directions of readiness, as bits. kEdge goes with kReadable alone: the reader takes all there is.
enum Interest : uint8_t { kNone = 0, kReadable = 1, kWritable = 2, kEdge = 4 };

}  // namespace ringloop
