// layout_binding.h -- tells JavaScript the layout of layout.h, so that no number is written twice.
#pragma once

#include <napi.h>

namespace ringloop {

Napi::Object DescribeLayout(Napi::Env env);

}  // namespace ringloop
