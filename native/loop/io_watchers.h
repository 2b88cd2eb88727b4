// io_watchers.h -- which directions of which fd are watched.
//
// Facts.      Selectors tell an fd they know from one they don't; callers just say what they want.
//             Fd numbers are small and dense.
// Decision.   One byte per fd number: the interest as the kernel knows it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "sys/selector_default.h"

namespace ringloop {

class IoWatchers {
 public:
  explicit IoWatchers(Selector* selector) : selector_(selector) {}

  uint32_t count() const { return count_; }  // fds watched in any direction

  // Watches exactly `interest` of `fd`; kNone forgets it. On failure nothing has changed.
  Status Set(int fd, uint8_t interest);

  // Everything is to be watched again by a selector that has forgotten it.
  void Restore();

 private:
  Selector* selector_;
  std::vector<uint8_t> interest_;
  uint32_t count_ = 0;
};

}  // namespace ringloop
