// remote_registry.cc -- the table.
#include "loop/remote_registry.h"

#include <mutex>
#include <unordered_map>

namespace ringloop {
namespace {

struct Registry {
  std::mutex mutex;
  std::unordered_map<uint32_t, RemoteInbox*> inboxes;
  uint32_t last_key = 0;
};

// Made on first use and never destroyed: threads may outlive static destructors.
Registry& TheRegistry() {
  static auto* const registry = new Registry;
  return *registry;
}

}  // namespace

uint32_t RegisterRemote(RemoteInbox* inbox) {
  Registry& registry = TheRegistry();
  const std::lock_guard<std::mutex> guard(registry.mutex);
  registry.inboxes.emplace(++registry.last_key, inbox);
  return registry.last_key;
}

void UnregisterRemote(uint32_t key) {
  Registry& registry = TheRegistry();
  const std::lock_guard<std::mutex> guard(registry.mutex);
  registry.inboxes.erase(key);
}

bool PostRemote(uint32_t key, uint32_t id) {
  Registry& registry = TheRegistry();
  const std::lock_guard<std::mutex> guard(registry.mutex);
  const auto found = registry.inboxes.find(key);
  if (found == registry.inboxes.end()) return false;
  found->second->Post(id);
  return true;
}

}  // namespace ringloop
