// faults_test.cc -- the bad day itself, and that the calls live through it.
#include "sys/faults.h"

#include <errno.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "support.h"
#include "sys/sockets.h"
#include "testing.h"

namespace ringloop {
namespace {

[[maybe_unused]] const auto ignored = signal(SIGPIPE, SIG_IGN);

// A plan, for as long as it is in scope.
struct Faulty {
  explicit Faulty(const FaultPlan& plan) { SetFaultPlan(plan); }
  Faulty(const Faulty&) = delete;
  Faulty& operator=(const Faulty&) = delete;
  ~Faulty() { SetFaultPlan({}); }
};

testing::Pair OpenPair(int type = SOCK_STREAM) {
  int ends[2];
  RINGLOOP_CHECK(OpenSocketPair(AF_UNIX, type, ends) == 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::string Pattern(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; i++) bytes[i] = static_cast<char>(i * 7 + i / 251);
  return bytes;
}

// What the injector says to a hundred calls.
std::vector<int64_t> Decisions(uint32_t seed) {
  const Faulty faulty({seed, 200, 300, 400});
  std::vector<int64_t> all;
  for (int i = 0; i < 100; i++) {
    all.push_back(Faults::BeforeCall(true));
    all.push_back(static_cast<int64_t>(Faults::Shorten(10'000)));
  }
  return all;
}

TEST("without a plan nothing is injected") {
  CHECK(!Faults::active());
  const testing::Pair pair = OpenPair();
  for (int i = 0; i < 1000; i++) {
    char bytes[8];
    CHECK_EQUAL(Send(pair.write_end.get(), "12345678", 8), 8);
    CHECK_EQUAL(Receive(pair.read_end.get(), bytes, 8), 8);
  }
}

TEST("a plan replays for the same seed, and differs for another") {
  CHECK(Decisions(7) == Decisions(7));
  CHECK(Decisions(7) != Decisions(8));
  CHECK(!Faults::active());
}

TEST("a seed is enough for no fault at all, and a rate without a seed is none") {
  {
    const Faulty faulty({1, 0, 0, 0});
    for (int i = 0; i < 1000; i++) {
      CHECK_EQUAL(Faults::BeforeCall(true), 0);
      CHECK_EQUAL(Faults::Shorten(5000), 5000);
    }
  }
  const Faulty faulty({0, 999, 1000, 1000});
  CHECK(!Faults::active());
}

TEST("a count that is cut stays between one and what was asked for") {
  const Faulty faulty({3, 0, 0, 1000});
  for (const size_t size : {size_t{0}, size_t{1}}) CHECK_EQUAL(Faults::Shorten(size), size);
  for (const size_t size : {size_t{2}, size_t{3}, size_t{4096}, size_t{1} << 40}) {
    for (int i = 0; i < 1000; i++) {
      const size_t allowed = Faults::Shorten(size);
      if (allowed < 1 || allowed >= size) CHECK_EQUAL(allowed, size - 1);
    }
  }
}

TEST("EAGAIN is only said to calls that may wait") {
  const Faulty faulty({5, 0, 1000, 0});
  CHECK_EQUAL(Faults::BeforeCall(true), EAGAIN);
  CHECK_EQUAL(Faults::BeforeCall(false), 0);
  const testing::Pair pair = OpenPair();
  CHECK_EQUAL(Send(pair.write_end.get(), "x", 1), -EAGAIN);
  CHECK_EQUAL(SocketError(pair.write_end.get()), 0);
}

TEST("interruptions are seen by nobody") {
  const Faulty faulty({11, 900, 0, 0});
  const testing::Pair pair = OpenPair();
  char byte;
  for (int i = 0; i < 1000; i++) {
    CHECK_EQUAL(Send(pair.write_end.get(), "x", 1), 1);
    CHECK_EQUAL(Read(pair.read_end.get(), &byte, 1), 1);
    CHECK_EQUAL(Read(pair.read_end.get(), &byte, 1), -EAGAIN);
  }
}

TEST("a plan under which no call would ever be made is our bug") {
  CHECK(testing::Stopped([] { SetFaultPlan({1, 1000, 0, 0}); }));
}

TEST("each thread has its own plan") {
  const std::vector<int64_t> alone = Decisions(7);
  std::vector<std::vector<int64_t>> together(4);
  std::vector<std::thread> threads;
  bool elsewhere = true;
  for (std::vector<int64_t>& decisions : together) {
    threads.emplace_back([&decisions] {
      for (int i = 0; i < 100; i++) decisions = Decisions(7);
    });
  }
  const Faulty faulty({1, 0, 1000, 0});
  std::thread other([&elsewhere] { elsewhere = Faults::active(); });
  for (std::thread& thread : threads) thread.join();
  other.join();
  CHECK(!elsewhere);
  CHECK(Faults::active());
  for (const std::vector<int64_t>& decisions : together) CHECK(decisions == alone);
}

// Sends what is left of `bytes`, in one of the ways there are.
IoResult SendSome(int fd, const std::string& bytes, size_t from, uint32_t way) {
  char* const start = const_cast<char*>(bytes.data()) + from;
  const size_t size = std::min<size_t>(bytes.size() - from, 20'000);
  const size_t half = size / 2;
  const iovec parts[] = {{start, 0}, {start, half}, {start + half, size - half}};
  switch (way % 4) {
    case 0: return Send(fd, start, size);
    case 1: return Write(fd, start, size);
    case 2: return SendVector(fd, parts, 3);
    default: return WriteVector(fd, parts, 3);
  }
}

// Both ends of a stream in turns, until everything has been sent and read.
std::string Transferred(const std::string& bytes, const testing::Pair& pair, IoResult* retried) {
  std::string arrived;
  size_t sent = 0;
  std::vector<char> buffer(30'000);
  for (uint32_t step = 0; arrived.size() < bytes.size() && step < 1'000'000; step++) {
    if (sent < bytes.size()) {
      const IoResult count = SendSome(pair.write_end.get(), bytes, sent, step);
      RINGLOOP_CHECK(count > 0 || count == -EAGAIN);
      sent += static_cast<size_t>(std::max<IoResult>(count, 0));
    }
    const size_t room = 1 + (step * 7919) % buffer.size();
    const int fd = pair.read_end.get();
    const IoResult count =
        step % 2 == 0 ? Receive(fd, buffer.data(), room) : Read(fd, buffer.data(), room);
    RINGLOOP_CHECK(count > 0 || count == -EAGAIN);
    if (count < 0) ++*retried;
    arrived.append(buffer.data(), static_cast<size_t>(std::max<IoResult>(count, 0)));
  }
  return arrived;
}

TEST("every byte of a stream arrives once and in order, whatever the day is like") {
  const std::string bytes = Pattern(1 << 20);
  for (uint32_t seed = 1; seed <= 60; seed++) {
    const testing::Pair pair = OpenPair();
    const Faulty faulty({seed * 2654435761u, seed * 53 % 900, seed * 97 % 900, seed * 31 % 1000});
    IoResult retried = 0;
    const bool complete = Transferred(bytes, pair, &retried) == bytes;
    CHECK(complete);
    if (!complete) std::cout << "seed " << seed << std::endl;
    CHECK(seed * 97 % 900 < 100 || retried > 0);
  }
}

TEST("every byte of a file arrives once and in order, whatever the day is like") {
  if (SendFile(-1, -1, 0, 1) == -ENOSYS) return;
  char path[] = "/tmp/ringloop-XXXXXX";
  const UniqueFd file(mkstemp(path));
  unlink(path);
  const std::string bytes = Pattern(300'000);
  RINGLOOP_CHECK(write(file.get(), bytes.data(), bytes.size()) == 300'000);
  for (uint32_t seed = 1; seed <= 20; seed++) {
    const testing::Pair pair = OpenPair();
    const Faulty faulty({seed, 200, 300, seed * 50});
    std::string arrived;
    std::vector<char> buffer(10'000);
    int64_t offset = 0;
    while (arrived.size() < bytes.size()) {
      const IoResult sent = SendFile(pair.write_end.get(), file.get(), offset, 8000);
      RINGLOOP_CHECK(sent >= 0 || sent == -EAGAIN);
      offset += std::max<IoResult>(sent, 0);
      const IoResult count = Read(pair.read_end.get(), buffer.data(), buffer.size());
      RINGLOOP_CHECK(count > 0 || count == -EAGAIN);
      arrived.append(buffer.data(), static_cast<size_t>(std::max<IoResult>(count, 0)));
    }
    CHECK(arrived == bytes);
  }
}

TEST("datagrams arrive whole and in order, whatever the day is like") {
  for (uint32_t seed = 1; seed <= 20; seed++) {
    const testing::Pair pair = OpenPair(SOCK_DGRAM);
    const Faulty faulty({seed, 200, 300, 900});
    size_t sent = 0;
    size_t received = 0;
    const std::string bytes = Pattern(500);
    while (received < 400) {
      Datagram out[4];
      for (size_t i = 0; i < 4; i++) out[i].data = {const_cast<char*>(bytes.data()), sent + i};
      const IoResult done = SendBatch(pair.write_end.get(), out, std::min<size_t>(4, 400 - sent));
      for (IoResult i = 0; i < done; i++) CHECK_EQUAL(out[i].error, 0);
      sent += static_cast<size_t>(done);
      char places[3][512];
      Datagram in[3];
      for (size_t i = 0; i < 3; i++) in[i].data = {places[i], sizeof places[i]};
      const IoResult got = ReceiveBatch(pair.read_end.get(), in, 3);
      RINGLOOP_CHECK(got > 0 || got == -EAGAIN);
      for (IoResult i = 0; i < got; i++, received++) {
        CHECK_EQUAL(in[i].data.iov_len, received);
        CHECK(memcmp(places[i], bytes.data(), received) == 0);
        CHECK(!in[i].truncated);
      }
    }
    CHECK_EQUAL(sent, received);
  }
}

}  // namespace
}  // namespace ringloop
