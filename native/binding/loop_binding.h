// loop_binding.h -- the object JavaScript holds: a Loop, its host, and the memory both sides share.
//
// Facts.      napi_get_typedarray_info costs 140-190 ns, so pointers are taken once, when memory is
//             attached, and a strong reference pins what they point into.
// Decision.   One ObjectWrap per loop, pinned while open. A worker may be terminated at any moment:
//             an async cleanup hook closes the host, then frees.
// Invariants. Memory references outlive the loop's pointers into them.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/host_uv.h"
#include "loop/loop.h"

namespace ringloop {

class LoopBinding : public Napi::ObjectWrap<LoopBinding> {
 public:
  static Napi::Function Define(Napi::Env env);
  // new NativeLoop({header, ready, submissions, dispatch, nowMs})
  explicit LoopBinding(const Napi::CallbackInfo& info);
  ~LoopBinding() override;

 private:
  // The part that libuv may need for a moment longer than JavaScript needs the object.
  struct Core {
    Core(Napi::Env env, const Loop::Memory& memory, int64_t origin_ns)
        : loop(memory, origin_ns), host(env, &loop) {}
    Loop loop;
    HostUv host;
    Napi::Reference<Napi::ArrayBuffer> header;
    Napi::Reference<Napi::ArrayBuffer> ready;
    Napi::Reference<Napi::ArrayBuffer> submissions;
    napi_async_cleanup_hook_handle cleanup = nullptr;
    uint32_t remote_key = 0;
  };

  static void OnEnvironmentCleanup(napi_async_cleanup_hook_handle handle, void* core);
  static void CloseCore(Core* core);

  Napi::Value Turn(const Napi::CallbackInfo& info);
  Napi::Value Submit(const Napi::CallbackInfo& info);
  Napi::Value Wake(const Napi::CallbackInfo& info);
  Napi::Value HostIsAlive(const Napi::CallbackInfo& info);
  Napi::Value Watch(const Napi::CallbackInfo& info);
  Napi::Value AttachReady(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  Napi::Value RemoteKey(const Napi::CallbackInfo& info);

  // Null once closed: every method checks.
  Core* core_ = nullptr;
};

}  // namespace ringloop
