/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "call/hook_mark.h"

#include <stddef.h>
#include <string.h>

#include "base/assert.h"

static const char *const hook_names[HOOK_KINDS] = {
	[HOOK_KIND_CREATE] = "create",
	[HOOK_KIND_DESTROY] = "destroy",
	[HOOK_KIND_INHERIT] = "inherit",
	[HOOK_KIND_GUEST_ATTACH] = "guest_attach",
	[HOOK_KIND_GUEST_DETACH] = "guest_detach",
	[HOOK_KIND_DECIDE] = "decide",
	[HOOK_KIND_CHECK] = "check",
	[HOOK_KIND_EXPLAIN] = "explain",
	[HOOK_KIND_OBSERVE] = "observe",
	[HOOK_KIND_METRICS] = "metrics",
};

void hook_mark_begin(struct hook_mark *mark, enum hook_kind kind, const char *plugin)
{
	ASSERT(kind > HOOK_KIND_NONE && kind < HOOK_KINDS && plugin);
	if (!mark)
		return;
	/* Most often it is there already: of the call before. */
	if (strncmp(mark->plugin, plugin, sizeof(mark->plugin)) != 0) {
		memcpy(mark->plugin, plugin, strnlen(plugin, sizeof(mark->plugin) - 1) + 1);
		mark->plugin[sizeof(mark->plugin) - 1] = '\0';
	}
	__atomic_store_n(&mark->kind, (uint32_t)kind, __ATOMIC_RELEASE);
}

void hook_mark_end(struct hook_mark *mark)
{
	if (mark)
		__atomic_store_n(&mark->kind, (uint32_t)HOOK_KIND_NONE, __ATOMIC_RELEASE);
}

const char *hook_mark_name(uint32_t kind)
{
	return kind < HOOK_KINDS ? hook_names[kind] : NULL;
}

bool hook_mark_read(const struct hook_mark *mark, struct hook_mark *copy)
{
	size_t i;

	copy->kind = __atomic_load_n(&mark->kind, __ATOMIC_ACQUIRE);
	memcpy(copy->plugin, mark->plugin, sizeof(copy->plugin));
	__asm__ volatile("" : : : "memory"); /* or the compiler may read it again */
	copy->plugin[sizeof(copy->plugin) - 1] = '\0';
	for (i = 0; copy->plugin[i]; i++)
		if (copy->plugin[i] < ' ' || copy->plugin[i] > '~')
			copy->plugin[i] = '?';
	if (!hook_mark_name(copy->kind))
		copy->kind = HOOK_KIND_NONE;
	return copy->kind != HOOK_KIND_NONE;
}
