// clock.h -- the one place that reads the time. Everything else is handed it.
#pragma once

#include <time.h>

#include <cstdint>

namespace ringloop {

// Nanoseconds of CLOCK_MONOTONIC: libuv's clock and performance.now()'s, so deadlines made in
// JavaScript mean the same here.
inline int64_t MonotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace ringloop
