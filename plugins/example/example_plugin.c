/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * example: the shortest useful plugin. It denies connects and accepts outside of office hours:
 *
 *     - plugin: example
 *       from: 8        # o'clock, UTC
 *       to: 18
 *
 * Copy it to begin your own. A plugin needs one header and links nothing.
 */
#include <stddef.h>
#include <string.h>

#include <pvcalls/plugin.h>

#define NS_PER_HOUR (3600ull * 1000000000ull)

/* What one instance knows. A policy may use a plugin more than once, so nothing is static. */
struct hours {
	uint64_t from;
	uint64_t to;
};

/* Called when a policy is loaded, with the plugin's section of the file. */
static void *hours_create(const struct pvcalls_host *host, const struct pvcalls_value *section)
{
	/* Asking for a key makes it known; the host refuses keys that nobody asked for. */
	const struct pvcalls_value *from = host->value_get(section, "from");
	const struct pvcalls_value *to = host->value_get(section, "to");
	/* Zeroed memory, freed by the host together with the instance. */
	struct hours *hours = host->alloc(host, sizeof(*hours));

	/* The readers report their errors with file, line and column; here it is enough to fail. */
	if (!hours || host->read_u64(host, from, 0, 23, &hours->from) ||
	    host->read_u64(host, to, 1, 24, &hours->to))
		return NULL;
	if (hours->from >= hours->to) {
		host->error_at(host, to, "the day ends before it begins; expected from < to");
		return NULL;
	}
	return hours;
}

/* Called once for each call of the operations below. *verdict is zeroed, which means: no opinion.
 */
static void hours_decide(void *instance, const struct pvcalls_call *call,
			 struct pvcalls_verdict *verdict)
{
	const struct hours *hours = instance;
	uint64_t hour = call->wall_ns / NS_PER_HOUR % 24;

	if (hour >= hours->from && hour < hours->to)
		return;
	verdict->kind = PVCALLS_DENY;
	strcpy(verdict->rule, "closed");
	strcpy(verdict->reason, "outside of office hours");
}

/* The one exported object. The file must be called example.so, as the name says. */
PVCALLS_PLUGIN(.name = "example", .version = "1.0",
	       .description = "denies connects and accepts outside of office hours",
	       .ops = 1u << PVCALLS_OP_CONNECT | 1u << PVCALLS_OP_ACCEPT, .create = hours_create,
	       .decide = hours_decide);
