// require.h -- the caller's bug: checks an argument on line one of a JS-callable function.
//
// Facts.      JavaScript validates shapes and says what was passed; these checks are the second
//             line, for a broken or hostile caller of the raw addon.
// Decision.   A failed check throws a TypeError and returns undefined. C++ exceptions are off.
#pragma once

#include <napi.h>

#define RINGLOOP_REQUIRE(env, condition, message)                              \
  do {                                                                         \
    if (!(condition)) {                                                        \
      Napi::TypeError::New(env, "ringloop: " message).ThrowAsJavaScriptException(); \
      return env.Undefined();                                                  \
    }                                                                          \
  } while (0)
