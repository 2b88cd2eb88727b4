// selector_epoll.cc -- epoll with a timerfd inside.
//
// Facts.      EPOLLHUP and EPOLLERR are reported whether asked for or not. A closed fd leaves the
//             set by itself once its last duplicate is closed, and its number may come back.
//             timerfd_settime() also clears an expiry that nobody read. Level-triggered, the kernel
//             asks every fd that it has reported once more, the next time: 1 to 5 % of an echo.
//             A read that got less than it had room for has emptied the socket, unless it stopped
//             before urgent data or before the end, and those have events of their own. What is in
//             the set is a file under a number: once the number is closed or belongs to another
//             file, nothing names the entry any more, and as long as a duplicate of the file lives
//             it is reported.
// Decision.   HUP and ERR count for every direction that was asked for (asyncio's rule), so the
//             callback meets the error when it reads or writes. ADD of a member becomes MOD, and
//             MOD of a stranger becomes ADD. The timer is never read: arming it again is enough.
//             kEdge is EPOLLET until the first of those events, then the fd is level-triggered.
//             An entry that may have lost its name goes with the whole set: Purge() puts a new one
//             in its place.
#include "sys/selector_epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/assert.h"

namespace ringloop {
namespace {

// What says that there is more to an fd than plain data.
constexpr uint32_t kMoreThanData = EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR;

uint32_t ToEpoll(uint8_t interest) {
  return ((interest & kReadable) ? uint32_t{EPOLLIN} : 0u) |
         ((interest & kWritable) ? uint32_t{EPOLLOUT} : 0u) |
         ((interest & kEdge) ? uint32_t{EPOLLET | EPOLLRDHUP | EPOLLPRI} : 0u);
}

// The interest travels in the kernel's user data, so that Wait() can mask with it.
uint64_t Pack(int fd, uint8_t interest) {
  return uint64_t{interest} << 32 | static_cast<uint32_t>(fd);
}

int TimeoutMs(int64_t timeout_ns) {
  if (timeout_ns < 0) return -1;
  constexpr int64_t kDayNs = 86'400'000'000'000;
  return static_cast<int>((std::min(timeout_ns, kDayNs) + 999'999) / 1'000'000);
}

}  // namespace

Status EpollSelector::Open() {
  epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return Status::Failed("epoll_create1", errno);
  timer_ = UniqueFd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!timer_.valid()) return Status::Failed("timerfd_create", errno);
  return Control(EPOLL_CTL_ADD, timer_.get(), kReadable);
}

Status EpollSelector::Control(int operation, int fd, uint8_t interest) {
  epoll_event event{};
  event.events = ToEpoll(interest);
  event.data.u64 = Pack(fd, interest);
  if (epoll_ctl(epoll_.get(), operation, fd, &event) == 0) return Status::Ok();
  return Status::Failed("epoll_ctl", errno);
}

Status EpollSelector::Add(int fd, uint8_t interest) {
  const Status status = Control(EPOLL_CTL_ADD, fd, interest);
  if (status.error != EEXIST) return status;
  return Control(EPOLL_CTL_MOD, fd, interest);
}

Status EpollSelector::Modify(int fd, uint8_t interest) {
  const Status status = Control(EPOLL_CTL_MOD, fd, interest);
  if (status.error != ENOENT) return status;
  closed_early_ = true;
  return Control(EPOLL_CTL_ADD, fd, interest);
}

Status EpollSelector::Remove(int fd) {
  const Status status = Control(EPOLL_CTL_DEL, fd, kNone);
  // EBADF: closed already. ENOENT: closed, and the number belongs to another file now. EPERM: to
  // a file that cannot be waited for.
  const bool gone = status.error == EBADF || status.error == ENOENT || status.error == EPERM;
  closed_early_ = closed_early_ || gone;
  return gone ? Status::Ok() : status;
}

Status EpollSelector::Purge(bool* purged) {
  *purged = false;
  if (!closed_early_) return Status::Ok();
  const UniqueFd fresh(epoll_create1(EPOLL_CLOEXEC));
  if (!fresh.valid()) return Status::Failed("epoll_create1", errno);
  if (dup3(fresh.get(), epoll_.get(), O_CLOEXEC) < 0) return Status::Failed("dup3", errno);
  closed_early_ = false;
  *purged = true;
  return Control(EPOLL_CTL_ADD, timer_.get(), kReadable);
}

Status EpollSelector::Wait(SelectorEvent* events, uint32_t capacity, int64_t timeout_ns,
                           uint32_t* count) {
  *count = 0;
  if (capacity == 0) return Status::Ok();
  ready_.resize(std::max<size_t>(ready_.size(), capacity));
  const int found =
      epoll_wait(epoll_.get(), ready_.data(), static_cast<int>(capacity), TimeoutMs(timeout_ns));
  if (found < 0) return errno == EINTR ? Status::Ok() : Status::Failed("epoll_wait", errno);
  for (int i = 0; i < found; i++) {
    const epoll_event& event = ready_[static_cast<size_t>(i)];
    const int fd = static_cast<int>(event.data.u64 & UINT32_MAX);
    if (fd == timer_.get()) continue;
    const auto interest = static_cast<uint8_t>(event.data.u64 >> 32);
    if ((interest & kEdge) && (event.events & kMoreThanData)) {
      // Fails only where the fd has been closed, of which nothing is left to report.
      (void)Control(EPOLL_CTL_MOD, fd, interest & ~kEdge);
    }
    uint8_t bits = kNone;
    if (event.events & ~uint32_t{EPOLLOUT}) bits |= kReadable;
    if (event.events & ~uint32_t{EPOLLIN}) bits |= kWritable;
    bits &= interest;
    if (bits != kNone) events[(*count)++] = {fd, bits};
  }
  return Status::Ok();
}

Status EpollSelector::ArmTimer(int64_t deadline_ns) {
  // A zero it_value would disarm: a deadline long past is armed for the first nanosecond there is.
  const int64_t at = std::max<int64_t>(deadline_ns, 1);
  itimerspec spec{};
  spec.it_value.tv_sec = static_cast<time_t>(at / 1'000'000'000);
  spec.it_value.tv_nsec = static_cast<long>(at % 1'000'000'000);
  if (timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr) != 0) {
    return Status::Failed("timerfd_settime", errno);
  }
  timer_armed_ = true;
  return Status::Ok();
}

Status EpollSelector::DisarmTimer() {
  if (!timer_armed_) return Status::Ok();
  const itimerspec never{};
  if (timerfd_settime(timer_.get(), 0, &never, nullptr) != 0) {
    return Status::Failed("timerfd_settime", errno);
  }
  timer_armed_ = false;
  return Status::Ok();
}

}  // namespace ringloop
