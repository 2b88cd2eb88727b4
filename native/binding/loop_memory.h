// loop_memory.h -- the memory that a loop shares with JavaScript, and where it is at this moment.
//
// Facts.      A reference keeps an ArrayBuffer alive, but not its bytes: whoever has it can detach
//             it (transfer(), postMessage()), and resize it if it was made for that. Node-API has
//             no lock against either. JavaScript runs only when it is called.
// Decision.   A Loop is told where its memory is each time C++ is entered, and nothing is kept from
//             one entry to the next. See docs/adr/0009-where-shared-memory-is.md.
// Cost.       45 ns per entry, of which there is one for many callbacks.
// Invariants. Between Locate() and the last use of what it told the loop, no JavaScript runs.
#pragma once

#include <napi.h>

#include "loop/loop.h"

namespace ringloop {

class LoopMemory {
 public:
  explicit LoopMemory(napi_env env) : env_(env) {}

  // Null, or what is wrong with them.
  const char* Hold(napi_value header, napi_value ready, napi_value submissions);
  const char* HoldReady(napi_value ready);

  // Tells the loop where it is. False: some of it was detached or resized.
  bool Locate(Loop* loop) const;
  // Right after a Hold() that found nothing wrong.
  Loop::Memory Located() const;

 private:
  bool Locate(Loop::Memory* memory) const;

  using Reference = Napi::Reference<Napi::ArrayBuffer>;

  struct Bytes {
    void* data = nullptr;
    size_t length = 0;
  };

  Bytes BytesOf(const Reference& buffer) const;
  bool Pin(napi_value value, Reference* buffer) const;

  napi_env env_;
  Reference header_;
  Reference ready_;
  Reference submissions_;
};

}  // namespace ringloop
