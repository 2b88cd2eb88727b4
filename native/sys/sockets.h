// sockets.h -- every system call on a socket or a pipe, and what its errno means.
//
// Facts.      Each of these calls can be interrupted, can do less than it was asked for, and can
//             fail in ways its caller never sees on a quiet machine.
// Decision.   One thin function per call. EINTR is dealt with here and seen by nobody. The result
//             is a count or a negative errno, so that it crosses into JavaScript as one number.
//             Fault injection (faults.h) sits here and nowhere else. Write() and SendFile() to
//             somebody who has gone raise SIGPIPE, for which there is no flag: Node ignores it.
// Cost.       One predictable branch per call.
// Invariants. Fds that are made here are non-blocking and closed on exec. No call moves more than
//             1 GiB, nor more than kPartsMax parts.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace ringloop {

// A count, or a negative errno.
using IoResult = int64_t;

// An address of any family that is supported, as the kernel takes it.
struct Address {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }

  // False: `text` is no address of that family. IPv6 may end in %scope, a name or a number.
  bool SetIp(int family, const char* text, uint16_t port);
  // False: too long, or no path. On Linux a leading zero byte names an abstract socket, and
  // nothing at all lets bind() choose one.
  bool SetPath(const char* path, size_t length);
  uint16_t Port() const;
};

// Options that callers may set, by number, so that no string crosses.
enum class SocketOption : uint32_t {
  kReuseAddress,
  kReusePort,
  kKeepAlive,
  kNoDelay,
  kIpv6Only,
  kBroadcast,
  kMulticastTtl,
  kMulticastLoopback,
  kReceiveBuffer,
  kSendBuffer,
  kLinger,  // seconds; 0: close() resets the connection; negative: off
  kTtl,
  kCount,
};

IoResult OpenSocket(int family, int type);
// Both ends, for tests and for wake-ups.
IoResult OpenSocketPair(int family, int type, int fds[2]);
IoResult SetSocketOption(int fd, SocketOption option, int family, int value);
// -ENODEV: there is no such interface. IPv4 names it by its address.
IoResult SetMembership(int fd, bool join, const Address& group, const char* interface_text);
IoResult SetMulticastInterface(int fd, int family, const char* interface_text);
IoResult Bind(int fd, const Address& address);
IoResult Listen(int fd, int backlog);
// -EINPROGRESS: ask SocketError() when the fd has become writable.
IoResult Connect(int fd, const Address& address);
// The error that is pending on a socket: zero, or a negative errno.
IoResult SocketError(int fd);
IoResult Accept(int fd, Address* peer);
IoResult LocalName(int fd, Address* address);
IoResult PeerName(int fd, Address* address);
IoResult Shutdown(int fd, int how);
IoResult CloseFd(int fd);
// Makes a foreign fd non-blocking.
IoResult SetNonBlocking(int fd);
// S_IFMT of the fd's mode.
IoResult FileType(int fd);

// Of one SendVector() or WriteVector(): IOV_MAX where it matters.
inline constexpr size_t kPartsMax = 1024;

IoResult Receive(int fd, void* data, size_t size);
IoResult Send(int fd, const void* data, size_t size);
IoResult SendVector(int fd, const iovec* parts, size_t count);
// For pipes and other fds that are no sockets.
IoResult Read(int fd, void* data, size_t size);
IoResult Write(int fd, const void* data, size_t size);
IoResult WriteVector(int fd, const iovec* parts, size_t count);
// From `offset` of the file; its position stays where it is.
IoResult SendFile(int out_fd, int in_fd, int64_t offset, size_t count);

// One datagram: where it is, how long, from or to whom.
struct Datagram {
  iovec data{};
  Address* address = nullptr;  // null: nobody asks, or the socket is connected
  bool truncated = false;      // set by ReceiveBatch
  int error = 0;               // set by SendBatch: why it was not sent
};
inline constexpr size_t kDatagramBatch = 32;

// Of both, `count` is at most kDatagramBatch, or is taken for it.
// How many were received, at least one; or a negative errno.
IoResult ReceiveBatch(int fd, Datagram* datagrams, size_t count);
// How many were sent or failed, each with its own `error`; the kernel has no room for the rest.
// `segmented`: neighbours of the same length for the same address may cross the kernel as one.
IoResult SendBatch(int fd, Datagram* datagrams, size_t count, bool segmented = false);
// Whether the fd is of UDP, and the kernel can cut what it sends into datagrams.
bool CanSegment(int fd);

}  // namespace ringloop
