// remote_registry_test.cc -- numbers instead of pointers, while loops come and go.
#include "loop/remote_registry.h"

#include <atomic>
#include <thread>
#include <vector>

#include "testing.h"

namespace ringloop {
namespace {

using Ids = std::vector<uint32_t>;

TEST("a registered inbox is reached by its number") {
  RemoteInbox first, second;
  CHECK(first.Open().ok());
  CHECK(second.Open().ok());
  const uint32_t first_key = RegisterRemote(&first);
  const uint32_t second_key = RegisterRemote(&second);
  CHECK(first_key != 0);
  CHECK(first_key != second_key);
  CHECK(PostRemote(second_key, 5));
  Ids ids;
  first.Take(&ids);
  CHECK_EQUAL(ids, Ids{});
  second.Take(&ids);
  CHECK_EQUAL(ids, Ids{5});
  UnregisterRemote(first_key);
  UnregisterRemote(second_key);
}

TEST("a number nobody has, and one that is gone, reach nothing") {
  RemoteInbox inbox;
  CHECK(inbox.Open().ok());
  const uint32_t key = RegisterRemote(&inbox);
  CHECK(!PostRemote(0, 1));
  CHECK(!PostRemote(key + 1, 1));
  UnregisterRemote(key);
  CHECK(!PostRemote(key, 1));
  UnregisterRemote(key);  // once more is harmless
  Ids ids;
  inbox.Take(&ids);
  CHECK_EQUAL(ids, Ids{});
}

TEST("a number is never used twice") {
  RemoteInbox inbox;
  CHECK(inbox.Open().ok());
  const uint32_t old_key = RegisterRemote(&inbox);
  UnregisterRemote(old_key);
  const uint32_t new_key = RegisterRemote(&inbox);
  CHECK(new_key != old_key);
  CHECK(!PostRemote(old_key, 1));
  UnregisterRemote(new_key);
}

// For TSan and ASan: every accepted post must have met a living inbox.
TEST("threads may post while loops come and go") {
  std::atomic<uint32_t> current{0};
  std::atomic<bool> done{false};
  std::atomic<uint32_t> accepted{0};
  std::vector<std::thread> threads;
  threads.reserve(3);
  for (int i = 0; i < 3; i++) {
    threads.emplace_back([&] {
      while (!done) {
        if (PostRemote(current, 9)) accepted++;
      }
    });
  }
  uint32_t taken = 0;
  for (int life = 0; life < 200; life++) {
    RemoteInbox inbox;
    CHECK(inbox.Open().ok());
    const uint32_t key = RegisterRemote(&inbox);
    current = key;
    Ids ids;
    do {
      inbox.Take(&ids);
      taken += static_cast<uint32_t>(ids.size());
    } while (ids.empty());
    UnregisterRemote(key);
    inbox.Take(&ids);
    taken += static_cast<uint32_t>(ids.size());
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(taken, accepted.load());
}

}  // namespace
}  // namespace ringloop
