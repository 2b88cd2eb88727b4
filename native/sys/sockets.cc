// sockets.cc -- Linux's calls where it has better ones, POSIX's elsewhere.
#include "sys/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/sendfile.h>
#endif

#include <algorithm>
#include <string>

#include "sys/faults.h"

namespace ringloop {
namespace {

#if defined(MSG_NOSIGNAL)
constexpr int kNoSignal = MSG_NOSIGNAL;
#else
constexpr int kNoSignal = 0;  // macOS: SO_NOSIGPIPE is set on every socket instead
#endif

// Repeats a call that was interrupted. `may_block`: EAGAIN means "later".
template <typename Call>
IoResult Retry(bool may_block, Call call) {
  for (;;) {
    if (Faults::active()) {
      const int fault = Faults::BeforeCall(may_block);
      if (fault == EINTR) continue;
      if (fault != 0) return -fault;
    }
    const auto result = call();
    if (result >= 0) return static_cast<IoResult>(result);
    if (errno != EINTR) return -errno;
  }
}

size_t Allowed(size_t size) { return Faults::active() ? Faults::Shorten(size) : size; }

#if !defined(__linux__)
// Systems without SOCK_NONBLOCK, SOCK_CLOEXEC and accept4().
IoResult Prepare(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  const bool prepared = flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
                        fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
  if (!prepared) {
    const int error = errno;
    close(fd);
    return -error;
  }
#if defined(SO_NOSIGPIPE)
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
  return fd;
}
#endif

// Where an interface is given by its number or its name. 0: the kernel chooses.
unsigned InterfaceIndex(const char* text) {
  if (text[0] == '\0') return 0;
  const unsigned index = if_nametoindex(text);
  return index != 0 ? index : static_cast<unsigned>(strtoul(text, nullptr, 10));
}

bool ParseIpv4(const char* text, in_addr* address) {
  if (text[0] == '\0') {
    address->s_addr = htonl(INADDR_ANY);
    return true;
  }
  return inet_pton(AF_INET, text, address) == 1;
}

}  // namespace

bool Address::SetIp(int family, const char* text, uint16_t port) {
  storage = {};
  if (family == AF_INET) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    length = sizeof(sockaddr_in);
    return inet_pton(AF_INET, text, &v4->sin_addr) == 1;
  }
  if (family != AF_INET6) return false;
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  length = sizeof(sockaddr_in6);
  std::string plain(text);
  const size_t scope = plain.find('%');
  if (scope != std::string::npos) {
    v6->sin6_scope_id = InterfaceIndex(plain.c_str() + scope + 1);
    plain.resize(scope);
  }
  return inet_pton(AF_INET6, plain.c_str(), &v6->sin6_addr) == 1;
}

bool Address::SetPath(const char* path, size_t path_length) {
  storage = {};
  auto* local = reinterpret_cast<sockaddr_un*>(&storage);
  local->sun_family = AF_UNIX;
  const bool abstract = path_length > 0 && path[0] == '\0';
  if (path_length + (abstract ? 0 : 1) > sizeof(local->sun_path)) return false;
  memcpy(local->sun_path, path, path_length);
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_length +
                                  (abstract ? 0 : 1));
  return true;
}

uint16_t Address::Port() const {
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
  if (family() == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
  }
  return 0;
}

IoResult OpenSocket(int family, int type) {
#if defined(__linux__)
  return Retry(false, [&] { return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); });
#else
  const IoResult fd = Retry(false, [&] { return socket(family, type, 0); });
  return fd < 0 ? fd : Prepare(static_cast<int>(fd));
#endif
}

IoResult OpenSocketPair(int family, int type, int fds[2]) {
#if defined(__linux__)
  return Retry(false,
               [&] { return socketpair(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds); });
#else
  const IoResult made = Retry(false, [&] { return socketpair(family, type, 0, fds); });
  if (made < 0) return made;
  const IoResult first = Prepare(fds[0]);
  if (first < 0) {
    close(fds[1]);
    return first;
  }
  const IoResult second = Prepare(fds[1]);
  if (second < 0) close(fds[0]);
  return second < 0 ? second : 0;
#endif
}

IoResult SetSocketOption(int fd, SocketOption option, int family, int value) {
  const bool v6 = family == AF_INET6;
  int level = SOL_SOCKET;
  int name = 0;
  switch (option) {
    case SocketOption::kReuseAddress: name = SO_REUSEADDR; break;
    case SocketOption::kReusePort: name = SO_REUSEPORT; break;
    case SocketOption::kKeepAlive: name = SO_KEEPALIVE; break;
    case SocketOption::kBroadcast: name = SO_BROADCAST; break;
    case SocketOption::kReceiveBuffer: name = SO_RCVBUF; break;
    case SocketOption::kSendBuffer: name = SO_SNDBUF; break;
    case SocketOption::kNoDelay: level = IPPROTO_TCP; name = TCP_NODELAY; break;
    case SocketOption::kIpv6Only: level = IPPROTO_IPV6; name = IPV6_V6ONLY; break;
    case SocketOption::kMulticastTtl:
      level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
      name = v6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL;
      break;
    case SocketOption::kMulticastLoopback:
      level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
      name = v6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP;
      break;
    case SocketOption::kTtl:
      level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
      name = v6 ? IPV6_UNICAST_HOPS : IP_TTL;
      break;
    case SocketOption::kLinger: {
      const linger how{1, value};
      return Retry(false, [&] { return setsockopt(fd, SOL_SOCKET, SO_LINGER, &how, sizeof how); });
    }
    case SocketOption::kCount: return -EINVAL;
  }
  return Retry(false, [&] { return setsockopt(fd, level, name, &value, sizeof value); });
}

IoResult SetMembership(int fd, bool join, const Address& group, const char* interface_text) {
  if (group.family() == AF_INET) {
    ip_mreq request{};
    request.imr_multiaddr = reinterpret_cast<const sockaddr_in*>(&group.storage)->sin_addr;
    if (!ParseIpv4(interface_text, &request.imr_interface)) return -EINVAL;
    const int name = join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP;
    return Retry(false, [&] { return setsockopt(fd, IPPROTO_IP, name, &request, sizeof request); });
  }
  ipv6_mreq request{};
  request.ipv6mr_multiaddr = reinterpret_cast<const sockaddr_in6*>(&group.storage)->sin6_addr;
  request.ipv6mr_interface = InterfaceIndex(interface_text);
  const int name = join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP;
  return Retry(false, [&] { return setsockopt(fd, IPPROTO_IPV6, name, &request, sizeof request); });
}

IoResult SetMulticastInterface(int fd, int family, const char* interface_text) {
  if (family == AF_INET) {
    in_addr address{};
    if (!ParseIpv4(interface_text, &address)) return -EINVAL;
    return Retry(false, [&] {
      return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address, sizeof address);
    });
  }
  const unsigned index = InterfaceIndex(interface_text);
  return Retry(false, [&] {
    return setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index);
  });
}

IoResult Bind(int fd, const Address& address) {
  return Retry(false, [&] { return bind(fd, address.get(), address.length); });
}

IoResult Listen(int fd, int backlog) {
  return Retry(false, [&] { return listen(fd, backlog); });
}

// An interrupted connect() goes on by itself: asking again would say EALREADY.
IoResult Connect(int fd, const Address& address) {
  if (connect(fd, address.get(), address.length) == 0) return 0;
  return errno == EINTR ? -EINPROGRESS : -errno;
}

IoResult SocketError(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  const IoResult asked =
      Retry(false, [&] { return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length); });
  return asked < 0 ? asked : -error;
}

IoResult Accept(int fd, Address* peer) {
  peer->length = sizeof(peer->storage);
#if defined(__linux__)
  return Retry(true, [&] {
    return accept4(fd, peer->get(), &peer->length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  });
#else
  const IoResult accepted = Retry(true, [&] { return accept(fd, peer->get(), &peer->length); });
  return accepted < 0 ? accepted : Prepare(static_cast<int>(accepted));
#endif
}

IoResult LocalName(int fd, Address* address) {
  address->length = sizeof(address->storage);
  return Retry(false, [&] { return getsockname(fd, address->get(), &address->length); });
}

IoResult PeerName(int fd, Address* address) {
  address->length = sizeof(address->storage);
  return Retry(false, [&] { return getpeername(fd, address->get(), &address->length); });
}

IoResult Shutdown(int fd, int how) {
  return Retry(false, [&] { return shutdown(fd, how); });
}

// Not repeated on EINTR: Linux has released the number by then.
IoResult CloseFd(int fd) { return close(fd) == 0 || errno == EINTR ? 0 : -errno; }

IoResult SetNonBlocking(int fd) {
  const IoResult flags = Retry(false, [&] { return fcntl(fd, F_GETFL); });
  if (flags < 0 || (flags & O_NONBLOCK)) return std::min<IoResult>(flags, 0);
  return Retry(false, [&] { return fcntl(fd, F_SETFL, static_cast<int>(flags) | O_NONBLOCK); });
}

IoResult FileType(int fd) {
  struct stat about{};
  const IoResult asked = Retry(false, [&] { return fstat(fd, &about); });
  return asked < 0 ? asked : static_cast<IoResult>(about.st_mode & S_IFMT);
}

IoResult Receive(int fd, void* data, size_t size) {
  return Retry(true, [&] { return recv(fd, data, Allowed(size), 0); });
}

IoResult Send(int fd, const void* data, size_t size) {
  return Retry(true, [&] { return send(fd, data, Allowed(size), kNoSignal); });
}

IoResult SendVector(int fd, const iovec* parts, size_t count) {
  if (Faults::active()) return Send(fd, parts[0].iov_base, parts[0].iov_len);
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(count);
  return Retry(true, [&] { return sendmsg(fd, &message, kNoSignal); });
}

IoResult Read(int fd, void* data, size_t size) {
  return Retry(true, [&] { return read(fd, data, Allowed(size)); });
}

IoResult Write(int fd, const void* data, size_t size) {
  return Retry(true, [&] { return write(fd, data, Allowed(size)); });
}

IoResult WriteVector(int fd, const iovec* parts, size_t count) {
  if (Faults::active()) return Write(fd, parts[0].iov_base, parts[0].iov_len);
  return Retry(true, [&] { return writev(fd, parts, static_cast<int>(count)); });
}

IoResult SendFile(int out_fd, int in_fd, int64_t offset, size_t count) {
#if defined(__linux__)
  return Retry(true, [&] {
    off_t position = static_cast<off_t>(offset);
    return sendfile(out_fd, in_fd, &position, Allowed(count));
  });
#elif defined(__APPLE__)
  off_t moved = static_cast<off_t>(Allowed(count));
  const int result = sendfile(in_fd, out_fd, static_cast<off_t>(offset), &moved, nullptr, 0);
  // Interrupted or out of room after some bytes: those count.
  if (result == 0 || moved > 0) return moved;
  return -errno;
#else
  (void)out_fd, (void)in_fd, (void)offset, (void)count;
  return -ENOSYS;
#endif
}

#if defined(__linux__)

namespace {

size_t FillMessages(Datagram* datagrams, size_t count, mmsghdr* messages) {
  count = std::min(count, kDatagramBatch);
  for (size_t i = 0; i < count; i++) {
    messages[i] = {};
    msghdr& header = messages[i].msg_hdr;
    header.msg_iov = &datagrams[i].data;
    header.msg_iovlen = 1;
    if (datagrams[i].address == nullptr) continue;
    header.msg_name = datagrams[i].address->get();
    header.msg_namelen = datagrams[i].address->length;
  }
  return count;
}

}  // namespace

IoResult ReceiveBatch(int fd, Datagram* datagrams, size_t count) {
  mmsghdr messages[kDatagramBatch];
  const auto size = static_cast<unsigned>(FillMessages(datagrams, count, messages));
  const IoResult received =
      Retry(true, [&] { return recvmmsg(fd, messages, size, 0, nullptr); });
  for (IoResult i = 0; i < received; i++) {
    datagrams[i].data.iov_len = messages[i].msg_len;
    datagrams[i].address->length = messages[i].msg_hdr.msg_namelen;
    datagrams[i].truncated = (messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
  }
  return received;
}

namespace {

// sendmmsg() drops the error that stops it. One that lies in the datagram comes again when asked
// again; one that an earlier datagram has met on its way (ECONNREFUSED) would be lost, so that
// connected sockets, which alone are told, send one at a time.
IoResult SendSome(int fd, Datagram* datagrams, size_t count) {
  mmsghdr messages[kDatagramBatch];
  const size_t most = datagrams[0].address == nullptr ? 1 : count;
  const auto size = static_cast<unsigned>(FillMessages(datagrams, most, messages));
  return Retry(true, [&] { return sendmmsg(fd, messages, size, kNoSignal); });
}

}  // namespace

#else

IoResult ReceiveBatch(int fd, Datagram* datagrams, size_t count) {
  for (size_t i = 0; i < count; i++) {
    Datagram& datagram = datagrams[i];
    msghdr header{};
    header.msg_iov = &datagram.data;
    header.msg_iovlen = 1;
    header.msg_name = datagram.address->get();
    header.msg_namelen = sizeof(datagram.address->storage);
    const IoResult received = Retry(true, [&] { return recvmsg(fd, &header, 0); });
    if (received < 0) return i == 0 ? received : static_cast<IoResult>(i);
    datagram.data.iov_len = static_cast<size_t>(received);
    datagram.address->length = header.msg_namelen;
    datagram.truncated = (header.msg_flags & MSG_TRUNC) != 0;
  }
  return static_cast<IoResult>(count);
}

namespace {

IoResult SendSome(int fd, Datagram* datagrams, size_t) {
  const Datagram& datagram = datagrams[0];
  msghdr header{};
  header.msg_iov = const_cast<iovec*>(&datagram.data);
  header.msg_iovlen = 1;
  if (datagram.address != nullptr) {
    header.msg_name = datagram.address->get();
    header.msg_namelen = datagram.address->length;
  }
  const IoResult sent = Retry(true, [&] { return sendmsg(fd, &header, kNoSignal); });
  return sent < 0 ? sent : 1;
}

}  // namespace

#endif

IoResult SendBatch(int fd, Datagram* datagrams, size_t count) {
  size_t done = 0;
  while (done < count) {
    const IoResult sent = SendSome(fd, datagrams + done, count - done);
    if (sent == -EAGAIN || sent == -EWOULDBLOCK) break;
    if (sent < 0) datagrams[done].error = static_cast<int>(-sent);
    done += sent < 0 ? 1 : static_cast<size_t>(sent);
  }
  return static_cast<IoResult>(done);
}

}  // namespace ringloop
