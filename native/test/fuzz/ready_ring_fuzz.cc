// ready_ring_fuzz.cc -- counters that JavaScript wrote at will, and what C++ appends between.
#include <memory>

#include "input.h"
#include "ring/ready_ring.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringloop;
  fuzz::Input input(data, size);
  Header header{};
  const uint32_t capacity = 2u << input.Below(8);
  // Of its exact size, so that a sanitizer sees a step outside.
  const auto records = std::make_unique<uint32_t[]>(capacity);
  ReadyRing ring;
  ring.Attach(&header, records.get(), capacity);
  while (!input.empty()) {
    if (input.Below(2) == 0) header.ready_head = input.Take<uint32_t>();
    const uint32_t used = input.Below(2) == 0 ? input.Take<uint32_t>() : input.Below(255);
    header.ready_tail = header.ready_head + used;
    RINGLOOP_CHECK(ring.CountersHold() == (used <= capacity));
    if (!ring.CountersHold()) continue;
    RINGLOOP_CHECK(ring.empty() == (used == 0) && ring.free() == capacity - used);
    for (uint32_t room = ring.free(); room > 0; room--) {
      const uint32_t payload = input.Take<uint32_t>() & kReadyPayloadMax;
      ring.Append(kTagRemote, payload);
      const uint32_t at = (header.ready_tail - 1) & (capacity - 1);
      RINGLOOP_CHECK(records[at] == PackReady(kTagRemote, payload));
    }
    RINGLOOP_CHECK(ring.free() == 0);
  }
  return 0;
}
