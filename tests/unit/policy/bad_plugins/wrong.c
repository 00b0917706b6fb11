/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that are refused; WRONG_... says in which way. */
#include <pvcalls/plugin.h>

__attribute__((unused)) static void *create(const struct pvcalls_host *host,
					    const struct pvcalls_value *section)
{
	(void)section;
	return host->alloc(host, 1);
}

__attribute__((unused)) static void decide(void *instance, const struct pvcalls_call *call,
					   struct pvcalls_verdict *verdict)
{
	(void)instance;
	(void)call;
	verdict->kind = PVCALLS_ALLOW;
}

extern PVCALLS_EXPORT const struct pvcalls_plugin pvcalls_plugin;
#ifndef WRONG_OBJECT
PVCALLS_EXPORT const struct pvcalls_plugin pvcalls_plugin = {
#ifdef WRONG_SIZE
	.size = 16,
#else
	.size = sizeof(struct pvcalls_plugin),
#endif
#ifdef WRONG_ABI
	.abi_major = PVCALLS_ABI_MAJOR + 1,
#else
	.abi_major = PVCALLS_ABI_MAJOR,
#endif
	.name = WRONG_NAME,
	.version = "1",
	.description = "is wrong",
#ifdef WRONG_OPS
	.ops = 1u << PVCALLS_OP_COUNT,
#else
	.ops = 1u << PVCALLS_OP_CONNECT,
#endif
	.create = create,
#ifndef WRONG_HOOKS
	.decide = decide,
#endif
};
#else
extern PVCALLS_EXPORT const int unrelated;
PVCALLS_EXPORT const int unrelated = 1;
#endif
