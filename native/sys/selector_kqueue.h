// selector_kqueue.h -- the seam of selector.h on macOS and the BSDs.
#pragma once

#include <sys/event.h>
#include <sys/types.h>

#include <vector>

#include "base/unique_fd.h"
#include "sys/selector.h"

namespace ringloop {

class KqueueSelector {
 public:
  static constexpr const char* kName = "kqueue";

  Status Open();
  int fd() const { return kqueue_.get(); }
  Status Add(int fd, uint8_t interest);
  Status Modify(int fd, uint8_t interest);
  Status Remove(int fd);
  Status Purge(bool* purged);
  Status Wait(SelectorEvent* events, uint32_t capacity, int64_t timeout_ns, uint32_t* count);
  Status ArmTimer(int64_t deadline_ns);
  Status DisarmTimer();

 private:
  Status Change(int fd, int16_t filter, bool wanted);
  Status SetInterest(int fd, uint8_t interest);

  UniqueFd kqueue_;
  std::vector<struct kevent> ready_;  // grows to the largest capacity asked for
  bool timer_armed_ = false;
};

}  // namespace ringloop
