// selector_contract_test.cc -- what every back end of sys/selector.h promises.
//
// Decision.   One suite, built for each back end: epoll, and kqueue (elsewhere than on a BSD: over
//             kqueue_shim). Where the two kernels differ, the test names both outcomes.
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "support.h"
#include "sys/clock.h"
#include "sys/selector_default.h"
#include "testing.h"

namespace ringloop {
namespace {

using testing::kSurelyMs;
using testing::MakePipe;
using testing::MakeSocketPair;
using testing::Pair;
using testing::Readable;
using Ready = std::map<int, int>;  // the directions of each fd

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kHour = 3'600'000 * kMs;
constexpr bool kIsKqueue = std::string_view(Selector::kName) == "kqueue";

struct Opened : Selector {
  Opened() { RINGLOOP_CHECK(Open().ok()); }

  Ready Select(uint32_t capacity = 64, int64_t timeout_ns = 0) {
    std::vector<SelectorEvent> events(capacity + 1, SelectorEvent{-1, 0});
    uint32_t count = 12345;
    CHECK(Wait(events.data(), capacity, timeout_ns, &count).ok());
    CHECK(count <= capacity);
    CHECK_EQUAL(events[capacity].fd, -1);
    Ready ready;
    for (uint32_t i = 0; i < count && i < capacity; i++) ready[events[i].fd] = events[i].ready;
    CHECK_EQUAL(ready.size(), count);  // one event for each fd
    return ready;
  }
};

TEST("a new selector reports nothing, and its fd is not readable") {
  Opened selector;
  CHECK_EQUAL(selector.Select(), Ready{});
  CHECK(!Readable(selector.fd()));
}

TEST("a readable fd is reported in every wait until it is read") {
  Opened selector;
  const Pair pair = MakePipe();
  CHECK(selector.Add(pair.read_end.get(), kReadable).ok());
  CHECK_EQUAL(selector.Select(), Ready{});
  pair.Write();
  CHECK_EQUAL(selector.Select(), Ready{{pair.read_end.get(), kReadable}});
  CHECK_EQUAL(selector.Select(), Ready{{pair.read_end.get(), kReadable}});
  pair.Read();
  CHECK_EQUAL(selector.Select(), Ready{});
}

TEST("the selector's fd is readable exactly while a watched fd is ready") {
  Opened selector;
  const Pair pair = MakePipe();
  CHECK(selector.Add(pair.read_end.get(), kReadable).ok());
  CHECK(!Readable(selector.fd()));
  pair.Write();
  CHECK(Readable(selector.fd()));
  selector.Select();
  CHECK(Readable(selector.fd()));
  pair.Read();
  CHECK(!Readable(selector.fd()));
}

TEST("both directions of an fd arrive as one event") {
  Opened selector;
  const Pair pair = MakeSocketPair();
  pair.Write();
  CHECK(selector.Add(pair.read_end.get(), kReadable | kWritable).ok());
  CHECK_EQUAL(selector.Select(), Ready{{pair.read_end.get(), kReadable | kWritable}});
}

TEST("only the directions that were asked for are reported") {
  Opened selector;
  const Pair pair = MakeSocketPair();
  pair.Write();
  CHECK(selector.Add(pair.read_end.get(), kWritable).ok());
  CHECK(selector.Add(pair.write_end.get(), kReadable).ok());
  CHECK_EQUAL(selector.Select(), Ready{{pair.read_end.get(), kWritable}});
}

// ---- kEdge: the watcher takes all there is ------------------------------------------------------

// Two ends of a TCP connection.
Pair MakeTcpPair() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof address;
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM, 0));
  RINGLOOP_CHECK(bind(listener.get(), name, length) == 0 && listen(listener.get(), 1) == 0);
  RINGLOOP_CHECK(getsockname(listener.get(), name, &length) == 0);
  UniqueFd client(socket(AF_INET, SOCK_STREAM, 0));
  RINGLOOP_CHECK(connect(client.get(), name, length) == 0);
  return {UniqueFd(accept(listener.get(), nullptr, nullptr)), std::move(client)};
}

std::string ReceiveOnce(int fd) {
  char buffer[64];
  const ssize_t count = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  return count < 0 ? "nothing" : std::string(buffer, static_cast<size_t>(count));
}

void SendText(int fd, std::string_view text, int flags = 0) {
  CHECK_EQUAL(send(fd, text.data(), text.size(), flags), text.size());
}

TEST("with kEdge each arrival is reported") {
  Opened selector;
  const Pair pair = MakeTcpPair();
  const int fd = pair.read_end.get();
  const Ready readable{{fd, kReadable}};
  SendText(pair.write_end.get(), "before");
  CHECK(Readable(fd, kSurelyMs));
  CHECK(selector.Add(fd, kReadable | kEdge).ok());
  CHECK_EQUAL(selector.Select(), readable);
  CHECK_EQUAL(ReceiveOnce(fd), "before");
  CHECK_EQUAL(selector.Select(), Ready{});
  for (const char* text : {"one", "two"}) {
    SendText(pair.write_end.get(), text);
    CHECK_EQUAL(selector.Select(64, kHour), readable);
    CHECK_EQUAL(ReceiveOnce(fd), text);
  }
  SendText(pair.write_end.get(), "waits");
  CHECK_EQUAL(selector.Select(64, kHour), readable);
  CHECK(selector.Modify(fd, kReadable | kEdge).ok());  // asks once more
  CHECK_EQUAL(selector.Select(), readable);
  CHECK(selector.Modify(fd, kReadable).ok());
  for (int i = 0; i < 3; i++) CHECK_EQUAL(selector.Select(), readable);
}

TEST("with kEdge the end that comes with the last bytes is reported until it is read") {
  for (const bool is_reset : {false, true}) {
    Opened selector;
    Pair pair = MakeTcpPair();
    const int fd = pair.read_end.get();
    const Ready readable{{fd, kReadable}};
    CHECK(selector.Add(fd, kReadable | kEdge).ok());
    SendText(pair.write_end.get(), "last");
    const linger at_once{1, 0};
    if (is_reset) {
      setsockopt(pair.write_end.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    pair.write_end.Reset();
    CHECK_EQUAL(selector.Select(64, kHour), readable);
    CHECK_EQUAL(ReceiveOnce(fd), "last");
    for (int i = 0; i < 3; i++) CHECK_EQUAL(selector.Select(), readable);
    CHECK_EQUAL(ReceiveOnce(fd), is_reset ? "nothing" : "");
  }
}

TEST("with kEdge what stands behind urgent data is reported") {
  Opened selector;
  const Pair pair = MakeTcpPair();
  const int fd = pair.read_end.get();
  CHECK(selector.Add(fd, kReadable | kEdge).ok());
  SendText(pair.write_end.get(), "before");
  SendText(pair.write_end.get(), "!", MSG_OOB);
  SendText(pair.write_end.get(), "behind");
  std::string got;
  while (got != "beforebehind") {
    CHECK_EQUAL(selector.Select(64, kSurelyMs * kMs), Ready{{fd, kReadable}});
    const std::string text = ReceiveOnce(fd);
    if (text != "nothing") got += text;
  }
}

TEST("Modify replaces the interest") {
  Opened selector;
  const Pair pair = MakeSocketPair();
  const int fd = pair.read_end.get();
  pair.Write();
  CHECK(selector.Add(fd, kReadable).ok());
  CHECK(selector.Modify(fd, kWritable).ok());
  CHECK_EQUAL(selector.Select(), Ready{{fd, kWritable}});
  CHECK(selector.Modify(fd, kReadable | kWritable).ok());
  CHECK_EQUAL(selector.Select(), Ready{{fd, kReadable | kWritable}});
  CHECK(selector.Modify(fd, kReadable).ok());
  CHECK_EQUAL(selector.Select(), Ready{{fd, kReadable}});
}

TEST("Remove ends the reports, and the fd can be added again") {
  Opened selector;
  const Pair pair = MakePipe();
  const int fd = pair.read_end.get();
  pair.Write();
  CHECK(selector.Add(fd, kReadable).ok());
  CHECK(selector.Remove(fd).ok());
  CHECK_EQUAL(selector.Select(), Ready{});
  CHECK(selector.Remove(fd).ok());
  CHECK(selector.Add(fd, kReadable).ok());
  CHECK_EQUAL(selector.Select(), Ready{{fd, kReadable}});
}

TEST("Add of a watched fd and Modify of an unwatched one set the interest all the same") {
  Opened selector;
  const Pair pair = MakeSocketPair();
  CHECK(selector.Add(pair.read_end.get(), kReadable).ok());
  CHECK(selector.Add(pair.read_end.get(), kWritable).ok());
  CHECK(selector.Modify(pair.write_end.get(), kWritable).ok());
  CHECK_EQUAL(selector.Select(),
              Ready{{pair.read_end.get(), kWritable}, {pair.write_end.get(), kWritable}});
}

TEST("the end of what a pipe's writer wrote is readable") {
  Opened selector;
  Pair pair = MakePipe();
  CHECK(selector.Add(pair.read_end.get(), kReadable).ok());
  pair.write_end.Reset();
  CHECK_EQUAL(selector.Select(), Ready{{pair.read_end.get(), kReadable}});
}

TEST("a pipe whose reader is gone is writable, so that the writer meets the error") {
  Opened selector;
  Pair pair = MakePipe();
  while (fcntl(pair.write_end.get(), F_SETFL, O_NONBLOCK) == 0 &&
         write(pair.write_end.get(), "full", 4) > 0) {
  }
  CHECK(selector.Add(pair.write_end.get(), kWritable).ok());
  CHECK_EQUAL(selector.Select(), Ready{});
  pair.read_end.Reset();
  CHECK_EQUAL(selector.Select(), Ready{{pair.write_end.get(), kWritable}});
}

TEST("a hang-up is reported in the directions that were asked for") {
  for (const uint8_t interest :
       {uint8_t{kReadable}, uint8_t{kWritable}, uint8_t{kReadable | kWritable}}) {
    Opened selector;
    Pair pair = MakeSocketPair();
    CHECK(selector.Add(pair.read_end.get(), interest).ok());
    pair.write_end.Reset();
    CHECK_EQUAL(selector.Select(), Ready{{pair.read_end.get(), interest}});
  }
}

TEST("a closed fd is not reported, and its removal is no error") {
  Opened selector;
  Pair pair = MakePipe();
  const int fd = pair.read_end.get();
  pair.Write();
  CHECK(selector.Add(fd, kReadable).ok());
  pair.read_end.Reset();
  CHECK_EQUAL(selector.Select(), Ready{});
  CHECK(selector.Remove(fd).ok());
}

TEST("a removal is no error when the number has gone to another file") {
  for (const bool to_regular_file : {false, true}) {
    Opened selector;
    const Pair pair = MakePipe();
    const UniqueFd other(open(to_regular_file ? "/etc/passwd" : "/dev/null", O_RDONLY));
    const int fd = pair.read_end.get();
    CHECK(selector.Add(fd, kReadable).ok());
    pair.Write();
    CHECK_EQUAL(dup2(other.get(), fd), fd);
    CHECK(selector.Remove(fd).ok());
    CHECK_EQUAL(selector.Select(), Ready{});
  }
}

TEST("the number of a closed fd can be watched again, with Add and with Modify") {
  for (const bool modify : {false, true}) {
    Opened selector;
    const Pair old = MakeSocketPair();
    const Pair fresh = MakeSocketPair();
    const int fd = old.read_end.get();
    CHECK(selector.Add(fd, kReadable | kWritable).ok());
    CHECK_EQUAL(dup2(fresh.read_end.get(), fd), fd);
    CHECK((modify ? selector.Modify(fd, kReadable) : selector.Add(fd, kReadable)).ok());
    CHECK_EQUAL(selector.Select(), Ready{});
    fresh.Write();
    CHECK_EQUAL(selector.Select(), Ready{{fd, kReadable}});
  }
}

TEST("after a purge nothing is reported of an fd that was closed before it was removed") {
  // A duplicate keeps the file open, and with it the entry that no number names any more.
  for (const bool reused : {false, true}) {
    for (const bool modify : {false, true}) {
      Opened selector;
      Pair pair = MakePipe();
      const Pair other = MakePipe();
      const int fd = pair.read_end.get();
      pair.Write();
      CHECK(selector.Add(fd, kReadable).ok());
      const UniqueFd duplicate(dup(fd));
      if (reused) {
        CHECK_EQUAL(dup2(other.read_end.get(), fd), fd);
      } else {
        pair.read_end.Reset();
      }
      if (reused && modify) CHECK(selector.Modify(fd, kReadable).ok());
      CHECK(selector.Remove(fd).ok());
      bool purged = false;
      CHECK(selector.Purge(&purged).ok());
      CHECK_EQUAL(purged, !kIsKqueue);
      CHECK_EQUAL(selector.Select(), Ready{});
      // The emulation of kqueue goes on watching the file, although it does not report it.
      if (!kIsKqueue) CHECK(!Readable(selector.fd()));
      CHECK(selector.Purge(&purged).ok());
      CHECK(!purged);
    }
  }
}

TEST("a purge keeps the selector's number and its timer, and what is added again is reported") {
  Opened selector;
  Pair closed = MakePipe();
  const Pair pair = MakePipe();
  const int number = selector.fd();
  CHECK(selector.ArmTimer(MonotonicNs() - 1).ok());
  CHECK(selector.Add(closed.read_end.get(), kReadable).ok());
  const int fd = closed.read_end.get();
  closed.read_end.Reset();
  CHECK(selector.Remove(fd).ok());
  bool purged = false;
  CHECK(selector.Purge(&purged).ok());
  CHECK_EQUAL(selector.fd(), number);
  CHECK(Readable(selector.fd(), kSurelyMs));
  CHECK(selector.DisarmTimer().ok());
  CHECK(selector.Add(pair.read_end.get(), kReadable).ok());
  CHECK_EQUAL(selector.Select(), Ready{});
  pair.Write();
  CHECK_EQUAL(selector.Select(), Ready{{pair.read_end.get(), kReadable}});
}

TEST("where everything is removed before it is closed there is nothing to purge") {
  Opened selector;
  const Pair pair = MakePipe();
  CHECK(selector.Add(pair.read_end.get(), kReadable).ok());
  CHECK(selector.Modify(pair.read_end.get(), kReadable).ok());
  CHECK(selector.Remove(pair.read_end.get()).ok());
  bool purged = true;
  CHECK(selector.Purge(&purged).ok());
  CHECK(!purged);
}

TEST("an fd that is not open is refused with EBADF and the name of the call") {
  Opened selector;
  Pair pair = MakePipe();
  const int fd = pair.read_end.get();
  pair.read_end.Reset();
  const Status status = selector.Add(fd, kReadable);
  CHECK_EQUAL(status.error, EBADF);
  CHECK_EQUAL(std::string(status.syscall), std::string(kIsKqueue ? "kevent" : "epoll_ctl"));
  CHECK_EQUAL(selector.Modify(fd, kWritable).error, EBADF);
}

TEST("a regular file is refused with EPERM by epoll, and always ready to kqueue") {
  Opened selector;
  char path[] = "/tmp/ringloop-selector-XXXXXX";
  const UniqueFd file(mkstemp(path));
  CHECK_EQUAL(unlink(path), 0);
  CHECK_EQUAL(write(file.get(), "x", 1), 1);
  CHECK_EQUAL(lseek(file.get(), 0, SEEK_SET), 0);
  const Status status = selector.Add(file.get(), kReadable);
  CHECK_EQUAL(status.error, kIsKqueue ? 0 : EPERM);
  CHECK_EQUAL(selector.Select(), kIsKqueue ? Ready{{file.get(), kReadable}} : Ready{});
  CHECK(selector.Remove(file.get()).ok());
  CHECK_EQUAL(selector.Select(), Ready{});
}

TEST("a change that fails half-way leaves the interest as it was") {
  // kqueue sets one direction at a time, and refuses to watch a broken pipe for writing.
  Opened selector;
  Pair pair = MakePipe();
  const int fd = pair.write_end.get();
  pair.read_end.Reset();
  Ready before{};
  Status status = selector.Add(fd, kReadable | kWritable);
  CHECK_EQUAL(status.error, kIsKqueue ? EPIPE : 0);
  if (!status.ok()) CHECK_EQUAL(selector.Select(), before);

  CHECK(selector.Modify(fd, kReadable).ok());
  before = selector.Select();
  CHECK_EQUAL(before.size(), 1);
  status = selector.Modify(fd, kWritable);
  CHECK_EQUAL(status.error, kIsKqueue ? EPIPE : 0);
  if (!status.ok()) CHECK_EQUAL(selector.Select(), before);
}

TEST("a wait in which nothing happens ends at its timeout and not before") {
  Opened selector;
  for (const int64_t timeout : {kMs - 1, 2 * kMs + 1}) {
    const int64_t start = MonotonicNs();
    CHECK_EQUAL(selector.Select(64, timeout), Ready{});
    CHECK(MonotonicNs() - start >= timeout);
  }
}

TEST("a wait for ever, or for longer than the kernel can count, ends when an fd is ready") {
  Opened selector;
  const Pair pair = MakePipe();
  pair.Write();
  CHECK(selector.Add(pair.read_end.get(), kReadable).ok());
  for (const int64_t timeout : {int64_t{-1}, INT64_MAX, 24'000 * kHour}) {
    CHECK_EQUAL(selector.Select(64, timeout), Ready{{pair.read_end.get(), kReadable}});
  }
}

TEST("a wait that a signal interrupts reports nothing and is no error") {
  Opened selector;
  struct sigaction handler {};
  handler.sa_handler = [](int) {};
  CHECK_EQUAL(sigaction(SIGALRM, &handler, nullptr), 0);
  const itimerval often{{0, 1000}, {0, 1000}};  // again and again: the first may come too early
  CHECK_EQUAL(setitimer(ITIMER_REAL, &often, nullptr), 0);
  CHECK_EQUAL(selector.Select(64, -1), Ready{});
  const itimerval never{};
  CHECK_EQUAL(setitimer(ITIMER_REAL, &never, nullptr), 0);
}

TEST("no more events than the capacity are reported, and over time every fd is") {
  Opened selector;
  std::vector<Pair> pairs;
  Ready expected;
  for (int i = 0; i < 10; i++) {
    pairs.push_back(MakeSocketPair());
    pairs.back().Write();
    CHECK(selector.Add(pairs.back().read_end.get(), kReadable | kWritable).ok());
    expected[pairs.back().read_end.get()] = kReadable | kWritable;
  }
  for (const uint32_t capacity : {1u, 3u, 9u}) {
    Ready seen;
    for (int wait = 0; wait < 30; wait++) {
      for (const auto& [fd, ready] : selector.Select(capacity)) seen[fd] |= ready;
    }
    CHECK_EQUAL(seen, expected);
  }
  CHECK_EQUAL(selector.Select(64), expected);
}

TEST("a capacity of zero reports nothing and loses nothing") {
  Opened selector;
  const Pair pair = MakePipe();
  pair.Write();
  CHECK(selector.Add(pair.read_end.get(), kReadable).ok());
  CHECK_EQUAL(selector.Select(0), Ready{});
  CHECK_EQUAL(selector.Select(), Ready{{pair.read_end.get(), kReadable}});
}

TEST("six hundred fds that are ready at once are all reported, over a few waits") {
  testing::RaiseFdLimit(700);
  Opened selector;
  const Pair pair = MakePipe();
  pair.Write();
  std::vector<UniqueFd> copies;
  std::set<int> waiting;
  for (int i = 0; i < 600; i++) {
    copies.emplace_back(dup(pair.read_end.get()));
    CHECK(selector.Add(copies.back().get(), kReadable).ok());
    waiting.insert(copies.back().get());
  }
  for (int wait = 0; wait < 3; wait++) {
    for (const auto& [fd, ready] : selector.Select(600)) waiting.erase(fd);
  }
  CHECK_EQUAL(waiting, std::set<int>{});
}

TEST("the timer makes the selector's fd readable, not before the deadline") {
  Opened selector;
  const int64_t deadline = MonotonicNs() + 2 * kMs;
  CHECK(selector.ArmTimer(deadline).ok());
  CHECK(Readable(selector.fd(), kSurelyMs));
  CHECK(MonotonicNs() >= deadline);
}

TEST("a deadline that has passed is due at once") {
  for (const int64_t deadline : {MonotonicNs() - kHour, int64_t{0}, -kHour, MonotonicNs()}) {
    Opened selector;
    CHECK(selector.ArmTimer(deadline).ok());
    CHECK(Readable(selector.fd(), kSurelyMs));
  }
}

TEST("a deadline in a century is accepted and does not come now") {
  Opened selector;
  CHECK(selector.ArmTimer(int64_t{4'600'000'000'000'000'000}).ok());
  CHECK(!Readable(selector.fd(), 1));
}

TEST("a due timer keeps the fd readable through waits, which do not report it") {
  Opened selector;
  CHECK(selector.ArmTimer(MonotonicNs()).ok());
  for (int wait = 0; wait < 3; wait++) {
    CHECK(Readable(selector.fd(), kSurelyMs));
    CHECK_EQUAL(selector.Select(), Ready{});
  }
}

TEST("arming the timer again replaces the deadline, sooner or later, due or not") {
  Opened selector;
  CHECK(selector.ArmTimer(MonotonicNs() + kHour).ok());
  CHECK(selector.ArmTimer(MonotonicNs()).ok());
  CHECK(Readable(selector.fd(), kSurelyMs));
  CHECK(selector.ArmTimer(MonotonicNs() + kHour).ok());
  CHECK(!Readable(selector.fd(), 1));
  CHECK(selector.ArmTimer(MonotonicNs()).ok());
  CHECK(Readable(selector.fd(), kSurelyMs));
  CHECK_EQUAL(selector.Select(), Ready{});
  CHECK(selector.ArmTimer(MonotonicNs() + kHour).ok());
  CHECK(!Readable(selector.fd(), 1));
}

TEST("a disarmed timer does not make the fd readable, whether it was due or not") {
  Opened selector;
  CHECK(selector.DisarmTimer().ok());
  CHECK(selector.ArmTimer(MonotonicNs() + kMs).ok());
  CHECK(selector.DisarmTimer().ok());
  CHECK(!Readable(selector.fd(), 3));
  CHECK(selector.ArmTimer(MonotonicNs()).ok());
  CHECK(Readable(selector.fd(), kSurelyMs));
  CHECK(selector.DisarmTimer().ok());
  CHECK(!Readable(selector.fd(), 1));
  CHECK(selector.ArmTimer(MonotonicNs()).ok());
  CHECK(Readable(selector.fd(), kSurelyMs));
  CHECK_EQUAL(selector.Select(), Ready{});
  CHECK(selector.DisarmTimer().ok());
  CHECK(!Readable(selector.fd(), 1));
}

TEST("a due timer does not hide a ready fd for long, even from a capacity of one") {
  Opened selector;
  const Pair pair = MakePipe();
  CHECK(selector.Add(pair.read_end.get(), kReadable).ok());
  CHECK(selector.ArmTimer(MonotonicNs()).ok());
  CHECK(Readable(selector.fd(), kSurelyMs));
  pair.Write();
  Ready seen;
  for (int wait = 0; wait < 3; wait++) {
    for (const auto& [fd, ready] : selector.Select(1)) seen[fd] |= ready;
  }
  CHECK_EQUAL(seen, Ready{{pair.read_end.get(), kReadable}});
}

TEST("the selector's fd does not outlive an exec") {
  if (kIsKqueue) return;  // a child does not inherit a BSD's queue in the first place
  Opened selector;
  CHECK(fcntl(selector.fd(), F_GETFD) & FD_CLOEXEC);
}

}  // namespace
}  // namespace ringloop
