// wakeup_test.cc -- on Linux it runs twice: on the eventfd, and on the pipe of other systems.
#include "sys/wakeup.h"

#include <thread>

#include "support.h"
#include "testing.h"

namespace ringloop {
namespace {

using testing::kSurelyMs;
using testing::Readable;

TEST("a new wake-up is not readable") {
  Wakeup wakeup;
  CHECK(wakeup.Open().ok());
  CHECK(!Readable(wakeup.fd()));
}

TEST("Notify makes the fd readable until Drain") {
  Wakeup wakeup;
  CHECK(wakeup.Open().ok());
  wakeup.Notify();
  CHECK(Readable(wakeup.fd()));
  CHECK(Readable(wakeup.fd()));
  wakeup.Drain();
  CHECK(!Readable(wakeup.fd()));
}

TEST("Drain of a quiet wake-up returns at once") {
  Wakeup wakeup;
  CHECK(wakeup.Open().ok());
  wakeup.Drain();
  CHECK(!Readable(wakeup.fd()));
}

TEST("one Drain answers any number of Notify, even more than a pipe can hold") {
  Wakeup wakeup;
  CHECK(wakeup.Open().ok());
  for (int i = 0; i < 100'000; i++) wakeup.Notify();
  CHECK(Readable(wakeup.fd()));
  wakeup.Drain();
  CHECK(!Readable(wakeup.fd()));
  wakeup.Notify();
  CHECK(Readable(wakeup.fd()));
}

TEST("Notify from another thread ends a wait") {
  Wakeup wakeup;
  CHECK(wakeup.Open().ok());
  std::thread other([&wakeup] { wakeup.Notify(); });
  CHECK(Readable(wakeup.fd(), kSurelyMs));
  other.join();
}

TEST("the fd does not outlive an exec") {
  Wakeup wakeup;
  CHECK(wakeup.Open().ok());
  CHECK(fcntl(wakeup.fd(), F_GETFD) & FD_CLOEXEC);
}

}  // namespace
}  // namespace ringloop
