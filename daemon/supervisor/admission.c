/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/admission.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "supervisor/guests.h"
#include "supervisor/names.h"

/* Queues of engines that have ended, while records can't be stored: each holds memory. */
#define BACKLOG_MAX 64u

#define REFUSALS_PER_S 5u /* events of refused guests that are stored: anybody can cause them */

/*
 * Stores and logs a refusal. Anybody who may connect can be refused, as often as he likes, so only
 * some of a second's are stored.
 */
static void note_refusal(struct guests *guests, uint32_t uid, const char *name, const char *why)
{
	uint64_t now_ns = clock_monotonic_ns();

	guests->refused++;
	if (now_ns - guests->refusals_ns > NS_PER_S) {
		guests->refusals_ns = now_ns;
		guests->refusals = 0;
	}
	if (guests->refusals++ >= REFUSALS_PER_S)
		return;
	log_warning(guests->log, "refused: %s", why);
	writer_event(guests->writer, AUDIT_EVENT_GUEST_REFUSED, name, uid, "%s", why);
}

static bool name_is_free(const struct guests *guests, const char *name)
{
	for (const struct guest *guest = guests->list; guest; guest = guest->next) {
		if (strcmp(guest->device->guest.name, name) == 0)
			return false;
	}
	return true;
}

bool guest_may_attach(void *context, uint32_t uid, const char *name, struct fault *fault)
{
	struct guests *guests = context;
	bool valid = name_is_guest(name);
	bool permitted = false;

	if (!valid)
		fault_set(fault, EINVAL,
			  "not a guest's name: a letter or digit was expected, then at most 62 "
			  "letters, digits, '.', '_' or '-'");
	else if (guests->stopping)
		fault_set(fault, ESHUTDOWN, "the daemon is stopping");
	else if (writer_queues(guests->writer) > guests->engines->count + BACKLOG_MAX)
		fault_set(fault, EAGAIN,
			  "too many records of former guests wait to be stored: see the audit "
			  "writer's trouble in pvcallsctl status");
	else if (!name_is_free(guests, name))
		fault_set(fault, EEXIST,
			  "guest '%s' is attached already: choose another name, or end that guest",
			  name);
	else
		permitted = config_permits_guest(guests->config, uid, name, fault);
	if (!permitted)
		note_refusal(guests, uid, valid ? name : NULL, fault->text);
	return permitted;
}
