// errors.h -- the world's fault: a Status becomes an Error with code, errno and syscall.
#pragma once

#include <napi.h>
#include <uv.h>

#include "base/status.h"

namespace ringloop {

// Node's own shape: "EPERM: operation not permitted, epoll_ctl", errno negative as in libuv.
// Defined and not set: setters of a prototype are somebody else's code.
inline Napi::Error StatusError(Napi::Env env, const Status& status) {
  const int code = uv_translate_sys_error(status.error);
  const std::string name = uv_err_name(code);
  Napi::Error error =
      Napi::Error::New(env, name + ": " + uv_strerror(code) + ", " + status.syscall);
  constexpr auto kPlain = napi_default_jsproperty;
  error.Value().DefineProperties({
      Napi::PropertyDescriptor::Value("code", Napi::String::New(env, name), kPlain),
      Napi::PropertyDescriptor::Value("errno", Napi::Number::New(env, code), kPlain),
      Napi::PropertyDescriptor::Value("syscall", Napi::String::New(env, status.syscall), kPlain),
  });
  return error;
}

inline void ThrowStatus(Napi::Env env, const Status& status) {
  StatusError(env, status).ThrowAsJavaScriptException();
}

}  // namespace ringloop
