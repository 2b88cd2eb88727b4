// addon.cc -- what require() of the .node file returns. All state is per environment.
#include <napi.h>

#include "binding/layout_binding.h"
#include "binding/loop_binding.h"
#include "binding/net_binding.h"
#include "binding/numbers.h"
#include "binding/require.h"
#include "loop/remote_registry.h"

namespace ringloop {
namespace {

// postRemote(key, id): from any thread of the process.
Napi::Value PostRemoteCall(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::optional<int64_t> key = ToInteger(env, info[0], 0, UINT32_MAX);
  const std::optional<int64_t> id = ToInteger(env, info[1], 0, kReadyPayloadMax);
  RINGLOOP_REQUIRE(env, key && id, "key and id must be small integers");
  return Napi::Boolean::New(
      env, PostRemote(static_cast<uint32_t>(*key), static_cast<uint32_t>(*id)));
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("layout", DescribeLayout(env));
  exports.Set("selector", Selector::kName);
  exports.Set("NativeLoop", LoopBinding::Define(env));
  exports.Set("sockets", DefineSockets(env));
  exports.Set("postRemote", Napi::Function::New(env, PostRemoteCall, "postRemote"));
  return exports;
}

}  // namespace
}  // namespace ringloop

namespace {
Napi::Object InitAddon(Napi::Env env, Napi::Object exports) { return ringloop::Init(env, exports); }
}  // namespace
NODE_API_MODULE(ringloop, InitAddon)
