// selector_default.h -- the one place that asks which system this is; best back end first.
#pragma once

#if defined(RINGLOOP_SELECTOR_KQUEUE)  // the test build that runs kqueue on the emulation
#include "sys/selector_kqueue.h"
namespace ringloop {
using Selector = KqueueSelector;
}
#elif defined(__linux__)
#include "sys/selector_epoll.h"
namespace ringloop {
using Selector = EpollSelector;
}
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__NetBSD__)
#include "sys/selector_kqueue.h"
namespace ringloop {
using Selector = KqueueSelector;
}
#else
#error "ringloop's native core knows epoll and kqueue only"
#endif
