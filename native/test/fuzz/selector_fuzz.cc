// selector_fuzz.cc -- any sequence of calls to the selector, on fds that come and go.
//
// Decision.   poll(2) says what is ready. A level-triggered fd must be reported so, and no other
//             bits than were asked for may come.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>

#include "base/assert.h"
#include "base/unique_fd.h"
#include "input.h"
#include "sys/clock.h"
#include "sys/selector_default.h"

namespace ringloop {
namespace {

constexpr size_t kPairs = 4;
constexpr uint32_t kCapacity = 64;

struct Watched {
  UniqueFd fd;
  UniqueFd peer;
  uint8_t interest = kNone;
};

class Machine {
 public:
  explicit Machine(fuzz::Input* input) : input_(*input) {
    RINGLOOP_CHECK(selector_.Open().ok());
    for (Watched& each : watched_) Open(&each);
  }

  void Step() {
    Watched& one = watched_[input_.Below(kPairs)];
    switch (input_.Below(9)) {
      case 0:
      case 1: return Watch(&one);
      case 2: return Replace(&one);
      case 3: return one.peer.Reset();
      case 4: return Move(one.peer.get());
      case 5: return Move(one.fd.get());
      case 6: return Timer();
      default: return Wait();
    }
  }

 private:
  void Open(Watched* one) {
    int ends[2];
    const bool pipes = input_.Below(2) == 0;
    RINGLOOP_CHECK((pipes ? pipe2(ends, O_NONBLOCK)
                          : socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends)) == 0);
    one->fd = UniqueFd(ends[0]);
    one->peer = UniqueFd(ends[1]);
  }

  void Watch(Watched* one) {
    constexpr uint8_t kInterests[] = {kNone, kReadable, kWritable, kReadable | kWritable,
                                      kReadable | kEdge};
    const uint8_t wanted = kInterests[input_.Below(sizeof kInterests)];
    const int fd = one->fd.get();
    const Status status = wanted == kNone          ? selector_.Remove(fd)
                          : one->interest == kNone ? selector_.Add(fd, wanted)
                                                   : selector_.Modify(fd, wanted);
    RINGLOOP_CHECK(status.ok());
    one->interest = wanted;
  }

  // Closed with or without a word, so that its number comes back for another file.
  void Replace(Watched* one) {
    const bool told = input_.Below(2) == 0;
    const int fd = one->fd.get();
    if (told) RINGLOOP_CHECK(selector_.Remove(fd).ok());
    one->fd.Reset();
    one->peer.Reset();
    if (!told) RINGLOOP_CHECK(selector_.Remove(fd).ok());
    one->interest = kNone;
    Open(one);
  }

  void Move(int fd) {
    if (fd < 0) return;
    char bytes[64] = "";
    if (input_.Below(2) == 0) {
      (void)!read(fd, bytes, sizeof bytes);
    } else {
      (void)!write(fd, bytes, 1 + input_.Below(sizeof bytes));
    }
  }

  void Timer() {
    if (input_.Below(2) == 0) {
      RINGLOOP_CHECK(selector_.DisarmTimer().ok());
    } else {
      const auto away = static_cast<int64_t>(input_.Take<uint64_t>() >> 2);
      RINGLOOP_CHECK(selector_.ArmTimer(input_.Below(2) == 0 ? away : -away).ok());
    }
  }

  void Wait() {
    std::map<int, uint8_t> reported;
    SelectorEvent events[kCapacity];
    uint32_t count = 0;
    RINGLOOP_CHECK(selector_.Wait(events, kCapacity, 0, &count).ok() && count <= kCapacity);
    for (uint32_t i = 0; i < count; i++) reported[events[i].fd] |= events[i].ready;
    for (const Watched& one : watched_) {
      const auto found = reported.find(one.fd.get());
      const uint8_t bits = found == reported.end() ? uint8_t{kNone} : found->second;
      if (found != reported.end()) reported.erase(found);
      RINGLOOP_CHECK((bits & ~(one.interest & ~kEdge)) == 0);
      if ((one.interest & kEdge) == 0) RINGLOOP_CHECK(bits == Ready(one));
    }
    RINGLOOP_CHECK(reported.empty());
  }

  static uint8_t Ready(const Watched& one) {
    pollfd asked{one.fd.get(), 0, 0};
    if (one.interest & kReadable) asked.events |= POLLIN;
    if (one.interest & kWritable) asked.events |= POLLOUT;
    RINGLOOP_CHECK(poll(&asked, 1, 0) >= 0);
    uint8_t bits = kNone;
    if (asked.revents & ~POLLOUT) bits |= kReadable;
    if (asked.revents & ~POLLIN) bits |= kWritable;
    return bits & one.interest;
  }

  fuzz::Input& input_;
  Selector selector_;
  Watched watched_[kPairs];
};

}  // namespace
}  // namespace ringloop

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  signal(SIGPIPE, SIG_IGN);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ringloop::fuzz::Input input(data, size);
  ringloop::Machine machine(&input);
  while (!input.empty()) machine.Step();
  return 0;
}
