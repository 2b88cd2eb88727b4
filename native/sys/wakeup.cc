// wakeup.cc -- the two kinds of wake-up, and why their errors need no answer.
#include "sys/wakeup.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>

#include "base/assert.h"

#if defined(__linux__)
#include <sys/eventfd.h>
#endif

namespace ringloop {

#if defined(__linux__)

Status Wakeup::Open() {
  read_end_ = UniqueFd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  return read_end_.valid() ? Status::Ok() : Status::Failed("eventfd", errno);
}

void Wakeup::Notify() const {
  const uint64_t one = 1;
  ssize_t written;
  do {
    written = write(read_end_.get(), &one, sizeof one);
  } while (written < 0 && errno == EINTR);
  RINGLOOP_ASSERT(written == sizeof one || errno == EAGAIN);  // EAGAIN: counter full, so readable
}

#else

Status Wakeup::Open() {
  int ends[2];
  if (pipe(ends) != 0) return Status::Failed("pipe", errno);
  read_end_ = UniqueFd(ends[0]);
  write_end_ = UniqueFd(ends[1]);
  for (const int end : ends) {
    if (fcntl(end, F_SETFL, O_NONBLOCK) != 0 || fcntl(end, F_SETFD, FD_CLOEXEC) != 0) {
      return Status::Failed("fcntl", errno);
    }
  }
  return Status::Ok();
}

void Wakeup::Notify() const {
  const uint8_t one = 1;
  ssize_t written;
  do {
    written = write(write_end_.get(), &one, sizeof one);
  } while (written < 0 && errno == EINTR);
  RINGLOOP_ASSERT(written == sizeof one || errno == EAGAIN);  // EAGAIN: pipe full, so readable
}

#endif

void Wakeup::Drain() const {
  uint64_t scratch[64];
  ssize_t got;
  do {
    got = read(read_end_.get(), scratch, sizeof scratch);
  } while (got == static_cast<ssize_t>(sizeof scratch) || (got < 0 && errno == EINTR));
}

}  // namespace ringloop
