// io_watchers_test.cc -- what the selector hears when the wanted interest changes.
#include "loop/io_watchers.h"

#include <errno.h>

#include <map>

#include "support.h"
#include "testing.h"

namespace ringloop {
namespace {

using testing::MakePipe;
using testing::MakeSocketPair;
using testing::Pair;
using Ready = std::map<int, int>;

struct Fixture {
  Fixture() { RINGLOOP_CHECK(selector.Open().ok()); }

  Ready Select() {
    SelectorEvent events[16];
    uint32_t count = 0;
    CHECK(selector.Wait(events, 16, 0, &count).ok());
    Ready ready;
    for (uint32_t i = 0; i < count; i++) ready[events[i].fd] = events[i].ready;
    return ready;
  }

  Selector selector;
  IoWatchers watchers{&selector};
};

TEST("an fd is watched in exactly the directions that were set last") {
  Fixture fixture;
  const Pair pair = MakeSocketPair();
  const int fd = pair.read_end.get();
  pair.Write();
  CHECK(fixture.watchers.Set(fd, kReadable).ok());
  CHECK_EQUAL(fixture.Select(), Ready{{fd, kReadable}});
  CHECK(fixture.watchers.Set(fd, kReadable | kWritable).ok());
  CHECK_EQUAL(fixture.Select(), Ready{{fd, kReadable | kWritable}});
  CHECK(fixture.watchers.Set(fd, kWritable).ok());
  CHECK_EQUAL(fixture.Select(), Ready{{fd, kWritable}});
  CHECK(fixture.watchers.Set(fd, kNone).ok());
  CHECK_EQUAL(fixture.Select(), Ready{});
}

TEST("the count is of fds, not of directions") {
  Fixture fixture;
  const Pair pair = MakeSocketPair();
  CHECK_EQUAL(fixture.watchers.count(), 0);
  CHECK(fixture.watchers.Set(pair.read_end.get(), kReadable | kWritable).ok());
  CHECK_EQUAL(fixture.watchers.count(), 1);
  CHECK(fixture.watchers.Set(pair.read_end.get(), kReadable).ok());
  CHECK(fixture.watchers.Set(pair.write_end.get(), kWritable).ok());
  CHECK_EQUAL(fixture.watchers.count(), 2);
  CHECK(fixture.watchers.Set(pair.read_end.get(), kNone).ok());
  CHECK(fixture.watchers.Set(pair.read_end.get(), kNone).ok());
  CHECK_EQUAL(fixture.watchers.count(), 1);
}

TEST("forgetting an fd that was never watched is no error, even if it is not open") {
  Fixture fixture;
  CHECK(fixture.watchers.Set(100'000, kNone).ok());
  CHECK_EQUAL(fixture.watchers.count(), 0);
}

TEST("an fd that is not open cannot be watched, and is not counted") {
  Fixture fixture;
  Pair pair = MakePipe();
  const int fd = pair.read_end.get();
  pair.read_end.Reset();
  CHECK_EQUAL(fixture.watchers.Set(fd, kReadable).error, EBADF);
  CHECK_EQUAL(fixture.watchers.count(), 0);
}

TEST("an fd that was closed while watched is forgotten quietly") {
  Fixture fixture;
  Pair pair = MakePipe();
  const int fd = pair.read_end.get();
  CHECK(fixture.watchers.Set(fd, kReadable).ok());
  pair.read_end.Reset();
  CHECK(fixture.watchers.Set(fd, kNone).ok());
  CHECK_EQUAL(fixture.watchers.count(), 0);
}

TEST("setting the same interest again reaches a new file behind an old number") {
  Fixture fixture;
  Pair old = MakePipe();
  const Pair fresh = MakePipe();
  const int fd = old.read_end.get();
  CHECK(fixture.watchers.Set(fd, kReadable).ok());
  CHECK_EQUAL(dup2(fresh.read_end.get(), fd), fd);
  fresh.Write();
  CHECK(fixture.watchers.Set(fd, kReadable).ok());
  CHECK_EQUAL(fixture.Select(), Ready{{fd, kReadable}});
  CHECK_EQUAL(fixture.watchers.count(), 1);
}

TEST("a change that fails leaves the interest and the count as they were") {
  Fixture fixture;
  Pair pair = MakePipe();
  const int fd = pair.read_end.get();
  CHECK(fixture.watchers.Set(fd, kReadable).ok());
  const UniqueFd kept(dup(fd));  // the kernel still watches the pipe's end through this
  pair.read_end.Reset();
  CHECK_EQUAL(fixture.watchers.Set(fd, kReadable | kWritable).error, EBADF);
  CHECK_EQUAL(fixture.watchers.count(), 1);
  CHECK_EQUAL(dup2(kept.get(), fd), fd);
  pair.read_end = UniqueFd(fd);
  CHECK(fixture.watchers.Set(fd, kReadable).ok());
  pair.Write();
  CHECK_EQUAL(fixture.Select(), Ready{{fd, kReadable}});
}

TEST("an interest that does not exist and a negative fd end the process") {
  CHECK(testing::Stopped([] { (void)Fixture().watchers.Set(0, kEdge); }));
  CHECK(testing::Stopped([] { (void)Fixture().watchers.Set(0, kWritable | kEdge); }));
  CHECK(testing::Stopped([] { (void)Fixture().watchers.Set(0, 8); }));
  CHECK(testing::Stopped([] { (void)Fixture().watchers.Set(-1, kReadable); }));
}

}  // namespace
}  // namespace ringloop
