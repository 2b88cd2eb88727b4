// selector_kqueue.cc -- kqueue, one filter per direction, with an EVFILT_TIMER inside.
//
// Facts.      kqueue reports reads and writes as separate events, and a closed fd forgets its
//             filters. EV_DELETE of a filter that is not there is ENOENT. EV_RECEIPT makes kevent()
//             answer each change on the spot. EVFILT_TIMER counts from now, not to a deadline, and
//             a one-shot timer is gone once reported. A write to a broken pipe cannot be watched.
// Decision.   Interest is set filter by filter, additions first, since only they can be refused. A
//             timer that Wait() met is armed again for at once: it must stay due until the loop
//             says otherwise. Events of one fd that arrive together are merged into one
//             SelectorEvent, so the loop sees one shape (read before write). The kernel reports
//             EOF and errors on the filter that was asked for, which is asyncio's rule. kEdge is
//             left out, as the contract allows: what EV_CLEAR would save has not been measured.
// Cost.       Up to two changes where epoll needs one, and one more for a timer that Wait() met;
//             merging looks back over this batch only.
#include "sys/selector_kqueue.h"

#include <errno.h>
#include <sys/event.h>
#include <sys/types.h>

#include <algorithm>

#include "sys/clock.h"

namespace ringloop {
namespace {

constexpr uintptr_t kTimerIdent = 1;

}  // namespace

Status KqueueSelector::Open() {
  kqueue_ = UniqueFd(kqueue());
  if (!kqueue_.valid()) return Status::Failed("kqueue", errno);
  return Status::Ok();
}

Status KqueueSelector::Change(int fd, int16_t filter, bool wanted) {
  struct kevent change;
  struct kevent receipt;
  const auto flags = static_cast<uint16_t>((wanted ? EV_ADD : EV_DELETE) | EV_RECEIPT);
  EV_SET(&change, static_cast<uintptr_t>(fd), filter, flags, 0, 0, nullptr);
  const int answered = kevent(kqueue_.get(), &change, 1, &receipt, 1, nullptr);
  if (answered < 0) return Status::Failed("kevent", errno);
  const bool failed = answered == 1 && (receipt.flags & EV_ERROR);
  const int error = failed ? static_cast<int>(receipt.data) : 0;
  if (error == 0) return Status::Ok();
  // Deleting what is not there is what was wanted: never added, or closed meanwhile.
  if (!wanted && (error == ENOENT || error == EBADF)) return Status::Ok();
  return Status::Failed("kevent", error);
}

Status KqueueSelector::SetInterest(int fd, uint8_t interest) {
  for (const bool wanted : {true, false}) {
    if (((interest & kReadable) != 0) == wanted) {
      const Status status = Change(fd, EVFILT_READ, wanted);
      if (!status.ok()) return status;
    }
    if (((interest & kWritable) != 0) == wanted) {
      const Status status = Change(fd, EVFILT_WRITE, wanted);
      if (!status.ok()) return status;
    }
  }
  return Status::Ok();
}

Status KqueueSelector::Add(int fd, uint8_t interest) {
  const Status status = SetInterest(fd, interest);
  if (!status.ok()) (void)Remove(fd);  // one direction may have been accepted
  return status;
}

Status KqueueSelector::Modify(int fd, uint8_t interest) { return SetInterest(fd, interest); }
Status KqueueSelector::Remove(int fd) { return SetInterest(fd, kNone); }

// A filter is of a number and not of a file: it goes when the number is closed, whatever duplicates
// of the file live.
Status KqueueSelector::Purge(bool* purged) {
  *purged = false;
  return Status::Ok();
}

Status KqueueSelector::Wait(SelectorEvent* events, uint32_t capacity, int64_t timeout_ns,
                            uint32_t* count) {
  *count = 0;
  if (capacity == 0) return Status::Ok();
  ready_.resize(std::max<size_t>(ready_.size(), capacity));
  timespec timeout{};
  if (timeout_ns >= 0) {
    // macOS refuses more than some years.
    timeout.tv_sec = static_cast<time_t>(std::min<int64_t>(timeout_ns / 1'000'000'000, 86'400));
    timeout.tv_nsec = static_cast<long>(timeout_ns % 1'000'000'000);
  }
  const int found = kevent(kqueue_.get(), nullptr, 0, ready_.data(), static_cast<int>(capacity),
                           timeout_ns < 0 ? nullptr : &timeout);
  if (found < 0) return errno == EINTR ? Status::Ok() : Status::Failed("kevent", errno);
  Status status = Status::Ok();
  for (int i = 0; i < found; i++) {
    const struct kevent& event = ready_[static_cast<size_t>(i)];
    if (event.filter == EVFILT_TIMER) {
      status = ArmTimer(0);
      continue;
    }
    const int fd = static_cast<int>(event.ident);
    const uint8_t bits = event.filter == EVFILT_READ ? kReadable : kWritable;
    SelectorEvent* const end = events + *count;
    SelectorEvent* const same =
        std::find_if(events, end, [fd](const SelectorEvent& seen) { return seen.fd == fd; });
    if (same != end) {
      same->ready |= bits;
    } else {
      events[(*count)++] = {fd, bits};
    }
  }
  return status;
}

Status KqueueSelector::ArmTimer(int64_t deadline_ns) {
  // Rounded up by one: a timer of zero would mean "at once", one that fires early a wasted turn.
  const int64_t delay = std::max<int64_t>(deadline_ns - MonotonicNs(), 0) + 1;
  struct kevent change;
  EV_SET(&change, kTimerIdent, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_NSECONDS, delay, nullptr);
  if (kevent(kqueue_.get(), &change, 1, nullptr, 0, nullptr) < 0) {
    return Status::Failed("kevent", errno);
  }
  timer_armed_ = true;
  return Status::Ok();
}

Status KqueueSelector::DisarmTimer() {
  if (!timer_armed_) return Status::Ok();
  timer_armed_ = false;
  struct kevent change;
  EV_SET(&change, kTimerIdent, EVFILT_TIMER, EV_DELETE, 0, 0, nullptr);
  // ENOENT: it has fired, and one-shot filters remove themselves.
  if (kevent(kqueue_.get(), &change, 1, nullptr, 0, nullptr) < 0 && errno != ENOENT) {
    return Status::Failed("kevent", errno);
  }
  return Status::Ok();
}

}  // namespace ringloop
