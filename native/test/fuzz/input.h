// input.h -- a fuzzer's bytes, taken as numbers. When they have run out, all numbers are 0.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace ringloop::fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  bool empty() const { return size_ == 0; }

  template <typename T>
  T Take() {
    T value{};
    TakeInto(&value, sizeof value);
    return value;
  }

  void TakeInto(void* target, size_t size) {
    const size_t there = std::min(size, size_);
    if (there > 0) std::memcpy(target, data_, there);
    data_ += there;
    size_ -= there;
  }

  uint32_t Below(uint32_t limit) { return Take<uint8_t>() % limit; }

  // Any pattern of bits, or one of few values, so that there are ties.
  double Number() { return Below(2) == 0 ? Take<double>() : Below(8); }
  double NumberButNan() {
    const double number = Number();
    return std::isnan(number) ? -0.0 : number;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

}  // namespace ringloop::fuzz
