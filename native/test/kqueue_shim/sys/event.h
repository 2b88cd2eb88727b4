// event.h -- the part of <sys/event.h> that the kqueue back end uses, for a Linux that has none.
//
// Facts.      The numbers are FreeBSD's. What kqueue_shim.cc does not emulate is not declared.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <cstdint>

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_TIMER (-7)

#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ONESHOT 0x0010
#define EV_RECEIPT 0x0040
#define EV_ERROR 0x4000
#define EV_EOF 0x8000

#define NOTE_NSECONDS 0x00000008

struct kevent {
  uintptr_t ident;
  int16_t filter;
  uint16_t flags;
  uint32_t fflags;
  int64_t data;
  void* udata;
};

#define EV_SET(event, ident_, filter_, flags_, fflags_, data_, udata_) \
  do {                                                                 \
    (event)->ident = (ident_);                                         \
    (event)->filter = (filter_);                                       \
    (event)->flags = (flags_);                                         \
    (event)->fflags = (fflags_);                                       \
    (event)->data = (data_);                                           \
    (event)->udata = (udata_);                                         \
  } while (0)

int kqueue();
int kevent(int queue, const struct kevent* changes, int change_count, struct kevent* events,
           int capacity, const timespec* timeout);
