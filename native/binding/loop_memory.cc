// loop_memory.cc -- references, and the sizes that must be found behind them.
#include "binding/loop_memory.h"

#include <cstdint>
#include <utility>

#include "base/assert.h"

namespace ringloop {
namespace {

constexpr size_t kReadyRecordBytes = sizeof(uint32_t);

bool IsReadyLength(size_t bytes) {
  const size_t records = bytes / kReadyRecordBytes;
  return bytes % kReadyRecordBytes == 0 && records >= 2 && (records & (records - 1)) == 0 &&
         records <= kReadyPayloadMax;
}

// Memory of another addon may begin anywhere.
bool IsAligned(const void* data) {
  return reinterpret_cast<uintptr_t>(data) % alignof(double) == 0;
}

}  // namespace

bool LoopMemory::Pin(napi_value value, Reference* buffer) const {
  bool is_buffer = false;
  if (napi_is_arraybuffer(env_, value, &is_buffer) != napi_ok || !is_buffer) return false;
  *buffer = Napi::Persistent(Napi::ArrayBuffer(env_, value));
  return true;
}

const char* LoopMemory::Hold(napi_value header, napi_value ready, napi_value submissions) {
  if (!Pin(header, &header_) || BytesOf(header_).length != sizeof(Header)) {
    return "header must be an ArrayBuffer of layout.headerBytes";
  }
  if (!Pin(submissions, &submissions_) ||
      BytesOf(submissions_).length != sizeof(Submission) * kSubmissionCapacity) {
    return "submissions must be an ArrayBuffer for layout.submissionCapacity records";
  }
  if (const char* const wrong = HoldReady(ready)) return wrong;
  Loop::Memory memory;
  return Locate(&memory) ? nullptr : "the memory must begin at a multiple of 8 bytes";
}

const char* LoopMemory::HoldReady(napi_value ready) {
  Reference buffer;
  if (!Pin(ready, &buffer) || !IsReadyLength(BytesOf(buffer).length)) {
    return "ready must be an ArrayBuffer for a power of two of records";
  }
  ready_ = std::move(buffer);
  return nullptr;
}

LoopMemory::Bytes LoopMemory::BytesOf(const Reference& buffer) const {
  Bytes bytes;
  napi_value value = nullptr;
  if (napi_get_reference_value(env_, buffer, &value) != napi_ok || value == nullptr) return {};
  if (napi_get_arraybuffer_info(env_, value, &bytes.data, &bytes.length) != napi_ok) return {};
  return bytes;
}

bool LoopMemory::Locate(Loop::Memory* memory) const {
  const Bytes header = BytesOf(header_);
  const Bytes ready = BytesOf(ready_);
  const Bytes submissions = BytesOf(submissions_);
  const bool sound = header.length == sizeof(Header) && IsReadyLength(ready.length) &&
                     submissions.length == sizeof(Submission) * kSubmissionCapacity &&
                     IsAligned(header.data) && IsAligned(ready.data) &&
                     IsAligned(submissions.data);
  if (!sound) return false;
  *memory = {static_cast<Header*>(header.data), static_cast<uint32_t*>(ready.data),
             static_cast<uint32_t>(ready.length / kReadyRecordBytes),
             static_cast<Submission*>(submissions.data)};
  return true;
}

Loop::Memory LoopMemory::Located() const {
  Loop::Memory memory;
  RINGLOOP_CHECK(Locate(&memory));
  return memory;
}

bool LoopMemory::Locate(Loop* loop) const {
  Loop::Memory memory;
  if (!Locate(&memory)) return false;
  loop->Attach(memory);
  return true;
}

}  // namespace ringloop
