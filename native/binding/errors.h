// errors.h -- the world's fault: a Status becomes an Error with code, errno and syscall.
#pragma once

#include <napi.h>
#include <uv.h>

#include "base/status.h"

namespace ringloop {

// Node's own shape: "EPERM: operation not permitted, epoll_ctl", errno negative as in libuv.
inline void ThrowStatus(Napi::Env env, const Status& status) {
  const int code = uv_translate_sys_error(status.error);
  const std::string name = uv_err_name(code);
  Napi::Error error =
      Napi::Error::New(env, name + ": " + uv_strerror(code) + ", " + status.syscall);
  error.Set("code", name);
  error.Set("errno", Napi::Number::New(env, code));
  error.Set("syscall", status.syscall);
  error.ThrowAsJavaScriptException();
}

}  // namespace ringloop
