// loop_binding.cc -- arguments in, statuses out.
#include "binding/loop_binding.h"

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "base/assert.h"
#include "binding/errors.h"
#include "binding/numbers.h"
#include "binding/require.h"
#include "loop/remote_registry.h"
#include "sys/clock.h"
#include "sys/faults.h"

namespace ringloop {
namespace {

// A loop's time is a double of nanoseconds, exact for less than this; far from where int64 ends.
constexpr double kNowMsMax = 1e12;

// Always false, so that it can be returned.
bool Refuse(napi_env env, const char* what) {
  (void)napi_throw_type_error(env, nullptr, (std::string("ringloop: ") + what).c_str());
  return false;
}

struct Options {
  explicit Options(napi_env env) : memory(env) {}
  LoopMemory memory;
  napi_value dispatch = nullptr;
  double now_ms = NAN;
};

// False: an error waits. Getters may do anything, so that all of them have run before anything is
// looked at.
bool ReadOptions(napi_env env, const Napi::Value& object, Options* options) {
  if (!object.IsObject()) return Refuse(env, "options must be an object");
  napi_value header, ready, submissions, now_ms;
  const auto get = [&](const char* name, napi_value* value) {
    return napi_get_named_property(env, object, name, value) == napi_ok;
  };
  const bool got = get("header", &header) && get("ready", &ready) &&
                   get("submissions", &submissions) && get("dispatch", &options->dispatch) &&
                   get("nowMs", &now_ms);
  if (!got) return false;
  const char* const wrong = options->memory.Hold(header, ready, submissions);
  if (wrong != nullptr) return Refuse(env, wrong);
  napi_valuetype type = napi_undefined;
  if (napi_typeof(env, options->dispatch, &type) != napi_ok || type != napi_function) {
    return Refuse(env, "dispatch must be a function");
  }
  const bool is_number = napi_get_value_double(env, now_ms, &options->now_ms) == napi_ok;
  if (is_number && options->now_ms >= 0 && options->now_ms <= kNowMsMax) return true;
  return Refuse(env, "nowMs must be a number of milliseconds, 0 to 1e12");
}

}  // namespace

Napi::Function LoopBinding::Define(Napi::Env env) {
  return DefineClass(env, "NativeLoop",
                     {
                         InstanceMethod("turn", &LoopBinding::Turn),
                         InstanceMethod("submit", &LoopBinding::Submit),
                         InstanceMethod("wake", &LoopBinding::Wake),
                         InstanceMethod("hostIsAlive", &LoopBinding::HostIsAlive),
                         InstanceMethod("watch", &LoopBinding::Watch),
                         InstanceMethod("attachReady", &LoopBinding::AttachReady),
                         InstanceMethod("remoteKey", &LoopBinding::RemoteKey),
                         InstanceMethod("close", &LoopBinding::Close),
                     });
}

LoopBinding::LoopBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<LoopBinding>(info) {
  const Napi::Env env = info.Env();
  Options options(env);
  if (!ReadOptions(env, info[0], &options)) return;
  // nowMs was read before our own clock, so our time is never ahead of JavaScript's: no timer is
  // early by the clock that the application sees.
  const int64_t origin_ns = MonotonicNs() - static_cast<int64_t>(options.now_ms * 1e6);
  auto core = std::make_unique<Core>(env, std::move(options.memory), origin_ns);
  Status status = core->loop.Open();
  if (status.ok()) {
    status = core->host.Open(info.This().As<Napi::Object>(),
                             Napi::Function(env, options.dispatch));
  }
  if (!status.ok()) {
    ThrowStatus(env, status);
    return;
  }
  core_ = core.release();
  RINGLOOP_CHECK(napi_add_async_cleanup_hook(env, OnEnvironmentCleanup, core_, &core_->cleanup) ==
                 napi_ok);
}

// Reached by garbage collection only after Close(), or at the end of the environment, whose
// cleanup hook owns the core.
LoopBinding::~LoopBinding() = default;

void LoopBinding::OnEnvironmentCleanup(napi_async_cleanup_hook_handle, void* data) {
  auto* core = static_cast<Core*>(data);
  if (!core->host.closing()) CloseCore(core);
}

void LoopBinding::CloseCore(Core* core) {
  if (core->remote_key != 0) UnregisterRemote(core->remote_key);
  core->host.Close([core] {
    const napi_async_cleanup_hook_handle cleanup = core->cleanup;
    delete core;
    if (cleanup != nullptr) napi_remove_async_cleanup_hook(cleanup);
  });
  // libuv has stopped polling the fd, and needs its handles only for a moment longer.
  core->loop.Close();
}

Napi::Value LoopBinding::Close(const Napi::CallbackInfo& info) {
  if (core_ != nullptr) CloseCore(std::exchange(core_, nullptr));
  return info.Env().Undefined();
}

Napi::Value LoopBinding::Turn(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  RINGLOOP_REQUIRE(env, core_ != nullptr, "the loop is closed");
  double now = NAN;
  RINGLOOP_REQUIRE(env, napi_get_value_double(env, info[0], &now) == napi_ok,
                   "turn() takes the time in nanoseconds, NaN for the clock's");
  Loop& loop = core_->loop;
  RINGLOOP_REQUIRE(env, core_->memory.Locate(&loop), "memory of the loop was detached or resized");
  RINGLOOP_REQUIRE(env, loop.ApplySubmissions(), "the submission ring is damaged");
  RINGLOOP_REQUIRE(env, loop.RingHolds(), "the ready ring is damaged");
  const Status status = loop.Turn(std::isnan(now) ? loop.Now() : now);
  if (!status.ok()) ThrowStatus(env, status);
  return env.Undefined();
}

Napi::Value LoopBinding::Submit(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  RINGLOOP_REQUIRE(env, core_ != nullptr, "the loop is closed");
  Loop& loop = core_->loop;
  RINGLOOP_REQUIRE(env, core_->memory.Locate(&loop), "memory of the loop was detached or resized");
  RINGLOOP_REQUIRE(env, loop.ApplySubmissions(), "the submission ring is damaged");
  return env.Undefined();
}

Napi::Value LoopBinding::Wake(const Napi::CallbackInfo& info) {
  if (core_ != nullptr) core_->host.Wake();
  return info.Env().Undefined();
}

Napi::Value LoopBinding::HostIsAlive(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  RINGLOOP_REQUIRE(env, core_ != nullptr, "the loop is closed");
  return Napi::Boolean::New(env, core_->host.alive());
}

Napi::Value LoopBinding::Watch(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  RINGLOOP_REQUIRE(env, core_ != nullptr, "the loop is closed");
  const std::optional<int64_t> fd = ToInteger(env, info[0], 0, kReadyPayloadMax);
  const std::optional<int64_t> bits = ToInteger(env, info[1], 0, kReadable | kWritable | kEdge);
  RINGLOOP_REQUIRE(env, fd, "fd must be a non-negative integer");
  RINGLOOP_REQUIRE(env, bits && (*bits <= (kReadable | kWritable) || *bits == (kReadable | kEdge)),
                   "interest must be 0 to 3, or 5");
  auto interest = static_cast<uint8_t>(*bits);
  // Calls that pretend to find less than there is would wait for an arrival that has been.
  if (Faults::active()) interest &= static_cast<uint8_t>(~kEdge);
  const Status status = core_->loop.Watch(static_cast<int>(*fd), interest);
  if (!status.ok()) ThrowStatus(env, status);
  return env.Undefined();
}

Napi::Value LoopBinding::AttachReady(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  RINGLOOP_REQUIRE(env, core_ != nullptr, "the loop is closed");
  const char* const wrong = core_->memory.HoldReady(info[0]);
  if (wrong != nullptr) Refuse(env, wrong);
  return env.Undefined();
}

Napi::Value LoopBinding::RemoteKey(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  RINGLOOP_REQUIRE(env, core_ != nullptr, "the loop is closed");
  if (core_->remote_key == 0) core_->remote_key = RegisterRemote(&core_->loop.inbox());
  return Napi::Number::New(env, core_->remote_key);
}

}  // namespace ringloop
