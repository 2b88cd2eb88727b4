// remote_registry.h -- finds the inbox of a loop by number, from any thread of the process.
//
// Facts.      A worker cannot hold a pointer to another thread's loop: that loop may be gone.
// Decision.   A process-wide table under a mutex; a loop enters when it is first asked for a number
//             and leaves before it is destroyed. Numbers are never used twice.
// Invariants. While Post() runs, the inbox it posts to exists: both happen under the lock.
#pragma once

#include <cstdint>

#include "loop/remote_inbox.h"

namespace ringloop {

// Returns the number other threads use, never 0.
uint32_t RegisterRemote(RemoteInbox* inbox);
void UnregisterRemote(uint32_t key);
// False: there is no such loop (any more).
bool PostRemote(uint32_t key, uint32_t id);

}  // namespace ringloop
