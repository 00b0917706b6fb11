/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Times as people write them. */
#ifndef AUDIT_QUERY_TIME_H
#define AUDIT_QUERY_TIME_H

#include <stdint.h>

#include "base/fault.h"

/*
 * Reads RFC 3339, a date, "-15m" (units s, m, h, d, w), "now", "today", "yesterday" or "boot". UTC
 * unless text says otherwise; times are nanoseconds since 1970. Returns 0 and *time_ns, or -EINVAL
 * and *fault.
 */
int query_time_parse(const char *text, int64_t now_ns, int64_t *time_ns, struct fault *fault);

#endif
