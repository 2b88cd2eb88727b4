// io_watchers.cc -- turns "I want this" into Add, Modify or Remove.
#include "loop/io_watchers.h"

#include <algorithm>

#include "base/assert.h"

namespace ringloop {

Status IoWatchers::Set(int fd, uint8_t interest) {
  RINGLOOP_ASSERT(fd >= 0);
  RINGLOOP_ASSERT(interest <= (kReadable | kWritable) || interest == (kReadable | kEdge));
  const auto index = static_cast<size_t>(fd);
  const uint8_t before = index < interest_.size() ? interest_[index] : uint8_t{kNone};
  if (before == interest && interest == kNone) return Status::Ok();
  const Status status = interest == kNone ? selector_->Remove(fd)
                        : before == kNone ? selector_->Add(fd, interest)
                                          : selector_->Modify(fd, interest);
  if (!status.ok()) return status;
  if (index >= interest_.size()) {
    interest_.resize(std::max(index + 1, interest_.size() * 2), uint8_t{kNone});
  }
  interest_[index] = interest;
  if (before == kNone) count_++;
  if (interest == kNone) count_--;
  return Status::Ok();
}

// An fd that was closed meanwhile is refused: there is nothing of it to be reported.
void IoWatchers::Restore() {
  for (size_t fd = 0; fd < interest_.size(); fd++) {
    if (interest_[fd] != kNone) (void)selector_->Add(static_cast<int>(fd), interest_[fd]);
  }
}

}  // namespace ringloop
