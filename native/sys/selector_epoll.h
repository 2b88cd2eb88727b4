// selector_epoll.h -- the seam of selector.h on Linux.
#pragma once

#include <sys/epoll.h>

#include <vector>

#include "base/unique_fd.h"
#include "sys/selector.h"

namespace ringloop {

class EpollSelector {
 public:
  static constexpr const char* kName = "epoll";

  Status Open();
  int fd() const { return epoll_.get(); }
  Status Add(int fd, uint8_t interest);
  Status Modify(int fd, uint8_t interest);
  Status Remove(int fd);
  Status Purge(bool* purged);
  Status Wait(SelectorEvent* events, uint32_t capacity, int64_t timeout_ns, uint32_t* count);
  Status ArmTimer(int64_t deadline_ns);
  Status DisarmTimer();

 private:
  Status Control(int operation, int fd, uint8_t interest);

  UniqueFd epoll_;
  UniqueFd timer_;
  std::vector<epoll_event> ready_;  // grows to the largest capacity asked for
  bool timer_armed_ = false;
  bool closed_early_ = false;  // an fd was closed before it was removed
};

}  // namespace ringloop
