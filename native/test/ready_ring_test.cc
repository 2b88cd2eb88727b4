// ready_ring_test.cc -- appending, wrapping, and counters that cannot be trusted.
#include "ring/ready_ring.h"

#include <array>
#include <vector>

#include "support.h"
#include "testing.h"

namespace ringloop {
namespace {

struct Fixture {
  explicit Fixture(uint32_t start = 0) {
    header.ready_head = header.ready_tail = start;
    ring.Attach(&header, records.data(), 8);
  }
  // What JavaScript does.
  uint32_t Take() { return records[header.ready_head++ & 7]; }

  Header header{};
  std::array<uint32_t, 8> records{};
  ReadyRing ring;
};

TEST("a new ring is empty and all of it is free") {
  const Fixture fixture;
  CHECK(fixture.ring.empty());
  CHECK_EQUAL(fixture.ring.free(), 8);
}

TEST("records come out in the order they were appended in") {
  Fixture fixture;
  fixture.ring.Append(kTagTimer, 5);
  fixture.ring.Append(kTagReadable, 6);
  CHECK(!fixture.ring.empty());
  CHECK_EQUAL(fixture.ring.free(), 6);
  CHECK_EQUAL(fixture.Take(), PackReady(kTagTimer, 5));
  CHECK_EQUAL(fixture.Take(), PackReady(kTagReadable, 6));
  CHECK(fixture.ring.empty());
}

TEST("a record keeps its tag and the largest payload apart") {
  Fixture fixture;
  fixture.ring.Append(kTagRemote, kReadyPayloadMax);
  const uint32_t record = fixture.Take();
  CHECK_EQUAL(record & ((1u << kReadyTagBits) - 1), kTagRemote);
  CHECK_EQUAL(record >> kReadyTagBits, kReadyPayloadMax);
}

TEST("the counters may pass 2^32") {
  Fixture fixture(UINT32_MAX - 2);
  for (uint32_t payload = 0; payload < 8; payload++) fixture.ring.Append(kTagTimer, payload);
  CHECK_EQUAL(fixture.ring.free(), 0);
  CHECK_EQUAL(fixture.header.ready_tail, 5);
  for (uint32_t payload = 0; payload < 8; payload++) {
    CHECK_EQUAL(fixture.Take(), PackReady(kTagTimer, payload));
  }
  CHECK(fixture.ring.empty());
}

TEST("a ring moves to larger memory with what is in it") {
  Fixture fixture(6);
  for (uint32_t payload = 0; payload < 8; payload++) fixture.ring.Append(kTagTimer, payload);
  std::array<uint32_t, 16> larger{};
  for (uint32_t at = 6; at < 14; at++) larger[at & 15] = fixture.records[at & 7];
  fixture.ring.Attach(&fixture.header, larger.data(), 16);
  CHECK_EQUAL(fixture.ring.free(), 8);
  fixture.ring.Append(kTagTimer, 8);
  for (uint32_t payload = 0; payload <= 8; payload++) {
    CHECK_EQUAL(larger[fixture.header.ready_head++ & 15], PackReady(kTagTimer, payload));
  }
}

TEST("an append without a free place ends the process") {
  CHECK(testing::Stopped([] {
    Fixture fixture;
    for (uint32_t i = 0; i < 9; i++) fixture.ring.Append(kTagTimer, i);
  }));
}

TEST("a payload that would run into the tag ends the process") {
  CHECK(testing::Stopped([] { Fixture().ring.Append(kTagTimer, kReadyPayloadMax + 1); }));
}

TEST("counters further apart than the capacity end the process") {
  CHECK(testing::Stopped([] {
    Fixture fixture;
    fixture.header.ready_tail = 9;
    fixture.ring.Append(kTagTimer, 0);
  }));
  CHECK(testing::Stopped([] {
    Fixture fixture;
    fixture.header.ready_head = 1;
    fixture.ring.Append(kTagTimer, 0);
  }));
}

TEST("a capacity that is no power of two ends the process") {
  CHECK(testing::Stopped([] {
    Fixture fixture;
    fixture.ring.Attach(&fixture.header, fixture.records.data(), 6);
  }));
}

}  // namespace
}  // namespace ringloop
