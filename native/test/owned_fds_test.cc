// owned_fds_test.cc -- what is closed at the end, and what is not.
#include "net/owned_fds.h"

#include <errno.h>
#include <fcntl.h>

#include <memory>

#include "base/unique_fd.h"
#include "support.h"
#include "testing.h"

namespace ringloop {
namespace {

using testing::MakePipe;
using testing::Pair;

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST("what is owned at the end is closed, and nothing else") {
  Pair pair = MakePipe();
  const int fd = pair.read_end.get();
  const int high = fcntl(fd, F_DUPFD_CLOEXEC, 900);
  {
    OwnedFds owned;
    CHECK_EQUAL(owned.Add(fd), fd);
    CHECK_EQUAL(owned.Add(high), high);
    CHECK_EQUAL(owned.Add(pair.write_end.get()), pair.write_end.get());
    CHECK(owned.Remove(pair.write_end.get()));
    CHECK(!owned.Remove(pair.write_end.get()));
    CHECK(IsOpen(fd));
  }
  CHECK(!IsOpen(fd));
  CHECK(!IsOpen(high));
  CHECK(IsOpen(pair.write_end.get()));
  pair.read_end = UniqueFd();  // closes a number that nobody has
}

TEST("an errno is passed on, and what was never owned can be removed") {
  OwnedFds owned;
  CHECK_EQUAL(owned.Add(-EMFILE), -EMFILE);
  CHECK(!owned.Remove(-1));
  CHECK(!owned.Remove(INT32_MAX));
}

TEST("the process's standard streams stay open") {
  {
    OwnedFds owned;
    CHECK_EQUAL(owned.Add(STDERR_FILENO), STDERR_FILENO);
  }
  CHECK(IsOpen(STDERR_FILENO));
}

}  // namespace
}  // namespace ringloop
