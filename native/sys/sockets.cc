// sockets.cc -- Linux's calls where it has better ones, POSIX's elsewhere.
//
// The native tests run it twice: as Linux compiles it, and as a system without accept4() does.
#include "sys/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/sendfile.h>
#endif

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>

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

// In one call. macOS refuses 2 GiB and more with EINVAL, where Linux moves less.
constexpr size_t kMoveMax = size_t{1} << 30;

size_t Allowed(size_t size) {
  size = std::min(size, kMoveMax);
  return Faults::active() ? Faults::Shorten(size) : size;
}

// As much of `all` as one call takes.
struct Vector {
  const iovec* parts;
  size_t count;

  Vector(const iovec* all, size_t all_count)
      : parts(all), count(std::min(all_count, kPartsMax)) {
    uint64_t total = 0;  // the parts may be the same memory again and again
    for (size_t i = 0; i < count; i++) total += parts[i].iov_len;
    const auto movable = static_cast<size_t>(std::min<uint64_t>(total, kMoveMax));
    const size_t allowed = Allowed(movable);
    if (allowed < total) Cut(allowed);
  }
  Vector(const Vector&) = delete;
  Vector& operator=(const Vector&) = delete;

 private:
  static constexpr size_t kCutMax = 16;

  void Cut(size_t size) {
    size_t kept = 0;
    for (; kept < std::min(kCutMax, count) && size > 0; kept++) {
      cut_[kept] = {parts[kept].iov_base, std::min(parts[kept].iov_len, size)};
      size -= cut_[kept].iov_len;
    }
    parts = cut_;
    count = kept;
  }

  iovec cut_[kCutMax];
};

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

// An interface by its name or its number; empty: the kernel chooses. False: there is none.
bool ParseInterface(const char* text, unsigned* index) {
  *index = 0;
  if (text[0] == '\0') return true;
  *index = if_nametoindex(text);
  if (*index != 0) return true;
  const char* const end = text + strlen(text);
  const auto [stopped, error] = std::from_chars(text, end, *index);
  return error == std::errc() && stopped == end;
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
    unsigned index = 0;
    if (scope + 1 == plain.size() || !ParseInterface(plain.c_str() + scope + 1, &index)) {
      return false;
    }
    v6->sin6_scope_id = index;
    plain.resize(scope);
  }
  return inet_pton(AF_INET6, plain.c_str(), &v6->sin6_addr) == 1;
}

bool Address::SetPath(const char* path, size_t path_length) {
  storage = {};
  auto* local = reinterpret_cast<sockaddr_un*>(&storage);
  local->sun_family = AF_UNIX;
#if defined(__linux__)
  // Without any bytes, bind() finds a free abstract name.
  const bool abstract = path_length == 0 || path[0] == '\0';
#else
  const bool abstract = false;
#endif
  // The kernel would stop at a zero byte: another path than the one that was asked for.
  if (!abstract && (path_length == 0 || memchr(path, '\0', path_length) != nullptr)) return false;
  const size_t used = path_length + (abstract ? 0 : 1);
  if (used > sizeof(local->sun_path)) return false;
  if (path_length > 0) memcpy(local->sun_path, path, path_length);
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + used);
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

namespace {

struct OptionName {
  int level;
  int name;
  bool is_byte;  // where the BSDs want an unsigned char, which Linux takes as well
};

OptionName NameOf(SocketOption option, bool v6) {
  switch (option) {
    case SocketOption::kReuseAddress: return {SOL_SOCKET, SO_REUSEADDR, false};
    case SocketOption::kReusePort: return {SOL_SOCKET, SO_REUSEPORT, false};
    case SocketOption::kKeepAlive: return {SOL_SOCKET, SO_KEEPALIVE, false};
    case SocketOption::kBroadcast: return {SOL_SOCKET, SO_BROADCAST, false};
    case SocketOption::kReceiveBuffer: return {SOL_SOCKET, SO_RCVBUF, false};
    case SocketOption::kSendBuffer: return {SOL_SOCKET, SO_SNDBUF, false};
    case SocketOption::kNoDelay: return {IPPROTO_TCP, TCP_NODELAY, false};
    case SocketOption::kIpv6Only: return {IPPROTO_IPV6, IPV6_V6ONLY, false};
    case SocketOption::kMulticastTtl:
      if (v6) return {IPPROTO_IPV6, IPV6_MULTICAST_HOPS, false};
      return {IPPROTO_IP, IP_MULTICAST_TTL, true};
    case SocketOption::kMulticastLoopback:
      if (v6) return {IPPROTO_IPV6, IPV6_MULTICAST_LOOP, false};
      return {IPPROTO_IP, IP_MULTICAST_LOOP, true};
    case SocketOption::kTtl:
      if (v6) return {IPPROTO_IPV6, IPV6_UNICAST_HOPS, false};
      return {IPPROTO_IP, IP_TTL, false};
    case SocketOption::kLinger:
    case SocketOption::kCount: break;
  }
  return {-1, 0, false};
}

template <typename Value>
IoResult SetOption(int fd, int level, int name, const Value& value) {
  return Retry(false, [&] { return setsockopt(fd, level, name, &value, sizeof value); });
}

}  // namespace

IoResult SetSocketOption(int fd, SocketOption option, int family, int value) {
  if (option == SocketOption::kLinger) {
#if defined(SO_LINGER_SEC)
    constexpr int kLingerSeconds = SO_LINGER_SEC;  // macOS counts SO_LINGER in ticks
#else
    constexpr int kLingerSeconds = SO_LINGER;
#endif
    linger how{};
    how.l_onoff = value >= 0;
    how.l_linger = static_cast<decltype(how.l_linger)>(std::clamp(value, 0, 32767));
    return SetOption(fd, SOL_SOCKET, kLingerSeconds, how);
  }
  const OptionName named = NameOf(option, family == AF_INET6);
  if (named.level < 0) return -EINVAL;
  if (!named.is_byte) return SetOption(fd, named.level, named.name, value);
  if (value < 0 || value > 255) return -EINVAL;
  return SetOption(fd, named.level, named.name, static_cast<unsigned char>(value));
}

IoResult SetMembership(int fd, bool join, const Address& group, const char* interface_text) {
  if (group.family() == AF_INET) {
    ip_mreq request{};
    request.imr_multiaddr = reinterpret_cast<const sockaddr_in*>(&group.storage)->sin_addr;
    if (!ParseIpv4(interface_text, &request.imr_interface)) return -EINVAL;
    return SetOption(fd, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, request);
  }
  if (group.family() != AF_INET6) return -EAFNOSUPPORT;
  ipv6_mreq request{};
  request.ipv6mr_multiaddr = reinterpret_cast<const sockaddr_in6*>(&group.storage)->sin6_addr;
  unsigned index = 0;
  if (!ParseInterface(interface_text, &index)) return -ENODEV;
  request.ipv6mr_interface = index;
  return SetOption(fd, IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, request);
}

IoResult SetMulticastInterface(int fd, int family, const char* interface_text) {
  if (family == AF_INET) {
    in_addr address{};
    if (!ParseIpv4(interface_text, &address)) return -EINVAL;
    return SetOption(fd, IPPROTO_IP, IP_MULTICAST_IF, address);
  }
  if (family != AF_INET6) return -EAFNOSUPPORT;
  unsigned index = 0;
  if (!ParseInterface(interface_text, &index)) return -ENODEV;
  return SetOption(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
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
  if (accepted < 0) return accepted;
  if (peer->length == 0) {  // macOS: the peer has gone, and setsockopt() would fail on this one
    close(static_cast<int>(accepted));
    return -ECONNABORTED;
  }
  return Prepare(static_cast<int>(accepted));
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
  const Vector vector(parts, count);
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(vector.parts);
  message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(vector.count);
  return Retry(true, [&] { return sendmsg(fd, &message, kNoSignal); });
}

IoResult Read(int fd, void* data, size_t size) {
  return Retry(true, [&] { return read(fd, data, Allowed(size)); });
}

IoResult Write(int fd, const void* data, size_t size) {
  return Retry(true, [&] { return write(fd, data, Allowed(size)); });
}

IoResult WriteVector(int fd, const iovec* parts, size_t count) {
  const Vector vector(parts, count);
  return Retry(true, [&] { return writev(fd, vector.parts, static_cast<int>(vector.count)); });
}

#if defined(__linux__)

IoResult SendFile(int out_fd, int in_fd, int64_t offset, size_t count) {
  return Retry(true, [&] {
    off_t position = static_cast<off_t>(offset);
    return sendfile(out_fd, in_fd, &position, Allowed(count));
  });
}

#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__DragonFly__)

IoResult SendFile(int out_fd, int in_fd, int64_t offset, size_t count) {
  if (count == 0) return 0;  // to them it means: up to the end
  return Retry(true, [&]() -> IoResult {
    const size_t wanted = Allowed(count);
#if defined(__APPLE__)
    off_t moved = static_cast<off_t>(wanted);
    const int result =
        sendfile(in_fd, out_fd, static_cast<off_t>(offset), &moved, nullptr, 0);
#else
    off_t moved = 0;
    const int result =
        sendfile(in_fd, out_fd, static_cast<off_t>(offset), wanted, nullptr, &moved, 0);
#endif
    // Interrupted or out of room after some bytes: those count. `moved` says nothing after others.
    const bool partial = result != 0 && (errno == EAGAIN || errno == EINTR) && moved > 0;
    return result == 0 || partial ? static_cast<IoResult>(moved) : -1;
  });
}

#else

IoResult SendFile(int, int, int64_t, size_t) { return -ENOSYS; }

#endif

// ---- datagrams ----------------------------------------------------------------------------------

namespace {

// Whether the same datagrams may still be sent one by one: the network or its driver does not take
// them together.
bool RefusesRun(int error) {
  return error == EINVAL || error == EIO || error == EMSGSIZE || error == EOPNOTSUPP;
}

void FillHeader(const Datagram& datagram, msghdr* header) {
  *header = {};
  header->msg_iov = const_cast<iovec*>(&datagram.data);
  header->msg_iovlen = 1;
  if (datagram.address == nullptr) return;
  header->msg_name = datagram.address->get();
  header->msg_namelen = datagram.address->length;
}

void ExpectSender(Datagram* datagram) {
  if (datagram->address != nullptr) datagram->address->length = sizeof(sockaddr_storage);
}

void TakeHeader(const msghdr& header, size_t length, Datagram* datagram) {
  datagram->data.iov_len = length;
  datagram->truncated = (header.msg_flags & MSG_TRUNC) != 0;
  if (datagram->address != nullptr) datagram->address->length = header.msg_namelen;
}

}  // namespace

#if defined(__linux__)

IoResult ReceiveBatch(int fd, Datagram* datagrams, size_t count) {
  mmsghdr messages[kDatagramBatch];
  count = Allowed(std::min(count, kDatagramBatch));
  for (size_t i = 0; i < count; i++) {
    ExpectSender(&datagrams[i]);
    FillHeader(datagrams[i], &messages[i].msg_hdr);
  }
  const IoResult received = Retry(
      true, [&] { return recvmmsg(fd, messages, static_cast<unsigned>(count), 0, nullptr); });
  for (IoResult i = 0; i < received; i++) {
    TakeHeader(messages[i].msg_hdr, messages[i].msg_len, &datagrams[i]);
  }
  return received;
}

namespace {

#if !defined(UDP_SEGMENT)
constexpr int UDP_SEGMENT = 103;  // linux/udp.h, since 4.18
#endif

// The largest that fits into a frame of Ethernet, whatever the family. Larger ones would be
// refused there.
constexpr size_t kSegmentMax = 1452;

bool SameAddress(const Address* one, const Address* other) {
  if (one == nullptr || other == nullptr) return one == other;
  return one->length == other->length && memcmp(&one->storage, &other->storage, one->length) == 0;
}

// How many of the datagrams can leave as one. The last of them may be shorter.
size_t RunLength(const Datagram* datagrams, size_t count) {
  const Datagram& first = datagrams[0];
  const size_t length = first.data.iov_len;
  if (length == 0 || length > kSegmentMax) return 1;
  for (size_t run = 1; run < count; run++) {
    const size_t next = datagrams[run].data.iov_len;
    const bool fits = next > 0 && next <= length && datagrams[run - 1].data.iov_len == length;
    if (!fits || !SameAddress(datagrams[run].address, first.address)) return run;
  }
  return count;
}

// What sendmmsg() takes: a message for each run, that says how long its datagrams are.
struct Messages {
  size_t size = 0;
  mmsghdr headers[kDatagramBatch];
  size_t runs[kDatagramBatch];

  void Add(const Datagram* datagrams, size_t run) {
    msghdr* header = &headers[size].msg_hdr;
    FillHeader(datagrams[0], header);
    if (run > 1) {
      header->msg_iov = parts_ + used_;
      header->msg_iovlen = run;
      for (size_t i = 0; i < run; i++) parts_[used_++] = datagrams[i].data;
      SetSegment(header, static_cast<uint16_t>(datagrams[0].data.iov_len));
    }
    runs[size++] = run;
  }

 private:
  struct alignas(cmsghdr) Control {
    uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
  };

  void SetSegment(msghdr* header, uint16_t length) {
    Control* control = &controls_[size];
    *control = {};
    header->msg_control = control->bytes;
    header->msg_controllen = sizeof control->bytes;
    cmsghdr* first = CMSG_FIRSTHDR(header);
    first->cmsg_level = IPPROTO_UDP;
    first->cmsg_type = UDP_SEGMENT;
    first->cmsg_len = CMSG_LEN(sizeof length);
    memcpy(CMSG_DATA(first), &length, sizeof length);
  }

  size_t used_ = 0;
  iovec parts_[kDatagramBatch];
  Control controls_[kDatagramBatch];
};

// How many were sent; or a negative errno, which is about the first `*run` of them.
//
// sendmmsg() drops the error that stops it. One that lies in the datagram comes again when asked
// again; one that an earlier datagram has met on its way (ECONNREFUSED) would be lost, so that
// connected sockets, which alone are told, send one message at a time.
IoResult SendSome(int fd, const Datagram* datagrams, size_t count, bool segmented, size_t* run) {
  Messages messages;
  const size_t most = datagrams[0].address == nullptr ? 1 : Allowed(kDatagramBatch);
  for (size_t i = 0; i < count && messages.size < most;) {
    const size_t length = segmented ? RunLength(datagrams + i, count - i) : 1;
    messages.Add(datagrams + i, length);
    i += length;
  }
  *run = messages.runs[0];
  const auto size = static_cast<unsigned>(messages.size);
  const IoResult sent =
      Retry(true, [&] { return sendmmsg(fd, messages.headers, size, kNoSignal); });
  IoResult total = std::min<IoResult>(sent, 0);
  for (IoResult i = 0; i < sent; i++) total += static_cast<IoResult>(messages.runs[i]);
  return total;
}

}  // namespace

bool CanSegment(int fd) {
  int size = 0;
  socklen_t length = sizeof size;
  return Retry(false, [&] { return getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, &length); }) ==
         0;
}

#else

IoResult ReceiveBatch(int fd, Datagram* datagrams, size_t count) {
  count = Allowed(std::min(count, kDatagramBatch));
  for (size_t i = 0; i < count; i++) {
    msghdr header;
    ExpectSender(&datagrams[i]);
    FillHeader(datagrams[i], &header);
    const IoResult received = Retry(true, [&] { return recvmsg(fd, &header, 0); });
    if (received < 0) return i == 0 ? received : static_cast<IoResult>(i);
    TakeHeader(header, static_cast<size_t>(received), &datagrams[i]);
  }
  return static_cast<IoResult>(count);
}

namespace {

IoResult SendSome(int fd, const Datagram* datagrams, size_t, bool, size_t* run) {
  msghdr header;
  FillHeader(datagrams[0], &header);
  *run = 1;
  const IoResult sent = Retry(true, [&] { return sendmsg(fd, &header, kNoSignal); });
  return sent < 0 ? sent : 1;
}

}  // namespace

bool CanSegment(int) { return false; }

#endif

IoResult SendBatch(int fd, Datagram* datagrams, size_t count, bool segmented) {
  count = std::min(count, kDatagramBatch);
  for (size_t i = 0; i < count; i++) datagrams[i].error = 0;
  size_t done = 0;
  size_t singly = 0;  // up to here, because they were refused as a run
  while (done < count) {
    const bool again = done < singly;
    size_t run = 1;
    const IoResult sent = SendSome(fd, datagrams + done, (again ? singly : count) - done,
                                   segmented && !again, &run);
    if (sent == -EAGAIN || sent == -EWOULDBLOCK) break;
    if (sent >= 0) {
      done += static_cast<size_t>(sent);
    } else if (run > 1 && RefusesRun(static_cast<int>(-sent))) {
      singly = done + run;
    } else {
      datagrams[done++].error = static_cast<int>(-sent);
    }
  }
  return static_cast<IoResult>(done);
}

}  // namespace ringloop
