// selector.h -- the seam: what every back end offers, and the only words the loop knows.
//
// Facts.      epoll and kqueue agree on little more than "tell me which fds are ready". libuv can
//             wait on the fd of either, but its own timers count whole milliseconds.
// Decision.   A back end is one file with one class and the nine methods below; it reports and
//             never decides, and calls nobody. It owns a kernel timer (timerfd, EVFILT_TIMER) that
//             makes fd() readable at a deadline. selector_default.h is the only #if ladder.
// Cost.       No virtual calls; a second back end is tested by building the same suite on it.
//
//   Status Open();                              once, before anything else
//   int    fd() const;                          readable: Wait() would report, or a timer is due
//   Status Add(int fd, uint8_t interest);       fd not watched yet; EPERM: it cannot be waited for
//   Status Modify(int fd, uint8_t interest);    fd watched already; either fails without effect
//   Status Remove(int fd);                      also right for an fd that was closed meanwhile
//   Status Purge(bool* purged);                 an fd that was closed before its removal is
//                                               reported for ever where the kernel keeps the file
//                                               because a duplicate lives: if there may be one,
//                                               every fd is forgotten, `purged` is true, and fd()
//                                               is another file with the same number
//   Status Wait(SelectorEvent*, uint32_t capacity, int64_t timeout_ns, uint32_t* count);
//                                               level-triggered; kernel order; -1 waits for ever;
//                                               an interrupted wait reports nothing, without error
//                                               with kEdge a back end may report plain data once
//                                               for each arrival; the end of the stream, urgent
//                                               data and errors are level-triggered as ever
//   Status ArmTimer(int64_t deadline_ns);       absolute, MonotonicNs(); replaces the one before;
//                                               once due, fd() stays readable until the next
//                                               ArmTimer or DisarmTimer, whatever Wait() meets
//   Status DisarmTimer();
#pragma once

#include <cstdint>

#include "base/status.h"
#include "base/types.h"

namespace ringloop {

struct SelectorEvent {
  int fd;
  uint8_t ready;  // Interest bits, never more than was asked for
};

}  // namespace ringloop
