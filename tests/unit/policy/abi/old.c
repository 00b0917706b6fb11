/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plugin as it was built when ABI 1.0 was released: compiled against the header of then. The
 * asserts hold for that header and, in test_abi.c, for today's.
 */
#include "plugin-1.0.h"

#include "offsets-1.0.h"

static void *create(const struct pvcalls_host *host, const struct pvcalls_value *section)
{
	(void)section;
	return host->alloc(host, 1);
}

static void decide(void *instance, const struct pvcalls_call *call, struct pvcalls_verdict *verdict)
{
	(void)instance;
	verdict->kind = call->effective.port == 80 ? PVCALLS_ALLOW : PVCALLS_DEFER;
	verdict->rule[0] = 'o';
}

PVCALLS_PLUGIN(.name = "old", .version = "1.0", .description = "built against ABI 1.0",
	       .ops = 1u << PVCALLS_OP_CONNECT, .create = create, .decide = decide);
