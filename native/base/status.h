// status.h -- the outcome of a system call: success, or which call failed with which errno.
//
// Facts.      The core is compiled without exceptions; errno is overwritten by the next call.
// Decision.   A two-word value, returned and never ignored, that binding/ turns into a JS Error
//             with `code`, `errno` and `syscall`.
#pragma once

namespace ringloop {

struct [[nodiscard]] Status {
  int error = 0;                  // an errno value; 0 is success
  const char* syscall = nullptr;  // static string, set when error != 0

  bool ok() const { return error == 0; }
  static Status Ok() { return {}; }
  static Status Failed(const char* syscall, int error) { return {error, syscall}; }
};

}  // namespace ringloop
