// support.h -- file descriptors, waits and deaths, as tests need them.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/assert.h"
#include "base/unique_fd.h"

namespace ringloop::testing {

// Two connected ends. What is written to `write_end` can be read from `read_end`.
struct Pair {
  UniqueFd read_end;
  UniqueFd write_end;

  void Write() const { RINGLOOP_CHECK(write(write_end.get(), "x", 1) == 1); }
  void Read() const {
    char byte;
    RINGLOOP_CHECK(read(read_end.get(), &byte, 1) == 1);
  }
};

inline Pair MakePipe() {
  int ends[2];
  RINGLOOP_CHECK(pipe(ends) == 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Both ends can be read and written.
inline Pair MakeSocketPair() {
  int ends[2];
  RINGLOOP_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Whether `fd` is readable, or becomes so within the time.
inline bool Readable(int fd, int timeout_ms = 0) {
  pollfd asked{fd, POLLIN, 0};
  return poll(&asked, 1, timeout_ms) == 1 && (asked.revents & POLLIN);
}

// For what must happen: long enough for the slowest machine, and never waited out.
inline constexpr int kSurelyMs = 10'000;

// Lets a test open some hundreds of fds on systems that start with a limit of 256.
inline void RaiseFdLimit(rlim_t wanted) {
  rlimit limit;
  RINGLOOP_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  RINGLOOP_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

// Whether `body` ends its process with abort(). It runs in a child, which stays silent.
template <typename Body>
bool Aborts(Body body) {
  std::fflush(nullptr);
  const pid_t child = fork();
  RINGLOOP_CHECK(child >= 0);
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
    body();
    _exit(0);
  }
  int status = 0;
  RINGLOOP_CHECK(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

// Whether `body`, which breaks an invariant, is stopped. Not asked where assertions are left out:
// what it does then is undefined.
template <typename Body>
bool Stopped(Body body) {
#if defined(RINGLOOP_NO_ASSERT)
  (void)body;
  return true;
#else
  return Aborts(body);
#endif
}

}  // namespace ringloop::testing
