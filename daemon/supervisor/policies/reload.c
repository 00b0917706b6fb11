/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/policies/reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"

void reload_init(struct reload *reload, struct policies *policies, struct guests *guests)
{
	*reload = (struct reload){.policies = policies, .guests = guests};
}

static void reload_tell(struct reload *reload, int error, const char *text)
{
	reload_done_fn done = reload->done;

	reload->done = NULL;
	if (done)
		done(reload->owner, error, text);
}

static void reload_note_refused(struct reload *reload, const char *why)
{
	struct guests *guests = reload->guests;

	log_lines(guests->log, LOG_LEVEL_ERROR, "reload refused, the policies in force stay", why);
	guests_note_policy_refused(guests, NULL, reload->uid, why);
}

static uint32_t reload_count_unanswered(const struct reload *reload)
{
	uint32_t count = 0;

	for (const struct guest *guest = reload->guests->list; guest; guest = guest->next)
		count += guest->engine && guest->engine->policy_pending;
	return count;
}

static void reload_finish(struct reload *reload)
{
	struct guests *guests = reload->guests;
	uint32_t unanswered = reload_count_unanswered(reload);
	const struct policies *policies = reload->policies;
	char text[POLICIES_CHANGES_MAX + 256];
	size_t used;

	ASSERT(reload->waiting);
	reload->waiting = false;
	loop_disarm(guests->loop, &reload->timer);
	used = (size_t)snprintf(text, sizeof(text),
				"%zu policies in force (%s); %u of %u guests moved to another or a "
				"changed one",
				policies->set.count,
				policies->changes[0] ? policies->changes : "none changed",
				reload->moved, reload->sent);
	if (reload->refused || unanswered)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "; %u refused theirs, %u have not answered",
					 reload->refused, unanswered);
	if (reload->warned)
		snprintf(text + used, sizeof(text) - used, "; with warnings, see the log");
	log_info(guests->log, "reload: %s", text);
	auditd_process_event(guests->auditd, AUDIT_EVENT_RELOAD, NULL, reload->uid, "%s", text);
	reload_tell(reload, 0, text);
}

static void reload_finish_if_answered(struct reload *reload)
{
	if (reload->waiting && reload_count_unanswered(reload) == 0)
		reload_finish(reload);
}

static void reload_expired(struct loop_timer *timer)
{
	reload_finish(timer->owner);
}

static void reload_send_to_all(struct reload *reload)
{
	struct guests *guests = reload->guests;

	for (struct guest *guest = guests->list; guest; guest = guest->next) {
		int error = guest_send_policy(guest);

		if (error == -ENOENT)
			continue;
		reload->sent++;
		reload->moved += guest->policy_moved;
		/* One that can't be told would go on with rules that are no longer in force. */
		if (error)
			engine_process_kill(guest->engine,
					    "could not be given a policy and was killed");
	}
}

static void reload_checked(void *owner, int error, const struct fault *fault)
{
	struct reload *reload = owner;

	if (error) {
		reload_note_refused(reload, fault->text);
		reload_tell(reload, error, fault->text);
		return;
	}
	reload->warned = fault->text[0];
	if (reload->warned)
		log_lines(reload->guests->log, LOG_LEVEL_WARNING, "reload", fault->text);
	reload->sent = 0;
	reload->moved = 0;
	reload->refused = 0;
	reload->waiting = true;
	reload_send_to_all(reload);
	loop_arm(reload->guests->loop, &reload->timer, clock_monotonic_ns() + RELOAD_ANSWER_NS,
		 reload_expired, reload);
	reload_finish_if_answered(reload);
}

int reload_start(struct reload *reload, uint32_t uid, reload_done_fn done, void *owner,
		 struct fault *fault)
{
	int error;

	if (reload->waiting)
		return fault_set(fault, EBUSY, "a reload is under way already");
	error = policies_load(reload->policies, reload_checked, reload, fault);
	if (error == -EBUSY)
		return error;
	reload->uid = uid;
	if (error) {
		reload_note_refused(reload, fault->text);
		return error;
	}
	reload->done = done;
	reload->owner = owner;
	return 0;
}

void reload_stop(struct reload *reload)
{
	if (reload->guests)
		loop_disarm(reload->guests->loop, &reload->timer);
	reload->waiting = false;
	reload->done = NULL;
}

void reload_policy_taken(void *owner, struct guest *guest, int error, const char *text)
{
	struct reload *reload = owner;

	if (error) {
		reload->refused++;
		reload->policies->stale = true;
		fault_set(&reload->policies->stale_fault, EINVAL, "guest %s: %s",
			  guest->device->guest.name, text);
	}
	reload_finish_if_answered(reload);
}

void reload_guest_gone(void *owner, struct guest *guest)
{
	(void)guest;
	reload_finish_if_answered(owner);
}
