// numbers.h -- numbers of JavaScript that must be the integers they claim to be.
//
// Facts.      Node-API turns NaN, 2^32 and 1.5 into some integer without a word.
// Decision.   A number is taken as the double it is, and compared.
#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>

namespace ringloop {

// Nothing: no number, no integer, or not between the two, which fit an int64.
inline std::optional<int64_t> ToInteger(napi_env env, napi_value value, double least, double most) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok) return {};
  if (!(number >= least && number <= most)) return {};
  const auto integer = static_cast<int64_t>(number);
  if (static_cast<double>(integer) != number) return {};
  return integer;
}

}  // namespace ringloop
