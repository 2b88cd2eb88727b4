// layout_binding.cc -- offsets as indices into Uint32Array and Float64Array views.
#include "binding/layout_binding.h"

#include "binding/host_uv.h"
#include "ring/layout.h"

namespace ringloop {
namespace {

Napi::Number Index32(Napi::Env env, size_t offset) {
  return Napi::Number::New(env, static_cast<double>(offset / sizeof(uint32_t)));
}

Napi::Number Index64(Napi::Env env, size_t offset) {
  return Napi::Number::New(env, static_cast<double>(offset / sizeof(double)));
}

Napi::Number Count(Napi::Env env, size_t count) {
  return Napi::Number::New(env, static_cast<double>(count));
}

Napi::Object DescribeStatistics(Napi::Env env) {
  Napi::Object names = Napi::Object::New(env);
  const auto add = [&](const char* name, size_t offset) {
    names.Set(name, Index64(env, offsetof(Header, statistics) + offset));
  };
  add("turns", offsetof(Statistics, turns));
  add("polls", offsetof(Statistics, polls));
  add("ioEvents", offsetof(Statistics, io_events));
  add("timersArmed", offsetof(Statistics, timers_armed));
  add("timersCancelled", offsetof(Statistics, timers_cancelled));
  add("timersFired", offsetof(Statistics, timers_fired));
  add("wakeups", offsetof(Statistics, wakeups));
  add("remoteCalls", offsetof(Statistics, remote_calls));
  return names;
}

}  // namespace

Napi::Object DescribeLayout(Napi::Env env) {
  Napi::Object layout = Napi::Object::New(env);
  layout.Set("headerBytes", Count(env, sizeof(Header)));
  layout.Set("readyHead", Index32(env, offsetof(Header, ready_head)));
  layout.Set("readyTail", Index32(env, offsetof(Header, ready_tail)));
  layout.Set("submissionCount", Index32(env, offsetof(Header, submission_count)));
  layout.Set("referenceCount", Index32(env, offsetof(Header, reference_count)));
  layout.Set("nowNs", Index64(env, offsetof(Header, now_ns)));
  layout.Set("nextDeadlineNs", Index64(env, offsetof(Header, next_deadline_ns)));
  layout.Set("statistics", DescribeStatistics(env));
  layout.Set("submissionBytes", Count(env, sizeof(Submission)));
  layout.Set("submissionCapacity", Count(env, kSubmissionCapacity));
  layout.Set("submissionDeadline", Index64(env, offsetof(Submission, deadline_ns)));
  layout.Set("submissionSlot", Index32(env, offsetof(Submission, slot)));
  layout.Set("readyCapacityMin", Count(env, kReadyCapacityMin));
  layout.Set("readyTagBits", Count(env, kReadyTagBits));
  layout.Set("readyPayloadMax", Count(env, kReadyPayloadMax));
  layout.Set("tagTimer", Count(env, kTagTimer));
  layout.Set("tagReadable", Count(env, kTagReadable));
  layout.Set("tagWritable", Count(env, kTagWritable));
  layout.Set("tagRemote", Count(env, kTagRemote));
  layout.Set("tagFirstLocal", Count(env, kTagFirstLocal));
  layout.Set("readable", Count(env, kReadable));
  layout.Set("edge", Count(env, kEdge));
  layout.Set("writable", Count(env, kWritable));
  layout.Set("verdictIdle", Count(env, HostUv::kIdle));
  layout.Set("verdictBusy", Count(env, HostUv::kBusy));
  layout.Set("verdictDrain", Count(env, HostUv::kDrain));
  layout.Set("verdictRenewContext", Count(env, HostUv::kRenewContext));
  return layout;
}

}  // namespace ringloop
