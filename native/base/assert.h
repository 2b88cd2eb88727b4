// assert.h -- the word for "our bug": check an invariant, stop the process loudly when it is false.
//
// Facts.      A broken invariant means memory that JavaScript also reads is wrong already.
// Decision.   Checked in release builds too; prints what was violated, then aborts.
// Cost.       One predictable branch per check.
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

#define RINGLOOP_ASSERT(condition) \
  ((condition) ? (void)0 : ::ringloop::AssertionFailed(#condition, __FILE__, __LINE__))
