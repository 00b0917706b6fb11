/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Times, all in nanoseconds of 64 bits. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull

/* CLOCK_MONOTONIC in nanoseconds: for deadlines and durations. */
uint64_t clock_monotonic_ns(void);
/* CLOCK_REALTIME, UTC, nanoseconds since 1970: for records. */
uint64_t clock_wall_ns(void);

#endif
