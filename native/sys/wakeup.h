// wakeup.h -- lets any thread make one fd readable.
//
// Facts.      A selector waits for fds only. An eventfd is one counter in the kernel; a pipe can
//             fill up, and a full pipe is readable already.
// Decision.   eventfd on Linux, a non-blocking pipe elsewhere, behind the same three methods.
// Invariants. After Notify() the fd stays readable until Drain().
#pragma once

#include "base/status.h"
#include "base/unique_fd.h"

namespace ringloop {

class Wakeup {
 public:
  Status Open();
  int fd() const { return read_end_.get(); }
  void Notify() const;  // from any thread
  void Drain() const;   // from the loop's thread

 private:
  UniqueFd read_end_;
  UniqueFd write_end_;  // not used by eventfd, where one fd is both ends
};

}  // namespace ringloop
