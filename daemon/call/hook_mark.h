/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which hook of which plugin is running.
 *
 * Theory of operation. A plugin that crashes or loops takes its process with it, which can tell
 * nobody any more. So what is running is written down before each hook, in memory that others hold
 * too (audit/queue/), and crossed out after it. The plugin's name is there before its hook is, so
 * that whoever finds the process dead finds both or none. They must not believe it: the process
 * may have been captured.
 */
#ifndef CALL_HOOK_MARK_H
#define CALL_HOOK_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

enum hook_kind {
	HOOK_KIND_NONE,
	HOOK_KIND_CREATE,
	HOOK_KIND_DESTROY,
	HOOK_KIND_INHERIT,
	HOOK_KIND_GUEST_ATTACH,
	HOOK_KIND_GUEST_DETACH,
	HOOK_KIND_DECIDE,
	HOOK_KIND_CHECK,
	HOOK_KIND_EXPLAIN,
	HOOK_KIND_OBSERVE,
	HOOK_KIND_METRICS,
	HOOK_KINDS,
};

struct hook_mark {
	uint32_t kind; /* enum hook_kind; NONE: no plugin is running */
	char plugin[PVCALLS_NAME_MAX];
};

/*
 * Before a hook of the plugin of this name, and after it; nothing for mark NULL. Hooks don't call
 * each other.
 */
void hook_mark_begin(struct hook_mark *mark, enum hook_kind kind, const char *plugin);
void hook_mark_end(struct hook_mark *mark);

/* The name of a hook as in plugin.h; NULL for none, and for what is no hook. */
const char *hook_mark_name(uint32_t kind);
/*
 * Copies a mark once and brings it into range: its name ends within the array and is printable,
 * and its kind is one of the above. Returns whether a hook is running.
 */
bool hook_mark_read(const struct hook_mark *mark, struct hook_mark *copy);

#endif
