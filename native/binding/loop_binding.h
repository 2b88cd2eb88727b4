// loop_binding.h -- the object JavaScript holds: a Loop, its host, and the memory both sides share.
//
// Decision.   One ObjectWrap per loop, pinned while open. A worker may be terminated at any moment:
//             an async cleanup hook closes the host, then frees.
// Invariants. Every method asks where the memory is before it uses any (loop_memory.h).
#pragma once

#include <napi.h>

#include <memory>
#include <utility>

#include "binding/host_uv.h"
#include "binding/loop_memory.h"
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
    // `shared` has just been found sound.
    Core(Napi::Env env, LoopMemory shared, int64_t origin_ns)
        : memory(std::move(shared)), loop(memory.Located(), origin_ns), host(env, &loop, &memory) {}
    LoopMemory memory;
    Loop loop;
    HostUv host;
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
