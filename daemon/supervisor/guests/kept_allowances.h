/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What guests have used of their limits, by name, for as long as it matters: until the allowance
 * would be full again. See policy/plugin_host/allowances.h for what it is and who is trusted.
 */
#ifndef SUPERVISOR_GUESTS_KEPT_ALLOWANCES_H
#define SUPERVISOR_GUESTS_KEPT_ALLOWANCES_H

#include <stdint.h>

#define KEPT_ALLOWANCES_MAX (1u << 18) /* of all guests that are gone: 4 MiB */

struct kept_guest;

/* Zeroed means: nothing is known. */
struct kept_allowances {
	struct kept_guest *list;
	uint32_t count; /* of allowances */
};

/*
 * A memory for the next engine of the guest of this name, with all that is known. Returns its
 * descriptor, the caller's, or -errno.
 */
int kept_allowances_lend(struct kept_allowances *kept, const char *name);
/*
 * The engine that had this memory is left, or has ended: adds what it wrote, and what it is still
 * to write is added later. Takes the descriptor; -1 is nothing.
 */
void kept_allowances_take_back(struct kept_allowances *kept, const char *name, int fd);
void kept_allowances_free(struct kept_allowances *kept);

#endif
