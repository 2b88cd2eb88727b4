// addon.cc -- what require() of the .node file returns. All state is per environment.
#include <napi.h>

#include "binding/layout_binding.h"
#include "binding/loop_binding.h"
#include "binding/net_binding.h"
#include "binding/require.h"
#include "loop/remote_registry.h"

namespace ringloop {
namespace {

// postRemote(key, id): from any thread of the process.
Napi::Value PostRemoteCall(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  uint32_t key = 0;
  uint32_t id = 0;
  const bool numbers = napi_get_value_uint32(env, info[0], &key) == napi_ok &&
                       napi_get_value_uint32(env, info[1], &id) == napi_ok;
  RINGLOOP_REQUIRE(env, numbers && id <= kReadyPayloadMax, "key and id must be small integers");
  return Napi::Boolean::New(env, PostRemote(key, id));
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
