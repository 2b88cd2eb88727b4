// address_record_test.cc -- what JavaScript may find, and what it may have written.
#include "net/address_record.h"

#include <netinet/in.h>
#include <sys/un.h>

#include <random>
#include <string>

#include "testing.h"

namespace ringloop {
namespace {

AddressRecord Stored(const Address& address) {
  AddressRecord record;
  memset(&record, 0xAB, sizeof record);
  StoreAddress(address, &record);
  return record;
}

Address Ip(int family, const char* text, uint16_t port) {
  Address address;
  CHECK(address.SetIp(family, text, port));
  return address;
}

// Stored and loaded again.
void CheckRoundTrip(const Address& address) {
  Address loaded;
  CHECK(LoadAddress(Stored(address), &loaded));
  CHECK_EQUAL(loaded.length, address.length);
  CHECK(memcmp(&loaded.storage, &address.storage, address.length) == 0);
}

TEST("addresses come back as they were") {
  CheckRoundTrip(Ip(AF_INET, "255.254.253.252", 65535));
  CheckRoundTrip(Ip(AF_INET, "0.0.0.0", 0));
  CheckRoundTrip(Ip(AF_INET6, "2001:db8::1", 80));
  CheckRoundTrip(Ip(AF_INET6, "fe80::1%9", 80));
  Address path;
  const std::string longest(sizeof(sockaddr_un::sun_path) - 1, 'x');
  CHECK(path.SetPath(longest.data(), longest.size()));
  CheckRoundTrip(path);
  CHECK(AddressText(Stored(path)) == longest);
}

TEST("IPv4 crosses as numbers, others with their port beside the bytes") {
  const AddressRecord v4 = Stored(Ip(AF_INET, "192.0.2.1", 8080));
  CHECK_EQUAL(v4.family, 4);
  CHECK_EQUAL(v4.ipv4, 0xC0000201u);
  CHECK_EQUAL(v4.port, 8080);
  const AddressRecord v6 = Stored(Ip(AF_INET6, "::1", 8080));
  CHECK_EQUAL(v6.family, 6);
  CHECK_EQUAL(v6.raw_length, sizeof(sockaddr_in6));
  CHECK_EQUAL(v6.port, 8080);
}

TEST("the text of an address is the one it was made of") {
  CHECK(AddressText(Stored(Ip(AF_INET, "192.0.2.1", 1))) == "192.0.2.1");
  CHECK(AddressText(Stored(Ip(AF_INET6, "2001:db8::1", 1))) == "2001:db8::1");
  CHECK(AddressText(Stored(Ip(AF_INET6, "fe80::1%9", 1))) == "fe80::1%9");
  const std::string abstract("\0a\0b", 4);
  Address address;
  if (!address.SetPath(abstract.data(), abstract.size())) return;
  CheckRoundTrip(address);
  CHECK(AddressText(Stored(address)) == abstract);
}

TEST("what has no name, or a family that is not supported, is none") {
  Address address;
  address.length = 0;
  CHECK_EQUAL(Stored(address).family, 0);
  address.length = 1;
  CHECK_EQUAL(Stored(address).family, 0);
  address.length = 16;
  address.storage.ss_family = 255;
  CHECK_EQUAL(Stored(address).family, 0);
  CHECK(AddressText(Stored(address)) == "");
  address.storage.ss_family = AF_UNIX;
  address.length = offsetof(sockaddr_un, sun_path);
  CHECK_EQUAL(Stored(address).family, 1);
  CHECK(AddressText(Stored(address)) == "");
}

TEST("an address that is longer than the kernel had room for is cut") {
  Address address;
  address.storage.ss_family = AF_UNIX;
  memset(reinterpret_cast<char*>(&address.storage) + offsetof(sockaddr_un, sun_path), 'x',
         sizeof address.storage - offsetof(sockaddr_un, sun_path));
  address.length = 100'000;
  const AddressRecord record = Stored(address);
  CHECK_EQUAL(record.raw_length, sizeof(sockaddr_storage));
  CHECK_EQUAL(AddressText(record).size(),
              sizeof(sockaddr_storage) - offsetof(sockaddr_un, sun_path));
}

TEST("a record that lies is refused") {
  Address address;
  AddressRecord record = Stored(Ip(AF_INET, "192.0.2.1", 1));
  record.port = 65536;
  CHECK(!LoadAddress(record, &address));
  for (const uint32_t length : {0u, 1u, 2u, 27u, 129u, 65536u, 0x80000000u, 0xFFFFFFFFu}) {
    record = Stored(Ip(AF_INET6, "::1", 1));
    record.raw_length = length;
    CHECK(!LoadAddress(record, &address));
    CHECK(AddressText(record) == "");
  }
  for (const uint32_t family : {0u, 1u, 2u, 5u, 10u, 0xFFFFFFFFu}) {
    record = Stored(Ip(AF_INET6, "::1", 1));
    record.family = family;
    CHECK(!LoadAddress(record, &address));
  }
  record.family = 6;
  memset(record.raw, 0, sizeof record.raw);
  CHECK(!LoadAddress(record, &address));
}

TEST("no record leads out of bounds") {
  std::mt19937 engine(42);
  const auto random = [&engine] { return static_cast<uint32_t>(engine()); };
  for (int i = 0; i < 200'000; i++) {
    AddressRecord record;
    for (uint8_t& byte : record.raw) byte = static_cast<uint8_t>(random());
    record.family = random() % 8;
    record.port = random() % 2 ? random() : random() % 65536;
    record.ipv4 = random();
    record.raw_length = random() % 2 ? random() : random() % 140;
    const sa_family_t families[] = {AF_INET, AF_INET6, AF_UNIX};
    if (random() % 4 != 0) {
      memcpy(record.raw + offsetof(sockaddr_storage, ss_family), &families[random() % 3],
             sizeof(sa_family_t));
    }
    Address address;
    const bool valid = LoadAddress(record, &address);
    CHECK(address.length <= sizeof address.storage);
    CHECK(AddressText(record).size() < (valid ? sizeof address.storage : 1));
  }
}

}  // namespace
}  // namespace ringloop
