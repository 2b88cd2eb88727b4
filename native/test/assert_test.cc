// assert_test.cc -- which of the two words evaluates its condition, in which build.
#include "base/assert.h"

#include "support.h"
#include "testing.h"

namespace ringloop {
namespace {

#if defined(RINGLOOP_NO_ASSERT)
constexpr int kAsserted = 0;
#else
constexpr int kAsserted = 1;
#endif

TEST("a check makes its call in every build, once") {
  int calls = 0;
  RINGLOOP_CHECK(++calls == 1);
  CHECK_EQUAL(calls, 1);
}

TEST("an assertion is evaluated once, or not at all in a build without them") {
  int calls = 0;
  RINGLOOP_ASSERT(++calls > 0);
  CHECK_EQUAL(calls, kAsserted);
}

TEST("a check that fails ends the process in every build, an assertion only where it is built") {
  CHECK(testing::Aborts([] { RINGLOOP_CHECK(false); }));
  CHECK(testing::Aborts([] { RINGLOOP_ASSERT(false); }) == (kAsserted == 1));
}

}  // namespace
}  // namespace ringloop
