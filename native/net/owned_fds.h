// owned_fds.h -- the fds that the JavaScript of one environment owns.
//
// Facts.      A worker can end between any two steps of its JavaScript: terminate(),
//             process.exit(), an uncaught error. No `finally` runs then, and its sockets would go
//             on accepting.
// Decision.   A bit for each fd number. The same native call that opens or accepts an fd puts it
//             here, the one that closes it takes it out first; what is left when the environment
//             ends is closed. An fd that goes to Node leaves before Node has it: should the worker
//             end in between, one fd is lost, and nobody closes a number that belongs to another.
//             Standard streams are the process's, whoever reads or writes them.
// Cost.       A bit for each number up to the highest, and no system call.
// Invariants. Used by the environment's thread only. Every fd in it is open, and closed by nobody
//             else.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <vector>

#include "sys/sockets.h"

namespace ringloop {

class OwnedFds {
 public:
  OwnedFds() = default;
  OwnedFds(const OwnedFds&) = delete;
  OwnedFds& operator=(const OwnedFds&) = delete;
  ~OwnedFds() {
    for (size_t fd = STDERR_FILENO + 1; fd < owned_.size(); fd++) {
      if (owned_[fd]) CloseFd(static_cast<int>(fd));
    }
  }

  // `result` is an open fd, or a negative errno, which is passed on.
  IoResult Add(IoResult result) {
    if (result < 0) return result;
    const auto fd = static_cast<size_t>(result);
    if (fd >= owned_.size()) owned_.resize(fd + 1);
    owned_[fd] = true;
    return result;
  }

  // False: it was not here.
  bool Remove(int fd) {
    const auto index = static_cast<size_t>(fd);
    if (fd < 0 || index >= owned_.size() || !owned_[index]) return false;
    owned_[index] = false;
    return true;
  }

 private:
  std::vector<bool> owned_;
};

}  // namespace ringloop
