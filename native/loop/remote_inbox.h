// remote_inbox.h -- the one door through which other threads reach a loop.
//
// Facts.      Everything else of a loop belongs to its thread and is not atomic. Calls from other
//             threads are rare beside calls of its own.
// Decision.   A vector under a mutex and a Wakeup. The loop swaps the vector out and runs over it
//             without the lock. notified_ keeps a burst down to one system call, and being atomic
//             lets a turn find out that there is nothing without taking the lock.
// Cost.       A lock and, once per burst, a write() for the caller; nothing for the loop when idle.
// Invariants. pending_ not empty implies that the wakeup's fd is readable.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "sys/wakeup.h"

namespace ringloop {

class RemoteInbox {
 public:
  Status Open() { return wakeup_.Open(); }
  // No Post() may come any more.
  void Close() { wakeup_ = Wakeup(); }
  int fd() const { return wakeup_.fd(); }

  // From any thread. `id` is what the loop's thread registered for the callback.
  void Post(uint32_t id);
  // From the loop's thread: puts everything posted so far into `ids`, in posting order.
  void Take(std::vector<uint32_t>* ids);
  // Makes the fd readable until the next Take(), with or without a post.
  void Wake();

 private:
  void NotifyOnce();  // under the lock

  Wakeup wakeup_;
  std::mutex mutex_;
  std::vector<uint32_t> pending_;
  std::atomic<bool> notified_{false};
};

}  // namespace ringloop
