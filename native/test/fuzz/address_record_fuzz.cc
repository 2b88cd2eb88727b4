// address_record_fuzz.cc -- any record that JavaScript could write, any address a kernel could
// name.
#include "net/address_record.h"

#include <memory>
#include <string>

#include "base/assert.h"
#include "input.h"

namespace ringloop {
namespace {

bool Same(const Address& one, const Address& other) {
  return one.length == other.length && std::memcmp(&one.storage, &other.storage, one.length) == 0;
}

// What was loaded is an address: it can be stored, and comes back as it was.
void CheckRoundTrip(const Address& address) {
  const auto record = std::make_unique<AddressRecord>();
  StoreAddress(address, record.get());
  Address again;
  RINGLOOP_CHECK(LoadAddress(*record, &again));
  RINGLOOP_CHECK(Same(address, again));
  RINGLOOP_CHECK(AddressText(*record).size() <= sizeof(sockaddr_storage));
}

void FromRecord(fuzz::Input& input) {
  const auto record = std::make_unique<AddressRecord>();
  input.TakeInto(record.get(), sizeof *record);
  if (input.Below(2) == 0) record->family = input.Below(8);
  if (input.Below(2) == 0) record->raw_length = input.Below(130);
  (void)AddressText(*record);
  Address address;
  if (!LoadAddress(*record, &address)) return;
  RINGLOOP_CHECK(address.length <= sizeof address.storage);
  // IPv6 may have been followed by bytes that mean nothing.
  CheckRoundTrip(address);
}

void FromKernel(fuzz::Input& input) {
  Address address;
  address.length = input.Take<uint16_t>();  // a kernel may name more than there was room for
  input.TakeInto(&address.storage, sizeof address.storage);
  const auto record = std::make_unique<AddressRecord>();
  StoreAddress(address, record.get());
  (void)AddressText(*record);
  Address again;
  (void)LoadAddress(*record, &again);
}

void FromText(fuzz::Input& input) {
  const int family = input.Below(2) == 0 ? AF_INET : AF_INET6;
  char bytes[200] = "";
  input.TakeInto(bytes, input.Below(sizeof bytes));
  const std::string text(bytes, sizeof bytes - 1);
  Address address;
  if (address.SetIp(family, text.c_str(), input.Take<uint16_t>())) CheckRoundTrip(address);
  if (address.SetPath(text.data(), input.Below(200))) CheckRoundTrip(address);
}

}  // namespace
}  // namespace ringloop

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ringloop::fuzz::Input input(data, size);
  ringloop::FromRecord(input);
  ringloop::FromKernel(input);
  ringloop::FromText(input);
  return 0;
}
