// host_uv.cc -- entering, leaving, and being torn down at any moment.
#include "binding/host_uv.h"

#include <utility>

#include "base/assert.h"
#include "binding/errors.h"

namespace ringloop {

Status HostUv::Open(Napi::Object owner, Napi::Function dispatch) {
  uv_loop_t* uv = nullptr;
  RINGLOOP_CHECK(napi_get_uv_event_loop(env_, &uv) == napi_ok);
  const int error = uv_poll_init(uv, &poll_, loop_->fd());
  if (error != 0) return Status::Failed("uv_poll_init", -error);
  RINGLOOP_CHECK(uv_idle_init(uv, &idle_) == 0);
  RINGLOOP_CHECK(uv_check_init(uv, &check_) == 0);
  open_handles_ = 3;
  poll_.data = idle_.data = check_.data = this;
  uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
  StartPoll();
  owner_ = Napi::Persistent(owner);
  dispatch_ = Napi::Persistent(dispatch);
  return Status::Ok();
}

void HostUv::Close(std::function<void()> closed) {
  RINGLOOP_ASSERT(!closing_ && open_handles_ > 0);
  closing_ = true;
  closed_ = std::move(closed);
  if (context_ != nullptr) napi_async_destroy(env_, context_);
  context_ = nullptr;
  owner_.Reset();
  dispatch_.Reset();
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), OnClosed);
  uv_close(reinterpret_cast<uv_handle_t*>(&idle_), OnClosed);
  uv_close(reinterpret_cast<uv_handle_t*>(&check_), OnClosed);
}

void HostUv::OnClosed(uv_handle_t* handle) {
  auto* self = static_cast<HostUv*>(handle->data);
  // Entered: somebody runs libuv from inside a callback of ours, which returns to us.
  if (--self->open_handles_ == 0 && !self->entered_) std::exchange(self->closed_, nullptr)();
}

void HostUv::Wake() {
  if (closing_) return;
  if (entered_) {
    woken_ = true;
  } else {
    StartSoon();
  }
}

void HostUv::OnPoll(uv_poll_t* handle, int, int) { static_cast<HostUv*>(handle->data)->Enter(); }
void HostUv::OnCheck(uv_check_t* handle) { static_cast<HostUv*>(handle->data)->Enter(); }

void HostUv::StartSoon() {
  if (soon_) return;
  soon_ = true;
  RINGLOOP_CHECK(uv_idle_start(&idle_, OnIdle) == 0);
  RINGLOOP_CHECK(uv_check_start(&check_, OnCheck) == 0);
}

void HostUv::StopSoon() {
  if (!soon_) return;
  soon_ = false;
  uv_idle_stop(&idle_);
  uv_check_stop(&check_);
}

void HostUv::StartPoll() {
  if (polling_) return;
  polling_ = true;
  RINGLOOP_CHECK(uv_poll_start(&poll_, UV_READABLE, OnPoll) == 0);
}

void HostUv::StopPoll() {
  if (!polling_) return;
  polling_ = false;
  RINGLOOP_CHECK(uv_poll_stop(&poll_) == 0);
}

void HostUv::Enter() {
  if (closing_ || entered_) return;  // entered_: somebody runs libuv from inside a callback of ours
  entered_ = true;
  int32_t verdict = kIdle;
  do {
    woken_ = false;
    if (!CallDispatch(&verdict)) break;
    if (!closing_ && (verdict & kRenewContext)) RenewContext();
    // Microtasks have run since dispatch() returned; what they queued or changed shows in woken_.
  } while (!closing_ && ((verdict & kDrain) || (!(verdict & kBusy) && woken_)));
  entered_ = false;
  if (closing_) {
    if (open_handles_ == 0) std::exchange(closed_, nullptr)();
    return;
  }
  const Napi::HandleScope scope(env_);
  if (!memory_->Locate(loop_)) {
    StopSoon();
    StopPoll();
    return ThrowUncaught(Napi::TypeError::New(env_, "ringloop: memory of the loop was detached"));
  }
  loop_->header().statistics.wakeups += 1;
  Purge();
  if (verdict & kBusy) {
    StartSoon();
    StopPoll();
  } else {
    SettleDown();
  }
}

bool HostUv::CallDispatch(int32_t* verdict) {
  const Napi::HandleScope scope(env_);
  // Made here, under libuv and not under whatever JavaScript loaded ringloop, so that callbacks
  // start with no AsyncLocalStorage store at all.
  if (context_ == nullptr) RenewContext();
  if (context_ == nullptr) return false;
  napi_value result = nullptr;
  const napi_status status = napi_make_callback(env_, context_, owner_.Value(),
                                                dispatch_.Value(), 0, nullptr, &result);
  if (status == napi_ok && napi_get_value_int32(env_, result, verdict) == napi_ok) return true;
  *verdict = kIdle;
  if (status != napi_pending_exception) return false;
  // dispatch() catches what callbacks throw. What still comes out is meant to end the process (or
  // is our bug): hand it to Node's uncaughtException, then go on with what is queued. Any value can
  // be thrown. Termination throws none, and Node-API refuses the second call then.
  napi_value error = nullptr;
  if (napi_get_and_clear_last_exception(env_, &error) != napi_ok) return false;
  if (napi_fatal_exception(env_, error) != napi_ok) return false;
  *verdict = kBusy;
  return true;
}

// On Node 20 and 22 a callback that calls enterWith() marks the context's resource for ever, so
// dispatch() asks for a new one then.
void HostUv::RenewContext() {
  const Napi::HandleScope scope(env_);
  if (context_ != nullptr) napi_async_destroy(env_, context_);
  context_ = nullptr;
  // Unlike other calls of Node-API, the one below runs JavaScript (async_hooks) in an environment
  // that is being torn down as well, and Node prints "illegal access".
  if (!JavaScriptRuns()) return;
  napi_async_init(env_, nullptr, Napi::String::New(env_, "RINGLOOP"), &context_);
}

// Fails where there is no fd for the moment: the next entry tries again.
void HostUv::Purge() {
  bool purged = false;
  (void)loop_->Purge(&purged);
  if (purged) StopPoll();  // libuv polls what the number stood for before
}

// By a call that Node-API refuses when JavaScript must not run any more, and that runs none itself.
bool HostUv::JavaScriptRuns() const {
  napi_value number = nullptr;
  napi_value result = nullptr;
  return napi_create_int32(env_, 0, &number) == napi_ok &&
         napi_coerce_to_bool(env_, number, &result) == napi_ok;
}

void HostUv::SettleDown() {
  StopSoon();
  StartPoll();
  const bool sane = loop_->ApplySubmissions();
  const Status status = loop_->PrepareToWait();
  auto* poll = reinterpret_cast<uv_handle_t*>(&poll_);
  if (loop_->header().reference_count > 0) {
    uv_ref(poll);
  } else {
    uv_unref(poll);
  }
  if (!status.ok()) return ThrowUncaught(StatusError(env_, status));
  if (!sane) {
    ThrowUncaught(Napi::TypeError::New(env_, "ringloop: the submission ring is damaged"));
  }
}

void HostUv::ThrowUncaught(const Napi::Error& error) {
  (void)napi_fatal_exception(env_, error.Value());
}

}  // namespace ringloop
