/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/guests/guests.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/decimal.h"
#include "supervisor/guests/admission.h"
#include "supervisor/guests/recovery_logs.h"

static void guests_device_added(void *context, struct device *device)
{
	struct guests *guests = context;
	struct guest *guest = calloc(1, sizeof(*guest));

	ASSERT(!device->owner);
	if (!guest || guests->stopping) {
		free(guest);
		device->host->ops->drop(device, "the daemon has no memory or is stopping");
		return;
	}
	*guest = (struct guest){
		.next = guests->list,
		.guests = guests,
		.device = device,
		.since_wall_ns = clock_wall_ns(),
	};
	device->owner = guest;
	guests->list = guest;
	guests->count++;
	guest_step(guest);
}

static void guests_device_changed(void *context, struct device *device)
{
	(void)context;
	if (device->owner)
		guest_step(device->owner);
}

static void guests_free_guest(struct guests *guests, struct guest *guest)
{
	struct guest **place = &guests->list;

	while (*place != guest) {
		ASSERT(*place);
		place = &(*place)->next;
	}
	*place = guest->next;
	guests->count--;
	if (guests->gone)
		guests->gone(guests->owner, guest);
	loop_disarm(guests->loop, &guest->pause);
	free(guest);
}

static void guests_device_removed(void *context, struct device *device)
{
	struct guests *guests = context;
	struct guest *guest = device->owner;

	if (!guest)
		return;
	guest_detached(guest, AUDIT_CLOSE_GUEST_GONE,
		       guest->dropped ? "its device was taken away" : "the guest is gone");
	if (device->lasting)
		recovery_logs_remove(guests->runtime_dir, device->guest.domid);
	device->owner = NULL;
	guests_free_guest(guests, guest);
}

static void guests_transport_trouble(void *context, const char *text)
{
	struct guests *guests = context;

	if (text)
		log_error(guests->log, "%s", text);
	else
		log_info(guests->log, "xenstored answers again");
	auditd_process_event(guests->auditd, AUDIT_EVENT_TRANSPORT, NULL, 0, "%s",
			     text ? text : "xenstored answers again");
}

void guests_events(struct guests *guests, struct device_events *events)
{
	*events = (struct device_events){
		.added = guests_device_added,
		.changed = guests_device_changed,
		.removed = guests_device_removed,
		.trouble = guests_transport_trouble,
		.may_attach = admission_may_attach,
		.context = guests,
	};
}

struct guest *guests_find(const struct guests *guests, const char *text)
{
	uint64_t domid = UINT64_MAX;

	(void)decimal_read(text, UINT32_MAX, &domid);
	for (struct guest *guest = guests->list; guest; guest = guest->next) {
		if (strcmp(guest->device->guest.name, text) == 0)
			return guest;
	}
	for (struct guest *guest = guests->list; guest; guest = guest->next) {
		const struct pvcalls_guest *identity = &guest->device->guest;

		if (identity->domid == domid || (text[0] && strcmp(identity->uuid, text) == 0))
			return guest;
	}
	return NULL;
}

void guests_note_policy_refused(struct guests *guests, const char *name, uint32_t uid,
				const char *text)
{
	size_t length;
	int line;

	for (line = 1; line == 1 || *text; line++) {
		length = strcspn(text, "\n");
		if (line == GUESTS_REFUSALS_MAX && text[length]) {
			auditd_process_event(guests->auditd, AUDIT_EVENT_POLICY_REFUSED, name, uid,
					     "there are more errors: see the log");
			return;
		}
		auditd_process_event(guests->auditd, AUDIT_EVENT_POLICY_REFUSED, name, uid, "%.*s",
				     (int)length, text);
		text += length + (text[length] == '\n');
	}
}

void guests_stop(struct guests *guests)
{
	guests->stopping = true;
	for (struct guest *guest = guests->list; guest; guest = guest->next) {
		/* Their states stay as they are: nothing must make a frontend give up. */
		guest->dropped = true;
		loop_disarm(guests->loop, &guest->pause);
		guest_detached(guest, AUDIT_CLOSE_SHUTDOWN, "the daemon stops");
	}
}

void guests_free(struct guests *guests)
{
	struct guest *next;

	for (struct guest *guest = guests->list; guest; guest = next) {
		next = guest->next;
		guest->device->owner = NULL;
		guests_free_guest(guests, guest);
	}
	ASSERT(guests->count == 0);
	kept_allowances_free(&guests->kept);
}
