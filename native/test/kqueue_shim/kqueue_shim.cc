// kqueue_shim.cc -- kqueue() and kevent() on epoll, so that the kqueue back end can be tested here.
//
// Facts.      The number that kqueue() returns must be closable and pollable, so it is the epoll's.
//             The kernel cannot be asked what an epoll watches; closing cannot be seen.
// Decision.   Each queue's filters are kept beside it, by number. kqueue() forgets those of a
//             queue that had the number before; a change finds out that a watched fd was closed
//             when epoll does not know it any more. What is not emulated is EINVAL.
// Cost.       Not thread-safe. A file that is still open under another number stays watched after
//             the close, which it would not on a BSD. Timers of a closed queue stay open until
//             its number returns.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/unique_fd.h"

namespace {

using ringloop::UniqueFd;

constexpr uint8_t kRead = 1;
constexpr uint8_t kWrite = 2;
constexpr uint64_t kIsTimer = uint64_t{1} << 32;

struct Filters {
  uint8_t wanted = 0;
  bool write_first = false;  // the write was cut off by the capacity last time
  UniqueFd always_ready;     // stands in for a regular file, which epoll refuses
};

struct Queue {
  std::map<int, Filters> fds;
  std::map<uint32_t, UniqueFd> timers;
};

std::map<int, Queue>& Queues() {
  static std::map<int, Queue> queues;
  return queues;
}

int Control(int queue, int operation, int target, int ident, uint8_t wanted) {
  epoll_event event{};
  if (wanted & kRead) event.events |= EPOLLIN | EPOLLRDHUP;
  if (wanted & kWrite) event.events |= EPOLLOUT;
  event.data.u64 = static_cast<uint32_t>(ident);
  return epoll_ctl(queue, operation, target, &event) == 0 ? 0 : errno;
}

// A BSD refuses to watch the writing end of a pipe that nobody reads any more.
bool IsBrokenPipe(int fd) {
  struct stat file;
  pollfd asked{fd, POLLOUT, 0};
  return fstat(fd, &file) == 0 && S_ISFIFO(file.st_mode) && poll(&asked, 1, 0) == 1 &&
         (asked.revents & POLLERR);
}

int AddFilter(int queue, Queue& state, int fd, uint8_t bit) {
  if (fcntl(fd, F_GETFD) < 0) return state.fds.erase(fd), EBADF;
  if (bit == kWrite && IsBrokenPipe(fd)) return EPIPE;
  Filters& filters = state.fds[fd];
  filters.wanted |= bit;
  const int target = filters.always_ready.valid() ? filters.always_ready.get() : fd;
  int error = Control(queue, EPOLL_CTL_MOD, target, fd, filters.wanted);
  if (error != ENOENT && error != EPERM) return error;
  // The first filter of this fd, or of another file than the one that was known by this number.
  filters.wanted = bit;
  filters.always_ready.Reset();
  error = Control(queue, EPOLL_CTL_ADD, fd, fd, bit);
  if (error == EPERM) {
    filters.always_ready = UniqueFd(eventfd(1, EFD_CLOEXEC));
    error = Control(queue, EPOLL_CTL_ADD, filters.always_ready.get(), fd, bit);
  }
  return error;
}

int DeleteFilter(int queue, Queue& state, int fd, uint8_t bit) {
  if (fcntl(fd, F_GETFD) < 0) return state.fds.erase(fd), EBADF;
  const auto found = state.fds.find(fd);
  if (found == state.fds.end() || !(found->second.wanted & bit)) return ENOENT;
  Filters& filters = found->second;
  filters.wanted = static_cast<uint8_t>(filters.wanted & ~bit);
  const int target = filters.always_ready.valid() ? filters.always_ready.get() : fd;
  const int operation = filters.wanted == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
  const int error = Control(queue, operation, target, fd, filters.wanted);
  if (filters.wanted == 0 || error != 0) state.fds.erase(found);
  return error == EPERM ? ENOENT : error;
}

int ChangeTimer(int queue, Queue& state, const struct kevent& change) {
  const auto ident = static_cast<uint32_t>(change.ident);
  if (change.flags & EV_DELETE) return state.timers.erase(ident) == 1 ? 0 : ENOENT;
  if (!(change.flags & EV_ONESHOT) || change.fflags != NOTE_NSECONDS) return EINVAL;
  UniqueFd& timer = state.timers[ident];
  if (!timer.valid()) {
    timer = UniqueFd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kIsTimer | ident;
    if (epoll_ctl(queue, EPOLL_CTL_ADD, timer.get(), &event) != 0) return errno;
  }
  const int64_t delay = std::max<int64_t>(change.data, 1);
  itimerspec spec{};
  spec.it_value.tv_sec = delay / 1'000'000'000;
  spec.it_value.tv_nsec = delay % 1'000'000'000;
  return timerfd_settime(timer.get(), 0, &spec, nullptr) == 0 ? 0 : errno;
}

int Apply(int queue, Queue& state, const struct kevent& change) {
  const int action = change.flags & (EV_ADD | EV_DELETE);
  if (action != EV_ADD && action != EV_DELETE) return EINVAL;
  if (change.filter == EVFILT_TIMER) return ChangeTimer(queue, state, change);
  if (change.filter != EVFILT_READ && change.filter != EVFILT_WRITE) return EINVAL;
  if (change.flags & ~(EV_ADD | EV_DELETE | EV_RECEIPT)) return EINVAL;
  const uint8_t bit = change.filter == EVFILT_READ ? kRead : kWrite;
  const int fd = static_cast<int>(change.ident);
  return action == EV_ADD ? AddFilter(queue, state, fd, bit) : DeleteFilter(queue, state, fd, bit);
}

struct kevent MakeEvent(uintptr_t ident, int filter, bool eof, int64_t data = 1) {
  const auto flags = static_cast<uint16_t>(eof ? EV_EOF : 0);
  return {ident, static_cast<int16_t>(filter), flags, 0, data, nullptr};
}

// Appends at most `room` events of one fd, and returns how many.
int ReportFd(Queue& state, int fd, uint32_t reported, struct kevent* events, int room) {
  const auto found = state.fds.find(fd);
  if (found == state.fds.end()) return 0;
  Filters& filters = found->second;
  if (filters.always_ready.valid()) {
    if (fcntl(fd, F_GETFD) < 0) return state.fds.erase(found), 0;
    reported = EPOLLIN | EPOLLOUT;
  }
  const bool readable = (filters.wanted & kRead) && (reported & ~uint32_t{EPOLLOUT});
  const bool writable = (filters.wanted & kWrite) && (reported & (EPOLLOUT | EPOLLHUP | EPOLLERR));
  const auto ident = static_cast<uintptr_t>(fd);
  std::vector<struct kevent> both;
  if (readable) both.push_back(MakeEvent(ident, EVFILT_READ, reported & (EPOLLHUP | EPOLLRDHUP)));
  if (writable) both.push_back(MakeEvent(ident, EVFILT_WRITE, reported & (EPOLLHUP | EPOLLERR)));
  if (filters.write_first) std::reverse(both.begin(), both.end());
  const int count = std::min(room, static_cast<int>(both.size()));
  std::copy_n(both.begin(), count, events);
  filters.write_first = count == 1 && both.size() == 2 && both[0].filter == EVFILT_READ;
  return count;
}

int Collect(int queue, Queue& state, struct kevent* events, int capacity, int timeout_ms) {
  std::vector<epoll_event> ready(static_cast<size_t>(capacity));
  const int found = epoll_wait(queue, ready.data(), capacity, timeout_ms);
  if (found < 0) return -1;
  int count = 0;
  for (int i = 0; i < found && count < capacity; i++) {
    const uint64_t data = ready[static_cast<size_t>(i)].data.u64;
    const auto ident = static_cast<uint32_t>(data);
    if (data & kIsTimer) {
      // A BSD reports a one-shot timer once and forgets it.
      if (state.timers.erase(ident) == 1) events[count++] = MakeEvent(ident, EVFILT_TIMER, false);
    } else {
      const uint32_t reported = ready[static_cast<size_t>(i)].events;
      count += ReportFd(state, static_cast<int>(ident), reported, events + count, capacity - count);
    }
  }
  return count;
}

int TimeoutMs(const timespec* timeout) {
  if (timeout == nullptr) return -1;
  const int64_t seconds = std::min<int64_t>(timeout->tv_sec, 86'400);
  return static_cast<int>(seconds * 1000 + (timeout->tv_nsec + 999'999) / 1'000'000);
}

}  // namespace

int kqueue() {
  const int queue = epoll_create1(EPOLL_CLOEXEC);
  if (queue >= 0) Queues()[queue] = Queue();
  return queue;
}

int kevent(int queue, const struct kevent* changes, int change_count, struct kevent* events,
           int capacity, const timespec* timeout) {
  const auto found = Queues().find(queue);
  if (found == Queues().end()) return errno = EBADF, -1;
  int count = 0;
  for (int i = 0; i < change_count; i++) {
    const int error = Apply(queue, found->second, changes[i]);
    if (error == 0 && !(changes[i].flags & EV_RECEIPT)) continue;
    if (count == capacity) return errno = error, -1;
    events[count] = changes[i];
    events[count].flags |= EV_ERROR;
    events[count++].data = error;
  }
  if (count > 0 || capacity == 0) return count;
  return Collect(queue, found->second, events, capacity, TimeoutMs(timeout));
}
