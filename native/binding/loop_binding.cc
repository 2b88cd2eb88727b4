// loop_binding.cc -- arguments in, statuses out.
#include "binding/loop_binding.h"

#include <cmath>
#include <string>
#include <utility>

#include "base/assert.h"
#include "binding/errors.h"
#include "binding/require.h"
#include "loop/remote_registry.h"
#include "sys/clock.h"
#include "sys/faults.h"

namespace ringloop {
namespace {

constexpr uint32_t kReadyRecordBytes = sizeof(uint32_t);

bool IsBuffer(const Napi::Value& value, size_t byte_length) {
  return value.IsArrayBuffer() && value.As<Napi::ArrayBuffer>().ByteLength() == byte_length;
}

bool IsReadyBuffer(const Napi::Value& value) {
  if (!value.IsArrayBuffer()) return false;
  const size_t bytes = value.As<Napi::ArrayBuffer>().ByteLength();
  const size_t records = bytes / kReadyRecordBytes;
  return bytes % kReadyRecordBytes == 0 && records >= 2 && (records & (records - 1)) == 0 &&
         records <= kReadyPayloadMax;
}

void* Data(Napi::ArrayBuffer buffer) { return buffer.Data(); }
uint32_t* Records(Napi::ArrayBuffer buffer) { return static_cast<uint32_t*>(buffer.Data()); }

uint32_t Capacity(Napi::ArrayBuffer buffer) {
  return static_cast<uint32_t>(buffer.ByteLength() / kReadyRecordBytes);
}

// What is wrong with the constructor's options, or null.
const char* WrongOption(const Napi::Object& options) {
  if (!IsBuffer(options.Get("header"), sizeof(Header))) return "header has the wrong size";
  if (!IsReadyBuffer(options.Get("ready"))) return "ready ring has the wrong size";
  if (!IsBuffer(options.Get("submissions"), sizeof(Submission) * kSubmissionCapacity)) {
    return "submission ring has the wrong size";
  }
  if (!options.Get("dispatch").IsFunction()) return "dispatch must be a function";
  if (!options.Get("nowMs").IsNumber()) return "nowMs must be a number";
  return nullptr;
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
  const Napi::Object options =
      info[0].IsObject() ? info[0].As<Napi::Object>() : Napi::Object::New(env);
  const char* const wrong = WrongOption(options);
  if (wrong != nullptr) {
    Napi::TypeError::New(env, std::string("ringloop: ") + wrong).ThrowAsJavaScriptException();
    return;
  }
  const auto header = options.Get("header").As<Napi::ArrayBuffer>();
  const auto ready = options.Get("ready").As<Napi::ArrayBuffer>();
  const auto submissions = options.Get("submissions").As<Napi::ArrayBuffer>();
  const Loop::Memory memory{static_cast<Header*>(Data(header)), Records(ready), Capacity(ready),
                            static_cast<Submission*>(Data(submissions))};
  // nowMs was read before our own clock, so our time is never ahead of JavaScript's: no timer is
  // early by the clock that the application sees.
  const double now_ns = options.Get("nowMs").As<Napi::Number>().DoubleValue() * 1e6;
  auto core = std::make_unique<Core>(env, memory, MonotonicNs() - static_cast<int64_t>(now_ns));
  core->header = Napi::Persistent(header);
  core->ready = Napi::Persistent(ready);
  core->submissions = Napi::Persistent(submissions);
  Status status = core->loop.Open();
  if (status.ok()) {
    status = core->host.Open(info.This().As<Napi::Object>(),
                             options.Get("dispatch").As<Napi::Function>());
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
  RINGLOOP_REQUIRE(env, loop.ApplySubmissions(), "the submission ring is damaged");
  const Status status = loop.Turn(std::isnan(now) ? loop.Now() : now);
  if (!status.ok()) ThrowStatus(env, status);
  return env.Undefined();
}

Napi::Value LoopBinding::Submit(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  RINGLOOP_REQUIRE(env, core_ != nullptr, "the loop is closed");
  RINGLOOP_REQUIRE(env, core_->loop.ApplySubmissions(), "the submission ring is damaged");
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
  int32_t fd = -1;
  uint32_t interest = 0;
  const bool numbers = napi_get_value_int32(env, info[0], &fd) == napi_ok &&
                       napi_get_value_uint32(env, info[1], &interest) == napi_ok;
  RINGLOOP_REQUIRE(env, numbers && fd >= 0 && static_cast<uint32_t>(fd) <= kReadyPayloadMax,
                   "fd must be a non-negative integer");
  RINGLOOP_REQUIRE(env, interest <= (kReadable | kWritable) || interest == (kReadable | kEdge),
                   "interest must be 0 to 3, or 5");
  // Calls that pretend to find less than there is would wait for an arrival that has been.
  if (Faults::active()) interest &= ~uint32_t{kEdge};
  const Status status = core_->loop.Watch(fd, static_cast<uint8_t>(interest));
  if (!status.ok()) ThrowStatus(env, status);
  return env.Undefined();
}

Napi::Value LoopBinding::AttachReady(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  RINGLOOP_REQUIRE(env, core_ != nullptr, "the loop is closed");
  RINGLOOP_REQUIRE(env, IsReadyBuffer(info[0]), "ready ring has the wrong size");
  const auto buffer = info[0].As<Napi::ArrayBuffer>();
  core_->ready = Napi::Persistent(buffer);
  core_->loop.AttachReady(Records(buffer), Capacity(buffer));
  return env.Undefined();
}

Napi::Value LoopBinding::RemoteKey(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  RINGLOOP_REQUIRE(env, core_ != nullptr, "the loop is closed");
  if (core_->remote_key == 0) core_->remote_key = RegisterRemote(&core_->loop.inbox());
  return Napi::Number::New(env, core_->remote_key);
}

}  // namespace ringloop
