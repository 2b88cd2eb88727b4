// host_uv.h -- lets a Loop live inside libuv. The only file, with its .cc, that names a uv handle.
//
// Facts.      libuv can wait on the selector's fd (uv_poll_t). A poll handle cannot say "there is
//             work already". uv_idle keeps libuv from blocking; uv_check runs right after the app's
//             own I/O callbacks. Microtasks drain when a callback scope of depth 1 closes.
// Decision.   dispatch() is entered in two ways: the poll handle fires, or work was queued from
//             outside a turn, and then idle (does nothing) and check (enters) are active. What
//             dispatch() returns says how to go on. While it is busy the poll handle is stopped:
//             the kernel would tell libuv's epoll of every packet that reaches ours, 2 to 4 % of an
//             echo server's time, and the next entry looks anyway.
// Cost.       One napi_make_callback per entry, some 130 ns.
// Invariants. I1  dispatch() is never entered from inside JavaScript, nor from inside itself.
//             I2  After Close() no handle fires and no JavaScript is called.
//             I3  Nothing follows ThrowUncaught(): its handlers are JavaScript, and may close.
//
//   uv_poll ----+                         +-- kDrain: close the scope (microtasks), enter again
//               +--> Enter --> dispatch --+-- kBusy:  idle + check, no poll: libuv serves the app
//   uv_check ---+                         +-- kIdle:  arm the timerfd and let libuv wait
#pragma once

#include <napi.h>
#include <uv.h>

#include <functional>

#include "binding/loop_memory.h"
#include "loop/loop.h"

namespace ringloop {

class HostUv {
 public:
  // What dispatch() returns.
  enum Verdict : int32_t { kIdle = 0, kBusy = 1, kDrain = 2, kRenewContext = 4 };

  HostUv(Napi::Env env, Loop* loop, const LoopMemory* memory)
      : env_(env), loop_(loop), memory_(memory) {}
  HostUv(const HostUv&) = delete;
  HostUv& operator=(const HostUv&) = delete;

  Status Open(Napi::Object owner, Napi::Function dispatch);
  // Work was queued outside a turn, or something changed that waiting depends on.
  void Wake();
  // Stops everything at once; `closed` runs when libuv has let go of the handles.
  void Close(std::function<void()> closed);
  bool closing() const { return closing_; }
  // Whether libuv has anything left that keeps it going.
  bool alive() const { return uv_loop_alive(poll_.loop) != 0; }

 private:
  static void OnPoll(uv_poll_t* handle, int status, int events);
  static void OnIdle(uv_idle_t*) {}
  static void OnCheck(uv_check_t* handle);
  static void OnClosed(uv_handle_t* handle);

  void Enter();
  // False: JavaScript cannot run any more (the worker is being terminated).
  bool CallDispatch(int32_t* verdict);
  // Leaves none where JavaScript cannot run any more.
  void RenewContext();
  bool JavaScriptRuns() const;
  void StartSoon();
  void StopSoon();
  void StartPoll();
  void StopPoll();
  void Purge();
  void SettleDown();
  // Nobody called who could be told.
  void ThrowUncaught(const Napi::Error& error);

  Napi::Env env_;
  Loop* loop_;
  const LoopMemory* memory_;
  Napi::ObjectReference owner_;
  Napi::FunctionReference dispatch_;
  napi_async_context context_ = nullptr;
  uv_poll_t poll_;
  uv_idle_t idle_;
  uv_check_t check_;
  std::function<void()> closed_;
  int open_handles_ = 0;
  bool entered_ = false;
  bool woken_ = false;
  bool soon_ = false;
  bool polling_ = false;
  bool closing_ = false;
};

}  // namespace ringloop
