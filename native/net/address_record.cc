// address_record.cc -- copies, with their bounds.
#include "net/address_record.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include <algorithm>

namespace ringloop {
namespace {

constexpr size_t kFamilyEnd = offsetof(sockaddr_storage, ss_family) + sizeof(sa_family_t);
constexpr size_t kPathStart = offsetof(sockaddr_un, sun_path);

bool FitsFamily(uint32_t family, const Address& address) {
  if (family == 6) return address.family() == AF_INET6 && address.length >= sizeof(sockaddr_in6);
  return family == 1 && address.family() == AF_UNIX;
}

}  // namespace

void StoreAddress(const Address& address, AddressRecord* record) {
  record->family = record->port = record->ipv4 = record->raw_length = 0;
  if (address.length < kFamilyEnd) return;
  switch (address.family()) {
    case AF_INET:
      record->family = 4;
      record->port = address.Port();
      record->ipv4 = ntohl(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_addr.s_addr);
      return;
    case AF_INET6: record->family = 6; break;
    case AF_UNIX: record->family = 1; break;
    default: return;
  }
  const size_t length = std::min<size_t>(address.length, sizeof address.storage);
  record->port = address.Port();
  record->raw_length = static_cast<uint32_t>(length);
  memcpy(record->raw, &address.storage, length);
}

bool LoadAddress(const AddressRecord& record, Address* address) {
  const uint32_t family = record.family;
  const uint32_t port = record.port;
  const uint32_t length = record.raw_length;
  address->storage = {};
  address->length = 0;
  if (family == 4) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address->storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port));
    v4->sin_addr.s_addr = htonl(record.ipv4);
    address->length = sizeof(sockaddr_in);
    return port <= 65535;
  }
  if (length < kFamilyEnd || length > sizeof address->storage) return false;
  memcpy(&address->storage, record.raw, length);
  address->length = length;
  return FitsFamily(family, *address);
}

std::string AddressText(const AddressRecord& record) {
  Address address;
  if (!LoadAddress(record, &address)) return "";
  char text[INET6_ADDRSTRLEN] = "";
  if (address.family() == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
    return inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
  }
  if (address.family() == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    std::string result = inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    if (v6->sin6_scope_id == 0) return result;
    result += '%';
    return result += std::to_string(v6->sin6_scope_id);
  }
  if (address.length <= kPathStart) return "";
  const char* const path = reinterpret_cast<const char*>(&address.storage) + kPathStart;
  const size_t length = address.length - kPathStart;
  return std::string(path, path[0] == '\0' ? length : strnlen(path, length));
}

}  // namespace ringloop
