// submissions_fuzz.cc -- a loop whose shared memory is written at random before every turn.
//
// Decision.   What the binding asks before a turn is asked here. All memory has its exact size.
#include <memory>

#include "input.h"
#include "loop/loop.h"
#include "sys/clock.h"

namespace ringloop {
namespace {

class Memory {
 public:
  explicit Memory(uint32_t capacity)
      : capacity_(capacity),
        header_(std::make_unique<Header>()),
        ready_(std::make_unique<uint32_t[]>(capacity)),
        submissions_(std::make_unique<Submission[]>(kSubmissionCapacity)) {}

  Loop::Memory Get() const { return {header_.get(), ready_.get(), capacity_, submissions_.get()}; }

  void Scribble(fuzz::Input& input) {
    const uint32_t choice = input.Below(6);
    if (choice == 0) {
      const size_t at = input.Below(sizeof(Header) / sizeof(uint32_t));
      const auto word = input.Take<uint32_t>();
      std::memcpy(reinterpret_cast<uint8_t*>(header_.get()) + at * sizeof word, &word, sizeof word);
    } else if (choice == 1) {
      header_->ready_head = header_->ready_tail;  // all was taken
    } else {
      header_->submission_count = 1 + input.Below(16);
      for (uint32_t i = 0; i < header_->submission_count; i++) {
        const uint32_t slot = input.Below(3) == 0 ? input.Take<uint32_t>() : input.Below(64);
        submissions_[i] = {input.Number(), slot, 0};
      }
      if (input.Below(8) == 0) header_->submission_count = input.Take<uint32_t>();
    }
  }

 private:
  uint32_t capacity_;
  std::unique_ptr<Header> header_;
  std::unique_ptr<uint32_t[]> ready_;
  std::unique_ptr<Submission[]> submissions_;
};

}  // namespace
}  // namespace ringloop

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringloop;
  fuzz::Input input(data, size);
  auto memory = std::make_unique<Memory>(2u << input.Below(6));
  const int64_t age_ns = static_cast<int64_t>(input.Take<uint64_t>() % 1'000'000'000'000'000'000);
  Loop loop(memory->Get(), MonotonicNs() - age_ns);
  RINGLOOP_CHECK(loop.Open().ok());
  while (!input.empty()) {
    if (input.Below(16) == 0) {  // elsewhere, and of another size
      auto other = std::make_unique<Memory>(2u << input.Below(6));
      loop.Attach(other->Get());
      memory = std::move(other);
    }
    memory->Scribble(input);
    if (input.Below(8) == 0) loop.inbox().Post(input.Take<uint32_t>() & kReadyPayloadMax);
    (void)loop.ApplySubmissions();
    RINGLOOP_CHECK(loop.header().submission_count == 0);
    if (!loop.RingHolds()) continue;
    RINGLOOP_CHECK(loop.Turn(input.NumberButNan()).ok());
    RINGLOOP_CHECK(loop.RingHolds());
    RINGLOOP_CHECK(loop.PrepareToWait().ok());
  }
  return 0;
}
