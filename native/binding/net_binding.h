// net_binding.h -- the system calls of sys/sockets.h as functions of numbers.
//
// Facts.      Crossing with two or three numbers costs some 50 ns, throwing an Error microseconds,
//             and EAGAIN is no error at all.
// Decision.   Plain functions, one object per environment. Each returns a count, or a negative
//             errno that JavaScript makes an error of where it is one. They keep no state but the
//             slabs: who owns an fd, and what is queued for it, is JavaScript's to know.
// Invariants. Every offset and length is checked against the slab before it is used.
#pragma once

#include <napi.h>

namespace ringloop {

// { layout, attach(slab), read(fd), send(fd, offset, length), ... }
Napi::Object DefineSockets(Napi::Env env);

}  // namespace ringloop
