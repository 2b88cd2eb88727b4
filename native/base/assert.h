// assert.h -- the words for "our bug": stop the process loudly when what must hold does not.
//
// Facts.      A broken invariant means memory that JavaScript also reads is wrong already.
// Decision.   RINGLOOP_ASSERT states an invariant: checked in release builds too, and not even
//             evaluated where RINGLOOP_NO_ASSERT is defined. RINGLOOP_CHECK is for calls that have
//             to be made: always evaluated, always checked. Either prints what was violated, then
//             aborts. Neither is for what JavaScript or the system got wrong.
// Cost.       One predictable branch per check.
// Invariants. The condition of a RINGLOOP_ASSERT changes nothing; the preset `noassert` builds
//             and tests everything without them.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace ringloop {

[[noreturn]] inline void AssertionFailed(const char* what, const char* file, int line) {
  std::fprintf(stderr, "ringloop: internal error: %s (%s:%d); please report it\n", what, file,
               line);
  std::abort();
}

}  // namespace ringloop

#define RINGLOOP_CHECK(condition) \
  ((condition) ? (void)0 : ::ringloop::AssertionFailed(#condition, __FILE__, __LINE__))

#if defined(RINGLOOP_NO_ASSERT)
// In sizeof it is still compiled, so that it stays correct, and not run.
#define RINGLOOP_ASSERT(condition) ((void)sizeof(bool(condition)))
#else
#define RINGLOOP_ASSERT(condition) RINGLOOP_CHECK(condition)
#endif
