/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one instance of the plugin consists of. */
#ifndef RATELIMIT_H
#define RATELIMIT_H

#include <pvcalls/plugin.h>

#include "buckets.h"
#include "holds.h"
#include "limit.h"

#define LIMITS_MAX 64u /* of one section: a hold remembers them as bits */

struct ratelimit {
	const struct pvcalls_host *host;
	struct limit *limits;
	uint32_t count;
	struct buckets buckets; /* if a limit is per something else than the guest */
	struct holds holds;     /* if a limit is on sockets at a time */
};

#endif
