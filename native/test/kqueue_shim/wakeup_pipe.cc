// wakeup_pipe.cc -- sys/wakeup.cc as systems without eventfd compile it.
//
// Facts.      The headers it includes are read here first, on the system they were made for.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>

#include "base/assert.h"
#include "sys/wakeup.h"

#undef __linux__
#include "sys/wakeup.cc"
