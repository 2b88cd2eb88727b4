// remote_inbox_test.cc -- many threads post, one takes.
#include "loop/remote_inbox.h"

#include <thread>
#include <vector>

#include "support.h"
#include "testing.h"

namespace ringloop {
namespace {

using testing::kSurelyMs;
using testing::Readable;
using Ids = std::vector<uint32_t>;

constexpr uint32_t kThreads = 4;
constexpr uint32_t kPosts = 20'000;  // by each thread

Ids Take(RemoteInbox& inbox) {
  Ids ids;
  inbox.Take(&ids);
  return ids;
}

TEST("an inbox nobody posted to is not readable and gives nothing") {
  RemoteInbox inbox;
  CHECK(inbox.Open().ok());
  CHECK(!Readable(inbox.fd()));
  CHECK_EQUAL(Take(inbox), Ids{});
}

TEST("what was posted comes out once, in posting order") {
  RemoteInbox inbox;
  CHECK(inbox.Open().ok());
  for (const uint32_t id : {3u, 1u, 2u, 1u}) inbox.Post(id);
  CHECK(Readable(inbox.fd()));
  CHECK_EQUAL(Take(inbox), Ids{3, 1, 2, 1});
  CHECK(!Readable(inbox.fd()));
  CHECK_EQUAL(Take(inbox), Ids{});
}

TEST("Take forgets what its vector held before") {
  RemoteInbox inbox;
  CHECK(inbox.Open().ok());
  Ids ids{7, 8, 9};
  inbox.Take(&ids);
  CHECK_EQUAL(ids, Ids{});
  ids = {7, 8, 9};
  inbox.Post(1);
  inbox.Take(&ids);
  CHECK_EQUAL(ids, Ids{1});
}

TEST("Wake makes the fd readable until the next Take, with or without a post") {
  RemoteInbox inbox;
  CHECK(inbox.Open().ok());
  inbox.Wake();
  CHECK(Readable(inbox.fd()));
  CHECK_EQUAL(Take(inbox), Ids{});
  CHECK(!Readable(inbox.fd()));
  inbox.Post(1);
  inbox.Wake();
  CHECK_EQUAL(Take(inbox), Ids{1});
  CHECK(!Readable(inbox.fd()));
}

TEST("what threads post arrives complete, each thread's in its order, without a lost wake-up") {
  RemoteInbox inbox;
  CHECK(inbox.Open().ok());
  std::vector<std::thread> threads;
  for (uint32_t thread = 0; thread < kThreads; thread++) {
    threads.emplace_back([&inbox, thread] {
      for (uint32_t i = 0; i < kPosts; i++) inbox.Post(thread * kPosts + i);
    });
  }
  Ids next(kThreads, 0);
  uint32_t received = 0;
  bool in_order = true;
  // Only ever asks after the fd said so: a wake-up that got lost would run into the time limit.
  while (received < kThreads * kPosts && Readable(inbox.fd(), kSurelyMs)) {
    for (const uint32_t id : Take(inbox)) {
      in_order = in_order && id % kPosts == next[id / kPosts]++;
      received++;
    }
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(received, kThreads * kPosts);
  CHECK(in_order);
  CHECK(!Readable(inbox.fd()));
}

}  // namespace
}  // namespace ringloop
