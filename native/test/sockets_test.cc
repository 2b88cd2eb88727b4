// sockets_test.cc -- each call against the real kernel, on loopback.
//
// Facts.      What the kernel does on a bad day is in faults_test.cc.
// Decision.   On Linux it runs twice: as Linux compiles sockets.cc, and as other systems do.
#include "sys/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <string>
#include <vector>

#include "support.h"
#include "testing.h"

namespace ringloop {
namespace {

using testing::kSurelyMs;
using testing::Readable;

// Node's own setting.
[[maybe_unused]] const auto ignored = signal(SIGPIPE, SIG_IGN);

constexpr int kNoFd = -1;

UniqueFd Open(int family, int type) {
  const IoResult fd = OpenSocket(family, type);
  RINGLOOP_CHECK(fd >= 0);
  return UniqueFd(static_cast<int>(fd));
}

testing::Pair OpenPair(int type = SOCK_STREAM) {
  int ends[2];
  RINGLOOP_CHECK(OpenSocketPair(AF_UNIX, type, ends) == 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

testing::Pair OpenPipe() {
  testing::Pair pipe = testing::MakePipe();
  RINGLOOP_CHECK(SetNonBlocking(pipe.read_end.get()) == 0);
  RINGLOOP_CHECK(SetNonBlocking(pipe.write_end.get()) == 0);
  return pipe;
}

Address Loopback(uint16_t port = 0) {
  Address address;
  RINGLOOP_CHECK(address.SetIp(AF_INET, "127.0.0.1", port));
  return address;
}

Address NameOf(const UniqueFd& fd) {
  Address address;
  RINGLOOP_CHECK(LocalName(fd.get(), &address) == 0);
  return address;
}

UniqueFd Listening() {
  UniqueFd fd = Open(AF_INET, SOCK_STREAM);
  RINGLOOP_CHECK(Bind(fd.get(), Loopback()) == 0);
  RINGLOOP_CHECK(Listen(fd.get(), 10) == 0);
  return fd;
}

bool Writable(int fd) {
  pollfd asked{fd, POLLOUT, 0};
  return poll(&asked, 1, kSurelyMs) == 1;
}

// What becomes of a connection.
IoResult ConnectFully(const UniqueFd& fd, const Address& address) {
  const IoResult result = Connect(fd.get(), address);
  if (result != -EINPROGRESS) return result;
  return Writable(fd.get()) ? SocketError(fd.get()) : -ETIMEDOUT;
}

// Two ends of a TCP connection.
testing::Pair Connected() {
  const UniqueFd listener = Listening();
  UniqueFd client = Open(AF_INET, SOCK_STREAM);
  RINGLOOP_CHECK(ConnectFully(client, NameOf(listener)) == 0);
  RINGLOOP_CHECK(Readable(listener.get(), kSurelyMs));
  Address peer;
  const IoResult server = Accept(listener.get(), &peer);
  RINGLOOP_CHECK(server >= 0 && peer.Port() == NameOf(client).Port());
  return {UniqueFd(static_cast<int>(server)), std::move(client)};
}

std::string Pattern(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; i++) bytes[i] = static_cast<char>(i * 7 + i / 251);
  return bytes;
}

// What waits at `fd`, up to the end or to EAGAIN.
std::string Drain(int fd) {
  std::string all;
  char buffer[4096];
  for (;;) {
    const IoResult count = Read(fd, buffer, sizeof buffer);
    if (count <= 0) return all;
    all.append(buffer, static_cast<size_t>(count));
  }
}

iovec Part(const std::string& bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

int Flags(int fd) { return fcntl(fd, F_GETFL); }

// --- addresses ---

TEST("an IPv4 address is what its text says") {
  Address address;
  CHECK(address.SetIp(AF_INET, "192.0.2.255", 65535));
  CHECK_EQUAL(address.family(), AF_INET);
  CHECK_EQUAL(address.Port(), 65535);
  CHECK_EQUAL(address.length, sizeof(sockaddr_in));
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
  CHECK_EQUAL(ntohl(v4->sin_addr.s_addr), 0xC00002FFu);
}

TEST("what is no address of the family is refused") {
  Address address;
  for (const char* wrong : {"", "localhost", "1.2.3", "1.2.3.256", "1.2.3.4 ", "::1", "01.2.3.4"}) {
    CHECK(!address.SetIp(AF_INET, wrong, 0));
  }
  for (const char* wrong : {"", "1.2.3.4", ":::", "::1%", "fe80::1%no such", "fe80::1%-1",
                            "fe80::1%99999999999", "fe80::1%1x", "%1"}) {
    CHECK(!address.SetIp(AF_INET6, wrong, 0));
  }
  CHECK(!address.SetIp(AF_UNIX, "::1", 0));
}

TEST("the scope of an IPv6 address is a number or an interface") {
  Address address;
  CHECK(address.SetIp(AF_INET6, "fe80::1%7", 80));
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
  CHECK_EQUAL(v6->sin6_scope_id, 7);
  CHECK_EQUAL(address.Port(), 80);
  char name[IF_NAMESIZE];
  if (if_indextoname(1, name) == nullptr) return;
  CHECK(address.SetIp(AF_INET6, (std::string("fe80::1%") + name).c_str(), 80));
  CHECK_EQUAL(v6->sin6_scope_id, 1);
  CHECK(address.SetIp(AF_INET6, "::1", 80));
  CHECK_EQUAL(v6->sin6_scope_id, 0);
}

TEST("a path that is too long or has a zero byte is refused") {
  Address address;
  const size_t room = sizeof(sockaddr_un::sun_path);
  CHECK(address.SetPath(std::string(room - 1, 'x').c_str(), room - 1));
  CHECK_EQUAL(address.length, offsetof(sockaddr_un, sun_path) + room);
  CHECK(!address.SetPath(std::string(room, 'x').c_str(), room));
  CHECK(!address.SetPath(std::string(100'000, 'x').c_str(), 100'000));
  CHECK(!address.SetPath("/tmp/a\0b", 8));
  CHECK_EQUAL(address.Port(), 0);
}

TEST("a unix socket is reached by its path and says it") {
  char folder[] = "/tmp/ringloop-XXXXXX";
  RINGLOOP_CHECK(mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/s";
  Address address;
  CHECK(address.SetPath(path.data(), path.size()));
  const UniqueFd listener = Open(AF_UNIX, SOCK_STREAM);
  const UniqueFd client = Open(AF_UNIX, SOCK_STREAM);
  CHECK_EQUAL(Connect(client.get(), address), -ENOENT);
  CHECK_EQUAL(Bind(listener.get(), address), 0);
  CHECK_EQUAL(Connect(client.get(), address), -ECONNREFUSED);
  CHECK_EQUAL(Listen(listener.get(), 1), 0);
  CHECK_EQUAL(Connect(client.get(), address), 0);
  Address peer;
  const UniqueFd accepted(static_cast<int>(Accept(listener.get(), &peer)));
  CHECK(accepted.get() >= 0);
  CHECK(peer.length <= offsetof(sockaddr_un, sun_path) + 1);
  CHECK_EQUAL(PeerName(client.get(), &peer), 0);
  CHECK(path == reinterpret_cast<const sockaddr_un*>(&peer.storage)->sun_path);
  CHECK_EQUAL(Bind(Open(AF_UNIX, SOCK_STREAM).get(), address), -EADDRINUSE);
  unlink(path.c_str());
  rmdir(folder);
}

TEST("an abstract name is no file, and bind() chooses one, where there are such names") {
  Address address;
  const std::string name = std::string("\0ringloop ", 10) + std::to_string(getpid());
  if (!address.SetPath(name.data(), name.size())) return;
  CHECK_EQUAL(address.length, offsetof(sockaddr_un, sun_path) + name.size());
  const UniqueFd listener = Open(AF_UNIX, SOCK_STREAM);
  CHECK_EQUAL(Bind(listener.get(), address), 0);
  CHECK_EQUAL(Listen(listener.get(), 1), 0);
  const Address named = NameOf(listener);
  CHECK_EQUAL(named.length, address.length);
  CHECK(memcmp(&named.storage, &address.storage, named.length) == 0);
  CHECK_EQUAL(Connect(Open(AF_UNIX, SOCK_STREAM).get(), address), 0);

  const UniqueFd unnamed = Open(AF_UNIX, SOCK_STREAM);
  CHECK(address.SetPath("", 0));
  CHECK_EQUAL(Bind(unnamed.get(), address), 0);
  CHECK(NameOf(unnamed).length > offsetof(sockaddr_un, sun_path) + 1);
}

TEST("an IPv6 socket names itself, where there is IPv6") {
  const IoResult fd = OpenSocket(AF_INET6, SOCK_STREAM);
  if (fd < 0) return;
  const UniqueFd owned(static_cast<int>(fd));
  Address address;
  CHECK(address.SetIp(AF_INET6, "::1", 0));
  CHECK_EQUAL(SetSocketOption(owned.get(), SocketOption::kIpv6Only, AF_INET6, 1), 0);
  if (Bind(owned.get(), address) == -EADDRNOTAVAIL) return;
  const Address named = NameOf(owned);
  CHECK_EQUAL(named.family(), AF_INET6);
  CHECK_EQUAL(named.length, sizeof(sockaddr_in6));
  CHECK(named.Port() != 0);
}

// --- making and connecting ---

TEST("sockets that are made or accepted are non-blocking and closed on exec") {
  const testing::Pair connection = Connected();
  const testing::Pair pair = OpenPair();
  for (const int fd : {connection.read_end.get(), connection.write_end.get(),
                       pair.read_end.get(), pair.write_end.get()}) {
    CHECK(Flags(fd) & O_NONBLOCK);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  }
}

TEST("a foreign fd becomes non-blocking, and what it can do else stays") {
  const testing::Pair pipe = testing::MakePipe();
  const int before = Flags(pipe.write_end.get());
  CHECK(!(before & O_NONBLOCK));
  CHECK_EQUAL(SetNonBlocking(pipe.write_end.get()), 0);
  CHECK_EQUAL(SetNonBlocking(pipe.write_end.get()), 0);
  CHECK_EQUAL(Flags(pipe.write_end.get()), before | O_NONBLOCK);
}

TEST("a connection arrives, and both ends know each other") {
  const testing::Pair connection = Connected();
  Address peer;
  CHECK_EQUAL(PeerName(connection.read_end.get(), &peer), 0);
  CHECK_EQUAL(peer.Port(), NameOf(connection.write_end).Port());
  CHECK_EQUAL(SocketError(connection.read_end.get()), 0);
}

TEST("nobody listens: ECONNREFUSED, and it is said once") {
  const UniqueFd taken = Open(AF_INET, SOCK_STREAM);
  CHECK_EQUAL(Bind(taken.get(), Loopback()), 0);
  const UniqueFd client = Open(AF_INET, SOCK_STREAM);
  CHECK_EQUAL(ConnectFully(client, NameOf(taken)), -ECONNREFUSED);
  CHECK_EQUAL(SocketError(client.get()), 0);
}

TEST("a port that is taken is refused with EADDRINUSE") {
  const UniqueFd listener = Listening();
  CHECK_EQUAL(Bind(Open(AF_INET, SOCK_STREAM).get(), NameOf(listener)), -EADDRINUSE);
}

TEST("accept says EAGAIN until somebody comes") {
  const UniqueFd listener = Listening();
  Address peer;
  CHECK_EQUAL(Accept(listener.get(), &peer), -EAGAIN);
  const UniqueFd client = Open(AF_INET, SOCK_STREAM);
  CHECK_EQUAL(ConnectFully(client, NameOf(listener)), 0);
  CHECK(Readable(listener.get(), kSurelyMs));
  peer.length = 0;
  const UniqueFd accepted(static_cast<int>(Accept(listener.get(), &peer)));
  CHECK_EQUAL(peer.length, sizeof(sockaddr_in));
  CHECK_EQUAL(Accept(listener.get(), &peer), -EAGAIN);
}

TEST("out of descriptors, accept says EMFILE and the connection waits") {
  const UniqueFd listener = Listening();
  const UniqueFd client = Open(AF_INET, SOCK_STREAM);
  CHECK_EQUAL(ConnectFully(client, NameOf(listener)), 0);
  CHECK(Readable(listener.get(), kSurelyMs));
  rlimit before;
  RINGLOOP_CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int lowest_free = dup(listener.get());
  close(lowest_free);
  const rlimit none_left{static_cast<rlim_t>(lowest_free), before.rlim_max};
  RINGLOOP_CHECK(setrlimit(RLIMIT_NOFILE, &none_left) == 0);
  Address peer;
  const IoResult refused = Accept(listener.get(), &peer);
  const IoResult unopened = OpenSocket(AF_INET, SOCK_STREAM);
  RINGLOOP_CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK_EQUAL(refused, -EMFILE);
  CHECK_EQUAL(unopened, -EMFILE);
  CHECK(Readable(listener.get()));
  const UniqueFd accepted(static_cast<int>(Accept(listener.get(), &peer)));
  CHECK(accepted.get() >= 0);
}

TEST("every call on a closed descriptor says EBADF") {
  char byte = 0;
  iovec part{&byte, 1};
  Address address = Loopback();
  Datagram datagram;
  datagram.data = part;
  datagram.address = &address;
  for (const IoResult result :
       {Bind(kNoFd, address), Listen(kNoFd, 1), Connect(kNoFd, address), SocketError(kNoFd),
        Accept(kNoFd, &address), LocalName(kNoFd, &address), PeerName(kNoFd, &address),
        Shutdown(kNoFd, SHUT_WR), CloseFd(kNoFd), SetNonBlocking(kNoFd), FileType(kNoFd),
        Receive(kNoFd, &byte, 1), Send(kNoFd, &byte, 1), SendVector(kNoFd, &part, 1),
        Read(kNoFd, &byte, 1), Write(kNoFd, &byte, 1), WriteVector(kNoFd, &part, 1),
        ReceiveBatch(kNoFd, &datagram, 1),
        SetSocketOption(kNoFd, SocketOption::kKeepAlive, AF_INET, 1),
        SetSocketOption(kNoFd, SocketOption::kLinger, AF_INET, 1),
        SetMulticastInterface(kNoFd, AF_INET, ""), SetMembership(kNoFd, true, address, "")}) {
    CHECK_EQUAL(result, -EBADF);
  }
  CHECK_EQUAL(SendBatch(kNoFd, &datagram, 1), 1);
  CHECK_EQUAL(datagram.error, EBADF);
}

TEST("the type of a descriptor is a pipe, a socket or a file") {
  const testing::Pair pipe = testing::MakePipe();
  const UniqueFd file(open("/dev/null", O_RDONLY));
  CHECK_EQUAL(FileType(pipe.read_end.get()), S_IFIFO);
  CHECK_EQUAL(FileType(OpenPair().read_end.get()), S_IFSOCK);
  CHECK_EQUAL(FileType(file.get()), S_IFCHR);
}

// --- options ---

int OptionOf(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  RINGLOOP_CHECK(getsockopt(fd, level, name, &value, &length) == 0);
  return length == 1 ? value & 0xff : value;
}

TEST("options are what they were set to") {
  const UniqueFd tcp = Open(AF_INET, SOCK_STREAM);
  const UniqueFd udp = Open(AF_INET, SOCK_DGRAM);
  const auto check = [](const UniqueFd& fd, SocketOption option, int value, int level, int name) {
    CHECK_EQUAL(SetSocketOption(fd.get(), option, AF_INET, value), 0);
    CHECK_EQUAL(OptionOf(fd.get(), level, name) != 0, value != 0);
    return OptionOf(fd.get(), level, name);
  };
  for (const int on : {1, 0}) {
    check(tcp, SocketOption::kReuseAddress, on, SOL_SOCKET, SO_REUSEADDR);
    check(tcp, SocketOption::kReusePort, on, SOL_SOCKET, SO_REUSEPORT);
    check(tcp, SocketOption::kKeepAlive, on, SOL_SOCKET, SO_KEEPALIVE);
    check(tcp, SocketOption::kNoDelay, on, IPPROTO_TCP, TCP_NODELAY);
    check(udp, SocketOption::kBroadcast, on, SOL_SOCKET, SO_BROADCAST);
    check(udp, SocketOption::kMulticastLoopback, on, IPPROTO_IP, IP_MULTICAST_LOOP);
  }
  CHECK_EQUAL(check(udp, SocketOption::kMulticastTtl, 7, IPPROTO_IP, IP_MULTICAST_TTL), 7);
  CHECK_EQUAL(check(udp, SocketOption::kTtl, 9, IPPROTO_IP, IP_TTL), 9);
  CHECK(check(tcp, SocketOption::kReceiveBuffer, 20'000, SOL_SOCKET, SO_RCVBUF) >= 20'000);
  CHECK(check(tcp, SocketOption::kSendBuffer, 20'000, SOL_SOCKET, SO_SNDBUF) >= 20'000);
  for (const int wrong : {-1, 256, 65536}) {
    CHECK_EQUAL(SetSocketOption(udp.get(), SocketOption::kMulticastTtl, AF_INET, wrong), -EINVAL);
  }
  CHECK_EQUAL(SetSocketOption(tcp.get(), SocketOption::kCount, AF_INET, 1), -EINVAL);
}

TEST("options of IPv6 are what they were set to, where there is IPv6") {
  const IoResult fd = OpenSocket(AF_INET6, SOCK_DGRAM);
  if (fd < 0) return;
  const UniqueFd owned(static_cast<int>(fd));
  const auto check = [&](SocketOption option, int value, int name) {
    CHECK_EQUAL(SetSocketOption(owned.get(), option, AF_INET6, value), 0);
    CHECK_EQUAL(OptionOf(owned.get(), IPPROTO_IPV6, name), value);
  };
  check(SocketOption::kIpv6Only, 1, IPV6_V6ONLY);
  check(SocketOption::kMulticastTtl, 7, IPV6_MULTICAST_HOPS);
  check(SocketOption::kMulticastLoopback, 0, IPV6_MULTICAST_LOOP);
  check(SocketOption::kTtl, 9, IPV6_UNICAST_HOPS);
  CHECK_EQUAL(SetMulticastInterface(owned.get(), AF_INET6, "no such"), -ENODEV);
  CHECK_EQUAL(SetMulticastInterface(owned.get(), AF_INET6, ""), 0);
  Address group;
  CHECK(group.SetIp(AF_INET6, "ff02::4321", 0));
  CHECK_EQUAL(SetMembership(owned.get(), true, group, "no such"), -ENODEV);
}

TEST("a negative time to linger is none") {
  const UniqueFd tcp = Open(AF_INET, SOCK_STREAM);
  linger how{};
  socklen_t length = sizeof how;
  for (const int seconds : {5, 0, -1}) {
    CHECK_EQUAL(SetSocketOption(tcp.get(), SocketOption::kLinger, AF_INET, seconds), 0);
    RINGLOOP_CHECK(getsockopt(tcp.get(), SOL_SOCKET, SO_LINGER, &how, &length) == 0);
    CHECK_EQUAL(how.l_onoff != 0, seconds >= 0);
  }
}

TEST("groups are joined once and left once") {
  const UniqueFd udp = Open(AF_INET, SOCK_DGRAM);
  Address group;
  CHECK(group.SetIp(AF_INET, "239.255.43.21", 0));
  CHECK_EQUAL(SetMembership(udp.get(), true, group, "no address"), -EINVAL);
  CHECK_EQUAL(SetMembership(udp.get(), true, Loopback(), "127.0.0.1"), -EINVAL);
  CHECK_EQUAL(SetMembership(udp.get(), true, group, "127.0.0.1"), 0);
  CHECK_EQUAL(SetMembership(udp.get(), true, group, "127.0.0.1"), -EADDRINUSE);
  CHECK_EQUAL(SetMembership(udp.get(), false, group, "127.0.0.1"), 0);
  CHECK_EQUAL(SetMembership(udp.get(), false, group, "127.0.0.1"), -EADDRNOTAVAIL);
  CHECK_EQUAL(SetMulticastInterface(udp.get(), AF_INET, "127.0.0.1"), 0);
  CHECK_EQUAL(SetMulticastInterface(udp.get(), AF_INET, "lo"), -EINVAL);
  CHECK_EQUAL(SetMulticastInterface(udp.get(), AF_UNIX, ""), -EAFNOSUPPORT);
  Address path;
  CHECK(path.SetPath("/tmp/x", 6));
  CHECK_EQUAL(SetMembership(udp.get(), true, path, ""), -EAFNOSUPPORT);
}

// --- streams ---

TEST("reading says EAGAIN, then what was sent, then the end") {
  const testing::Pair connection = Connected();
  const int reader = connection.read_end.get();
  const int writer = connection.write_end.get();
  char buffer[16];
  CHECK_EQUAL(Receive(reader, buffer, sizeof buffer), -EAGAIN);
  CHECK_EQUAL(Read(reader, buffer, sizeof buffer), -EAGAIN);
  CHECK_EQUAL(Send(writer, "hello", 5), 5);
  CHECK(Readable(reader, kSurelyMs));
  CHECK_EQUAL(Receive(reader, buffer, 2), 2);
  CHECK_EQUAL(Read(reader, buffer + 2, sizeof buffer - 2), 3);
  CHECK(std::string(buffer, 5) == "hello");
  CHECK_EQUAL(Shutdown(writer, SHUT_WR), 0);
  CHECK(Readable(reader, kSurelyMs));
  CHECK_EQUAL(Read(reader, buffer, sizeof buffer), 0);
  CHECK_EQUAL(Send(writer, "x", 1), -EPIPE);
  CHECK_EQUAL(Send(reader, "still", 5), 5);
}

TEST("sending stops at EAGAIN, and everything that was taken arrives") {
  const testing::Pair pair = OpenPair();
  const std::string block = Pattern(10'000);
  std::string sent;
  for (;;) {
    const IoResult count = Send(pair.write_end.get(), block.data(), block.size());
    if (count < 0) {
      CHECK_EQUAL(count, -EAGAIN);
      break;
    }
    sent.append(block, 0, static_cast<size_t>(count));
  }
  CHECK(!sent.empty());
  CHECK(Drain(pair.read_end.get()) == sent);
}

// Sends `parts` as one call takes them, and reads them at the other end.
std::string Through(const testing::Pair& ends, std::vector<std::string> parts,
                    IoResult (*call)(int, const iovec*, size_t)) {
  std::string arrived;
  size_t first = 0;
  while (first < parts.size()) {
    std::vector<iovec> vector;
    for (size_t i = first; i < parts.size(); i++) vector.push_back(Part(parts[i]));
    IoResult count = call(ends.write_end.get(), vector.data(), vector.size());
    RINGLOOP_CHECK(count >= 0 || count == -EAGAIN);
    for (; first < parts.size() && count >= static_cast<IoResult>(parts[first].size()); first++) {
      count -= static_cast<IoResult>(parts[first].size());
    }
    if (first < parts.size() && count > 0) parts[first].erase(0, static_cast<size_t>(count));
    arrived += Drain(ends.read_end.get());
  }
  return arrived;
}

TEST("a vector arrives in order, with empty parts, and more than one call takes") {
  std::vector<std::string> parts{"", "a", "", "bc"};
  for (size_t i = 0; i < 3 * kPartsMax; i++) parts.push_back(std::to_string(i));
  for (size_t i = 0; i < 10; i++) parts.push_back(Pattern(50'000 + i));
  std::string all;
  for (const std::string& part : parts) all += part;
  CHECK(Through(OpenPair(), parts, SendVector) == all);
  CHECK(Through(OpenPipe(), parts, WriteVector) == all);
  CHECK_EQUAL(SendVector(OpenPair().write_end.get(), nullptr, 0), 0);
}

TEST("whoever has gone is written to with EPIPE") {
  testing::Pair pipe = OpenPipe();
  pipe.read_end.Reset();
  const iovec part = Part("x");
  CHECK_EQUAL(Write(pipe.write_end.get(), "x", 1), -EPIPE);
  CHECK_EQUAL(WriteVector(pipe.write_end.get(), &part, 1), -EPIPE);
  testing::Pair pair = OpenPair();
  pair.read_end.Reset();
  CHECK_EQUAL(Send(pair.write_end.get(), "x", 1), -EPIPE);
  CHECK_EQUAL(SendVector(pair.write_end.get(), &part, 1), -EPIPE);
}

TEST("a connection that is closed without lingering is reset for the other end") {
  testing::Pair connection = Connected();
  const int fd = connection.write_end.get();
  CHECK_EQUAL(SetSocketOption(fd, SocketOption::kLinger, AF_INET, 0), 0);
  connection.write_end.Reset();
  CHECK(Readable(connection.read_end.get(), kSurelyMs));
  char byte;
  CHECK_EQUAL(Read(connection.read_end.get(), &byte, 1), -ECONNRESET);
  CHECK_EQUAL(Read(connection.read_end.get(), &byte, 1), 0);
}

TEST("a file is sent from its offset, up to its end, and its position stays") {
  if (SendFile(kNoFd, kNoFd, 0, 1) == -ENOSYS) return;
  char path[] = "/tmp/ringloop-XXXXXX";
  const UniqueFd file(mkstemp(path));
  unlink(path);
  const std::string bytes = Pattern(1'000'000);
  RINGLOOP_CHECK(write(file.get(), bytes.data(), bytes.size()) == 1'000'000);
  const off_t position = lseek(file.get(), 17, SEEK_SET);
  const testing::Pair pair = OpenPair();
  std::string arrived;
  int64_t offset = 1000;
  bool waited = false;
  for (;;) {
    const IoResult count = SendFile(pair.write_end.get(), file.get(), offset, 0xFFFFFFFF);
    if (count == 0) break;
    RINGLOOP_CHECK(count > 0 || count == -EAGAIN);
    waited = waited || count < 0;
    offset += std::max<IoResult>(count, 0);
    if (count < 0) arrived += Drain(pair.read_end.get());
  }
  arrived += Drain(pair.read_end.get());
  CHECK(waited);
  CHECK(arrived == bytes.substr(1000));
  CHECK_EQUAL(lseek(file.get(), 0, SEEK_CUR), position);
  CHECK_EQUAL(SendFile(pair.write_end.get(), file.get(), 0, 0), 0);
  CHECK_EQUAL(SendFile(pair.write_end.get(), file.get(), 2'000'000, 10), 0);
  CHECK_EQUAL(SendFile(pair.write_end.get(), kNoFd, 0, 10), -EBADF);
  CHECK(SendFile(pair.write_end.get(), pair.write_end.get(), 0, 10) < 0);
}

// --- datagrams ---

struct Batch {
  std::vector<std::string> places;
  std::vector<Address> addresses;
  std::vector<Datagram> datagrams;

  Batch(size_t count, size_t size) : places(count), addresses(count), datagrams(count) {
    for (size_t i = 0; i < count; i++) {
      places[i].resize(size);
      datagrams[i].data = {places[i].data(), size};
      datagrams[i].address = &addresses[i];
    }
  }
  std::string Text(size_t i) const { return places[i].substr(0, datagrams[i].data.iov_len); }
  IoResult Receive(int fd) { return ReceiveBatch(fd, datagrams.data(), datagrams.size()); }
};

UniqueFd UdpSocket() {
  UniqueFd fd = Open(AF_INET, SOCK_DGRAM);
  RINGLOOP_CHECK(Bind(fd.get(), Loopback()) == 0);
  return fd;
}

TEST("a batch of datagrams arrives in order, each with its sender") {
  const UniqueFd sender = UdpSocket();
  const UniqueFd receiver = UdpSocket();
  Batch sent(40, 0);
  for (size_t i = 0; i < 40; i++) {
    sent.places[i] = Pattern(i);
    sent.datagrams[i].data = Part(sent.places[i]);
    sent.addresses[i] = NameOf(receiver);
    sent.datagrams[i].error = 99;
  }
  CHECK_EQUAL(SendBatch(sender.get(), sent.datagrams.data(), 40), kDatagramBatch);
  CHECK_EQUAL(sent.datagrams[0].error, 0);
  CHECK_EQUAL(SendBatch(sender.get(), sent.datagrams.data() + kDatagramBatch, 8), 8);
  size_t next = 0;
  while (next < 40) {
    Batch got(40, 100);
    for (Address& address : got.addresses) address.length = 1;
    const IoResult count = got.Receive(receiver.get());
    CHECK(count > 0);
    if (count <= 0) return;
    for (size_t i = 0; i < static_cast<size_t>(count); i++, next++) {
      CHECK(got.Text(i) == sent.places[next]);
      CHECK(!got.datagrams[i].truncated);
      CHECK_EQUAL(got.addresses[i].length, sizeof(sockaddr_in));
      CHECK_EQUAL(got.addresses[i].Port(), NameOf(sender).Port());
    }
  }
  CHECK_EQUAL(Batch(2, 10).Receive(receiver.get()), -EAGAIN);
}

TEST("a datagram that does not fit is cut and says so; nobody has to ask for its sender") {
  const UniqueFd receiver = UdpSocket();
  const UniqueFd sender = UdpSocket();
  CHECK_EQUAL(Connect(sender.get(), NameOf(receiver)), 0);
  CHECK_EQUAL(Send(sender.get(), "truncated", 9), 9);
  CHECK_EQUAL(Send(sender.get(), "fits", 4), 4);
  for (const char* expected : {"trun", "fits"}) {
    Batch got(1, 4);
    got.datagrams[0].address = nullptr;
    CHECK_EQUAL(got.Receive(receiver.get()), 1);
    CHECK(got.Text(0) == expected);
    CHECK_EQUAL(got.datagrams[0].truncated, expected[0] == 't');
  }
}

TEST("a datagram that cannot be sent says why, and those around it are sent") {
  const UniqueFd sender = UdpSocket();
  const UniqueFd receiver = UdpSocket();
  Batch sent(3, 0);
  sent.places = {"first", Pattern(70'000), "third"};
  for (size_t i = 0; i < 3; i++) {
    sent.datagrams[i].data = Part(sent.places[i]);
    sent.addresses[i] = NameOf(receiver);
  }
  CHECK_EQUAL(SendBatch(sender.get(), sent.datagrams.data(), 3), 3);
  CHECK_EQUAL(sent.datagrams[0].error, 0);
  CHECK_EQUAL(sent.datagrams[1].error, EMSGSIZE);
  CHECK_EQUAL(sent.datagrams[2].error, 0);
  Batch got(1, 10);
  CHECK_EQUAL(got.Receive(receiver.get()), 1);
  CHECK(got.Text(0) == "first");
  CHECK_EQUAL(got.Receive(receiver.get()), 1);
}

TEST("a batch of unix datagrams ends where the kernel has no room") {
  const testing::Pair pair = OpenPair(SOCK_DGRAM);
  Batch sent(kDatagramBatch, 50'000);
  for (Datagram& datagram : sent.datagrams) datagram.address = nullptr;
  const IoResult first = SendBatch(pair.write_end.get(), sent.datagrams.data(), kDatagramBatch);
  CHECK(first > 0);
  CHECK(first < static_cast<IoResult>(kDatagramBatch));
  CHECK_EQUAL(SendBatch(pair.write_end.get(), sent.datagrams.data(), kDatagramBatch), 0);
  IoResult received = 0;
  for (;;) {
    Batch got(3, 60'000);
    const IoResult count = got.Receive(pair.read_end.get());
    if (count < 0) break;
    for (IoResult i = 0; i < count; i++) {
      CHECK_EQUAL(got.datagrams[static_cast<size_t>(i)].data.iov_len, 50'000);
    }
    received += count;
  }
  CHECK_EQUAL(received, first);
}

}  // namespace
}  // namespace ringloop
