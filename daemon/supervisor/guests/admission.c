/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/guests/admission.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "supervisor/guests/guests.h"

#define ADMISSION_LETTERS_AND_DIGITS \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* Queues of engines that have ended, while records can't be stored: each holds memory. */
#define ADMISSION_QUEUES_MAX 64u

#define ADMISSION_REFUSALS_PER_S \
	5u /* events of refused guests that are stored: anybody can cause them */

/*
 * Stores and logs a refusal. Anybody who may connect can be refused, as often as he likes, so only
 * some of a second's are stored.
 */
static void admission_note_refusal(struct guests *guests, uint32_t uid, const char *name,
				   const char *why)
{
	uint64_t now_ns = clock_monotonic_ns();

	guests->refused++;
	if (now_ns - guests->refusals_ns > NS_PER_S) {
		guests->refusals_ns = now_ns;
		guests->refusals = 0;
	}
	if (guests->refusals++ >= ADMISSION_REFUSALS_PER_S)
		return;
	log_warning(guests->log, "refused: %s", why);
	auditd_process_event(guests->auditd, AUDIT_EVENT_GUEST_REFUSED, name, uid, "%s", why);
}

bool admission_name_is_valid(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length >= PVCALLS_NAME_MAX)
		return false;
	if (strspn(name, ADMISSION_LETTERS_AND_DIGITS) == 0)
		return false;
	return strspn(name, ADMISSION_LETTERS_AND_DIGITS "._-") == length;
}

static bool admission_name_is_free(const struct guests *guests, const char *name)
{
	for (const struct guest *guest = guests->list; guest; guest = guest->next) {
		if (strcmp(guest->device->guest.name, name) == 0)
			return false;
	}
	return true;
}

bool admission_may_attach(void *context, uint32_t uid, const char *name, struct fault *fault)
{
	struct guests *guests = context;
	bool valid = admission_name_is_valid(name);
	bool permitted = false;

	if (!valid)
		fault_set(fault, EINVAL,
			  "not a guest's name: a letter or digit was expected, then at most 62 "
			  "letters, digits, '.', '_' or '-'");
	else if (guests->stopping)
		fault_set(fault, ESHUTDOWN, "the daemon is stopping");
	else if (auditd_process_queues(guests->auditd) >
		 guests->engines->count + ADMISSION_QUEUES_MAX)
		fault_set(fault, EAGAIN,
			  "too many records of former guests wait to be stored: see the audit "
			  "writer's trouble in pvcallsctl status");
	else if (!admission_name_is_free(guests, name))
		fault_set(fault, EEXIST,
			  "guest '%s' is attached already: choose another name, or end that guest",
			  name);
	else
		permitted = config_permits_guest(guests->config, uid, name, fault);
	if (!permitted)
		admission_note_refusal(guests, uid, valid ? name : NULL, fault->text);
	return permitted;
}
