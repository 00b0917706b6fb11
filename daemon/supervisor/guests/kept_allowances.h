/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What guests have used of their limits, by name, for as long as it matters: until the allowance
 * would be full again. See policy/plugin_host/allowances.h for what it is and who is trusted.
 *
 * An engine has a memory until its process is gone; what stands there is copied then, and before if
 * the guest's next engine begins beside it. Of guests that are gone only numbers are left. When
 * these are too many, the guests that have most of them are forgotten first, so that one with few
 * does not lose them to others; of too many names those that left first. A guest that is forgotten
 * begins with full allowances. So does one whose engine was captured and has filled its part with
 * rubbish: others never see that.
 */
#ifndef SUPERVISOR_GUESTS_KEPT_ALLOWANCES_H
#define SUPERVISOR_GUESTS_KEPT_ALLOWANCES_H

#include <stdint.h>

#define KEPT_NAMES_MAX      4096u      /* guests that are gone */
#define KEPT_ALLOWANCES_MAX (1u << 18) /* of all of them: 4 MiB */

struct kept_guest;

/* Zeroed means: nothing is known. */
struct kept_allowances {
	struct kept_guest *list;
	uint32_t names;
	uint32_t count; /* of allowances; both also of guests that are there */
};

/*
 * A memory for the next engine of the guest of this name, with all that is known. Returns its
 * descriptor, borrowed until it is taken back, or -errno.
 */
int kept_allowances_lend(struct kept_allowances *kept, const char *name);
/* The engine that had this memory has ended: adds what it wrote and closes the descriptor. */
void kept_allowances_take_back(struct kept_allowances *kept, const char *name, int fd);
/* None may be lent any more. */
void kept_allowances_free(struct kept_allowances *kept);

#endif
