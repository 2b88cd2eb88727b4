// remote_inbox.cc -- posting and taking.
#include "loop/remote_inbox.h"

namespace ringloop {

void RemoteInbox::Post(uint32_t id) {
  // Notify() stays under the lock: outside it, a Take() between the two would drain nothing and
  // leave the fd readable with an empty inbox.
  const std::lock_guard<std::mutex> guard(mutex_);
  pending_.push_back(id);
  NotifyOnce();
}

void RemoteInbox::Take(std::vector<uint32_t>* ids) {
  ids->clear();
  if (!notified_.load(std::memory_order_relaxed)) return;  // seen late is seen in the next turn
  const std::lock_guard<std::mutex> guard(mutex_);
  wakeup_.Drain();
  notified_ = false;
  ids->swap(pending_);
}

void RemoteInbox::Wake() {
  const std::lock_guard<std::mutex> guard(mutex_);
  NotifyOnce();
}

void RemoteInbox::NotifyOnce() {
  if (!notified_) wakeup_.Notify();
  notified_ = true;
}

}  // namespace ringloop
