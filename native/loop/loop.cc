// loop.cc -- the turn, and when to wake for the next timer.
#include "loop/loop.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"
#include "sys/clock.h"

namespace ringloop {
namespace {

// Timers in a crowd are collected: at most one wake-up per kCoalesceNs for them. A lone timer is
// never delayed. 200,000 timers in a second would otherwise cost 200,000 wake-ups of some 4 us each
// (docs/benchmarks.md, timers_fire).
constexpr TimeNs kCoalesceNs = 500'000;

}  // namespace

Loop::Loop(const Memory& memory, int64_t origin_ns)
    : origin_ns_(origin_ns) {
  Attach(memory);
  header_->next_deadline_ns = kNever;
}

void Loop::Attach(const Memory& memory) {
  header_ = memory.header;
  submissions_ = memory.submissions;
  ring_.Attach(header_, memory.ready, memory.ready_capacity);
}

Status Loop::Open() {
  Status status = selector_.Open();
  if (!status.ok()) return status;
  status = inbox_.Open();
  if (!status.ok()) return status;
  // Not through watchers_: turns without watched fds must go on making no system call.
  return selector_.Add(inbox_.fd(), kReadable);
}

void Loop::Close() {
  selector_ = Selector();
  inbox_.Close();
}

Status Loop::Purge(bool* purged) {
  const Status status = selector_.Purge(purged);
  if (!*purged || !status.ok()) return status;
  watchers_.Restore();
  return selector_.Add(inbox_.fd(), kReadable);
}

TimeNs Loop::Now() const { return static_cast<TimeNs>(MonotonicNs() - origin_ns_); }

bool Loop::ApplySubmissions() {
  const uint32_t count = std::min(header_->submission_count, kSubmissionCapacity);
  bool sane = count == header_->submission_count;
  Statistics& statistics = header_->statistics;
  for (uint32_t i = 0; i < count; i++) {
    const Submission submission = submissions_[i];
    const Slot beyond = timers_.slots() + kSubmissionCapacity;
    if (submission.slot >= std::min(beyond, kReadyPayloadMax + 1)) {
      sane = false;
    } else if (std::isnan(submission.deadline_ns)) {
      if (timers_.Remove(submission.slot)) statistics.timers_cancelled += 1;
    } else {
      timers_.Insert(submission.slot, submission.deadline_ns);
      statistics.timers_armed += 1;
    }
  }
  header_->submission_count = 0;
  header_->next_deadline_ns = timers_.NextDeadline();
  return sane;
}

Status Loop::Turn(TimeNs now) {
  header_->statistics.turns += 1;
  const Status status = AppendIo();
  AppendRemote();
  AppendExpired(now);
  header_->now_ns = now;
  header_->next_deadline_ns = timers_.NextDeadline();
  return status;
}

Status Loop::AppendIo() {
  const uint32_t room = ring_.free() / 2;  // in fds
  if (watchers_.count() == 0 || room == 0) return Status::Ok();
  // kqueue counts directions, and the kernel may report the inbox and the timer beside the fds.
  const uint32_t capacity = std::min(2 * watchers_.count() + 2, room);
  events_.resize(std::max<size_t>(events_.size(), capacity));
  uint32_t count = 0;
  header_->statistics.polls += 1;
  const Status status = selector_.Wait(events_.data(), capacity, 0, &count);
  if (!status.ok()) return status;
  for (uint32_t i = 0; i < count; i++) {
    const SelectorEvent& event = events_[i];
    if (event.fd == inbox_.fd()) continue;  // AppendRemote() looks for itself
    const auto fd = static_cast<uint32_t>(event.fd);
    if (event.ready & kReadable) AppendReady(kTagReadable, fd);
    if (event.ready & kWritable) AppendReady(kTagWritable, fd);
  }
  return Status::Ok();
}

void Loop::AppendReady(ReadyTag tag, uint32_t fd) {
  ring_.Append(tag, fd);
  header_->statistics.io_events += 1;
}

// JavaScript leaves room for a burst. What is left of a larger one stays here, ahead of what is
// posted meanwhile, and comes with the next turns.
void Loop::AppendRemote() {
  AppendTaken();
  if (remote_next_ == remote_ids_.size()) {
    inbox_.Take(&remote_ids_);
    remote_next_ = 0;
    AppendTaken();
  }
  if (remote_next_ < remote_ids_.size()) inbox_.Wake();
}

void Loop::AppendTaken() {
  for (; remote_next_ < remote_ids_.size() && ring_.free() > 0; remote_next_++) {
    ring_.Append(kTagRemote, remote_ids_[remote_next_]);
    header_->statistics.remote_calls += 1;
  }
}

void Loop::AppendExpired(TimeNs now) {
  for (uint32_t room = ring_.free(); room > 0; room--) {
    const Slot slot = timers_.PopExpired(now);
    if (slot == kNoSlot) return;
    ring_.Append(kTagTimer, slot);
    header_->statistics.timers_fired += 1;
    last_fired_ns_ = now;
  }
}

// The deadline itself for a lone timer. In a crowd (another is due within the window, and timers
// have just fired) the end of the window, so that one wake-up serves all of it.
TimeNs Loop::WakeDeadline() const {
  const TimeNs next = timers_.NextDeadline();
  const TimeNs window_end = last_fired_ns_ + kCoalesceNs;
  if (next >= window_end || timers_.SecondDeadline() > window_end) return next;
  return window_end;
}

Status Loop::PrepareToWait() {
  const TimeNs deadline = WakeDeadline();
  if (deadline == kNever) {
    armed_for_ns_ = kNever;
    return selector_.DisarmTimer();
  }
  // Armed for that time already and still ahead: the kernel need not hear it again.
  if (deadline == armed_for_ns_ && deadline > header_->now_ns) return Status::Ok();
  armed_for_ns_ = deadline;
  // Rounded up: never early. Too far for an int64 is clamped to some 146 years.
  const double ns = std::min(std::ceil(deadline), 4.6e18);
  return selector_.ArmTimer(origin_ns_ + static_cast<int64_t>(std::max(ns, -9.0e15)));
}

}  // namespace ringloop
