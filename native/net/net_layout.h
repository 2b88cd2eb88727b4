// net_layout.h -- the memory that JavaScript and C++ share for sockets: one slab for each thread.
//
// Facts.      napi_get_typedarray_info costs 140-190 ns, a copy of 1 KiB some 30. First-touch page
//             faults are dear, so the same memory is used again for every read. The kernel copies
//             into memory that begins in the middle of a cache line at two thirds of the speed, and
//             an ArrayBuffer begins wherever malloc() likes.
// Decision.   Reads land at the start of the slab, and are handed out from there. Small writes are
//             copied behind it. Numbers that do not fit into a result go through the address page.
//             A slab begins at the first cache line of its ArrayBuffer.
//             JavaScript reads every offset from the addon (binding/net_binding.cc).
//
//   0                     kReceiveBytes            kReceiveBytes + kSendBytes
//   +---------------------+------------------------+----------------------+
//   | what was received   | what is to be sent     | AddressRecord        |
//   +---------------------+------------------------+----------------------+
//
//   A slab for datagrams, made when the first endpoint is. What is received has a place of 64 KiB
//   each, what is to be sent stands without gaps:
//   +---------------+--...--+-----------------+-------------------+-----------------+
//   | datagram 0    |       | records of what | what is to be     | records of what |
//   |               |       | was received    | sent              | is to be sent   |
//   +---------------+--...--+-----------------+-------------------+-----------------+
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "sys/sockets.h"

namespace ringloop {

// What an ArrayBuffer has to be larger than its slab.
inline constexpr size_t kSlabAlignment = 64;

inline constexpr size_t kReceiveBytes = 256 * 1024;
inline constexpr size_t kSendBytes = 64 * 1024;

// IPv4 crosses as numbers. Any other family crosses as the kernel's own bytes.
struct AddressRecord {
  uint32_t family;  // 4, 6, 1 (unix); 0: none
  uint32_t port;
  uint32_t ipv4;  // host order
  uint32_t raw_length;
  uint8_t raw[128];
};
static_assert(std::is_standard_layout_v<AddressRecord>);
static_assert(sizeof(AddressRecord::raw) >= sizeof(sockaddr_storage));

inline constexpr size_t kAddressOffset = kReceiveBytes + kSendBytes;
inline constexpr size_t kSlabBytes = kAddressOffset + sizeof(AddressRecord);

struct DatagramRecord {
  uint32_t length;
  uint32_t outcome;  // received: 1 if it did not fit; sent: 0 or the errno
  AddressRecord address;
};

inline constexpr size_t kDatagramBytes = 64 * 1024;
inline constexpr size_t kDatagramRecordsOffset = kDatagramBatch * kDatagramBytes;
inline constexpr size_t kDatagramSendOffset =
    kDatagramRecordsOffset + kDatagramBatch * sizeof(DatagramRecord);
inline constexpr size_t kDatagramSendBytes = 128 * 1024;
inline constexpr size_t kDatagramSendRecordsOffset = kDatagramSendOffset + kDatagramSendBytes;
inline constexpr size_t kDatagramSlabBytes =
    kDatagramSendRecordsOffset + kDatagramBatch * sizeof(DatagramRecord);

}  // namespace ringloop
