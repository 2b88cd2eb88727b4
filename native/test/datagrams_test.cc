// datagrams_test.cc -- runs of datagrams that cross the kernel as one, against the real kernel.
//
// Facts.      Where the kernel cannot cut them, each datagram leaves by itself: what arrives is the
//             same, and so these tests hold everywhere.
#include <errno.h>
#include <netinet/in.h>

#include <string>
#include <vector>

#include "support.h"
#include "sys/faults.h"
#include "sys/sockets.h"
#include "testing.h"

namespace ringloop {
namespace {

UniqueFd UdpSocket() {
  const IoResult fd = OpenSocket(AF_INET, SOCK_DGRAM);
  RINGLOOP_CHECK(fd >= 0);
  Address loopback;
  RINGLOOP_CHECK(loopback.SetIp(AF_INET, "127.0.0.1", 0));
  RINGLOOP_CHECK(Bind(static_cast<int>(fd), loopback) == 0);
  return UniqueFd(static_cast<int>(fd));
}

Address NameOf(const UniqueFd& fd) {
  Address address;
  RINGLOOP_CHECK(LocalName(fd.get(), &address) == 0);
  return address;
}

struct Batch {
  std::vector<std::string> texts;
  std::vector<Address> addresses;
  std::vector<Datagram> datagrams;

  void Add(size_t size, const Address& to) {
    texts.emplace_back(size, static_cast<char>('a' + texts.size() % 26));
    addresses.push_back(to);
  }

  // `connected`: the addresses are not passed.
  IoResult Send(const UniqueFd& fd, bool connected = false) {
    datagrams.assign(texts.size(), {});
    for (size_t i = 0; i < texts.size(); i++) {
      datagrams[i].data = {texts[i].data(), texts[i].size()};
      if (!connected) datagrams[i].address = &addresses[i];
    }
    return SendBatch(fd.get(), datagrams.data(), datagrams.size(), CanSegment(fd.get()));
  }
};

std::vector<std::string> ReceiveAll(const UniqueFd& fd) {
  std::vector<std::string> texts;
  for (;;) {
    std::string place(70'000, '\0');
    Datagram datagram;
    datagram.data = {place.data(), place.size()};
    if (ReceiveBatch(fd.get(), &datagram, 1) < 1) return texts;
    texts.push_back(place.substr(0, datagram.data.iov_len));
  }
}

TEST("runs arrive as the datagrams they were") {
  const UniqueFd sender = UdpSocket();
  const UniqueFd one = UdpSocket();
  const UniqueFd two = UdpSocket();
  Batch batch;
  std::vector<std::string> to_one;
  std::vector<std::string> to_two;
  for (const size_t size : {64, 64, 64, 10, 10, 64, 0, 0, 1452, 1452, 1453, 1453, 9, 3, 3, 5}) {
    batch.Add(size, NameOf(one));
    to_one.push_back(batch.texts.back());
  }
  for (size_t i = 0; i < 16; i++) {
    const bool first = i % 5 == 0;
    batch.Add(20, NameOf(first ? one : two));
    (first ? to_one : to_two).push_back(batch.texts.back());
  }
  CHECK_EQUAL(batch.Send(sender), 32);
  CHECK(ReceiveAll(one) == to_one);
  CHECK(ReceiveAll(two) == to_two);
}

TEST("runs arrive on a connected socket, whatever the day is like") {
  const UniqueFd sender = UdpSocket();
  const UniqueFd receiver = UdpSocket();
  CHECK_EQUAL(Connect(sender.get(), NameOf(receiver)), 0);
  for (uint32_t seed = 1; seed <= 20; seed++) {
    Batch batch;
    for (size_t i = 0; i < 32; i++) batch.Add(i % 7 == 6 ? 5 : 30, NameOf(receiver));
    SetFaultPlan({seed, 200, 100, 500});
    IoResult sent = batch.Send(sender, true);
    SetFaultPlan({});
    CHECK(sent >= 0 && sent <= 32);
    batch.texts.resize(static_cast<size_t>(sent));
    CHECK(ReceiveAll(receiver) == batch.texts);
  }
}

#if defined(SO_NO_CHECK)
TEST("a run that the kernel refuses is sent one by one, and the error is nobody's") {
  const UniqueFd sender = UdpSocket();
  const UniqueFd receiver = UdpSocket();
  const int on = 1;
  CHECK_EQUAL(setsockopt(sender.get(), SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0);
  Batch batch;
  for (const size_t size : {7, 8, 8, 8, 70'000, 9, 9}) batch.Add(size, NameOf(receiver));
  std::vector<std::string> expected = batch.texts;
  expected.erase(expected.begin() + 4);
  CHECK_EQUAL(batch.Send(sender), 7);
  for (size_t i = 0; i < 7; i++) CHECK_EQUAL(batch.datagrams[i].error, i == 4 ? EMSGSIZE : 0);
  CHECK(ReceiveAll(receiver) == expected);
}
#endif

TEST("that an earlier datagram was refused costs the next one only") {
  const UniqueFd sender = UdpSocket();
  UniqueFd receiver = UdpSocket();
  const Address address = NameOf(receiver);
  CHECK_EQUAL(Connect(sender.get(), address), 0);
  receiver.Reset();
  Batch lost;
  lost.Add(10, address);
  CHECK_EQUAL(lost.Send(sender, true), 1);
  CHECK_EQUAL(lost.datagrams[0].error, 0);
  receiver = UniqueFd(static_cast<int>(OpenSocket(AF_INET, SOCK_DGRAM)));
  CHECK_EQUAL(Bind(receiver.get(), address), 0);
  Batch batch;
  for (size_t i = 0; i < 4; i++) batch.Add(10, address);
  CHECK_EQUAL(batch.Send(sender, true), 4);
  for (size_t i = 0; i < 4; i++) CHECK_EQUAL(batch.datagrams[i].error, i == 0 ? ECONNREFUSED : 0);
  CHECK_EQUAL(ReceiveAll(receiver).size(), 3);
}

TEST("only UDP can be cut") {
  int ends[2];
  RINGLOOP_CHECK(OpenSocketPair(AF_UNIX, SOCK_DGRAM, ends) == 0);
  const testing::Pair pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
  const UniqueFd stream(static_cast<int>(OpenSocket(AF_INET, SOCK_STREAM)));
  CHECK(!CanSegment(pair.read_end.get()));
  CHECK(!CanSegment(stream.get()));
}

}  // namespace
}  // namespace ringloop
