/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does what device_states.c says. How a device stands is asked anew after each thing done, so
 * nothing is remembered but what is under way: the engine's phase, and attach_wanted.
 */
#include "supervisor/guests/guest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fd.h"
#include "policy/source_check.h"
#include "supervisor/children/engine_orders.h"
#include "supervisor/guests/device_states.h"
#include "supervisor/guests/guest_device.h"
#include "supervisor/guests/guests.h"
#include "supervisor/guests/recovery_logs.h"

#define GUEST_STEPS_MAX 8u /* more than any way through the table */

static const struct engine_process_calls guest_engine_calls;

static void guest_write_state(struct guest *guest, enum xenbus_state state)
{
	int error = guest_device_set_state(guest->device, state);

	if (error)
		log_warning(guest->guests->log, "guest %s: cannot write state %s: %s",
			    guest->device->guest.name, xenbus_state_name(state), strerror(-error));
}

/* Ends what the guest has of an engine; nothing is left to wait for. */
static void guest_leave_engine(struct guest *guest, enum audit_close reason)
{
	struct engine_process *engine = guest->engine;

	guest->engine = NULL;
	guest->attach_wanted = false;
	if (engine)
		engine_order_leave(engine, reason);
}

void guest_drop(struct guest *guest, enum audit_close reason, const char *why)
{
	struct device *device = guest->device;

	if (guest->dropped)
		return;
	guest->dropped = true;
	loop_disarm(guest->guests->loop, &guest->pause);
	guest_leave_engine(guest, reason);
	if (device->backend != XENBUS_CLOSING && device->backend != XENBUS_CLOSED)
		guest_write_state(guest, XENBUS_CLOSING);
	if (device->backend != XENBUS_CLOSED)
		guest_write_state(guest, XENBUS_CLOSED);
	device->host->ops->drop(device, why);
}

static void guest_note_detached(struct guest *guest, const char *why)
{
	const char *name = guest->device->guest.name;

	if (!guest->attached)
		return;
	guest->attached = false;
	log_info(guest->guests->log, "guest %s: detached: %s", name, why);
	auditd_process_event(guest->guests->auditd, AUDIT_EVENT_GUEST_DETACHED, name,
			     guest->device->uid, "%s", why);
}

void guest_detached(struct guest *guest, enum audit_close reason, const char *why)
{
	guest_note_detached(guest, why);
	guest_leave_engine(guest, reason);
}

/* The guest broke the protocol. */
static void guest_cut_off(struct guest *guest, const char *how)
{
	const char *name = guest->device->guest.name;

	log_error(guest->guests->log, "guest %s: cut off: %s", name, how);
	auditd_process_event(guest->guests->auditd, AUDIT_EVENT_GUEST_CUT_OFF, name,
			     guest->device->uid, "%s", how);
	guest_drop(guest, AUDIT_CLOSE_CUT_OFF, how);
}

/* The guest can't be served, through no fault of its own. */
static void guest_give_up(struct guest *guest, const char *why)
{
	const char *name = guest->device->guest.name;

	log_error(guest->guests->log, "guest %s: cannot be served: %s", name, why);
	auditd_process_event(guest->guests->auditd, AUDIT_EVENT_GUEST_REFUSED, name,
			     guest->device->uid, "%s", why);
	guest_drop(guest, AUDIT_CLOSE_CUT_OFF, why);
}

/* Finds the policy that fits now and notes which it is. Returns NULL if none does. */
static const struct policy_source *guest_match_policy(struct guest *guest)
{
	static const uint8_t none[POLICY_DIGEST_BYTES];
	const struct policy_source *source =
		source_list_match(guest->guests->policies, &guest->device->guest);
	const uint8_t *digest = source ? source->digest : none;

	guest->policy_moved = memcmp(guest->policy_digest, digest, sizeof(none)) != 0 ||
			      strcmp(guest->policy, source ? source->path : "") != 0;
	memcpy(guest->policy_digest, digest, sizeof(none));
	guest->policy[0] = '\0';
	guest->policy_name[0] = '\0';
	if (!source)
		return NULL;
	snprintf(guest->policy, sizeof(guest->policy), "%s", source->path);
	if (policy_source_name(source, guest->policy_name))
		guest->policy_name[0] = '\0';
	return source;
}

static void guest_allowances_back(void *lender, const char *name, int fd)
{
	kept_allowances_take_back(lender, name, fd);
}

static void guest_start_engine(struct guest *guest, int recovery_log)
{
	struct guests *guests = guest->guests;
	struct engine_keeps keeps = {.recovery_log = recovery_log};
	struct fault fault = {.text = ""};

	ASSERT(!guest->engine && !guest->dropped);
	keeps.allowances = (struct engine_loan){
		.fd = kept_allowances_lend(&guests->kept, guest->device->guest.name),
		.give_back = guest_allowances_back,
		.lender = &guests->kept,
	};
	if (keeps.allowances.fd < 0) {
		guest_give_up(guest, "no memory for what it has used of its limits");
		return;
	}
	if (engine_processes_start(guests->engines, &guest->engine, guest->device,
				   guest_match_policy(guest), &keeps, &guest_engine_calls, guest,
				   &fault))
		guest_give_up(guest, fault.text);
}

/* A pause is over: whoever is to be served gets an engine. */
static void guest_pause_over(struct loop_timer *timer);

static void guest_pause_for(struct guest *guest, uint64_t from_now_ns)
{
	loop_arm(guest->guests->loop, &guest->pause, clock_monotonic_ns() + from_now_ns,
		 guest_pause_over, guest);
}

/*
 * Pauses before the guest gets another engine: for at_least_ns, longer if it has used up its burst
 * (generic cell rate algorithm). Each start costs a process, and a guest can cause as many as it
 * likes.
 */
static void guest_pause(struct guest *guest, uint64_t at_least_ns)
{
	const uint64_t burst_ns = GUEST_STARTS_BURST * GUEST_STARTS_NS;
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t wait_ns;

	if (guest->pause.heap_slot)
		return;
	if (guest->starts_ns < now_ns)
		guest->starts_ns = now_ns;
	wait_ns = guest->starts_ns - now_ns > burst_ns ? guest->starts_ns - now_ns - burst_ns : 0;
	guest->starts_ns += GUEST_STARTS_NS;
	guest_pause_for(guest, wait_ns > at_least_ns ? wait_ns : at_least_ns);
}

/* Opens the recovery log of a guest that needs one, -1 otherwise. Returns whether it can go on. */
static bool guest_open_recovery_log(struct guest *guest, bool fresh, int *recovery_log)
{
	const struct guests *guests = guest->guests;

	*recovery_log = -1;
	if (!guest->device->lasting)
		return true;
	*recovery_log = recovery_logs_open(guests->runtime_dir, guest->device->guest.domid,
					   guests->config->sockets, fresh);
	if (*recovery_log == -EWOULDBLOCK) {
		guest_pause_for(guest, GUEST_TAKE_OVER_NS);
		return false;
	}
	if (*recovery_log < 0)
		log_warning(
			guests->log,
			"guest %s: no recovery log in %s: %s; if its engine is killed, its calls "
			"are not answered",
			guest->device->guest.name, guests->runtime_dir, strerror(-*recovery_log));
	return true;
}

static void guest_publish(struct guest *guest)
{
	autoclose int recovery_log = -1;

	if (!guest_open_recovery_log(guest, true, &recovery_log))
		return;
	if (guest_device_publish(guest->device)) {
		guest_give_up(guest, "its xenstore nodes cannot be written");
		return;
	}
	/* The engine starts now, while the frontend sets up its ring. */
	guest_start_engine(guest, recovery_log);
}

static enum device_action guest_next_action(const struct guest *guest)
{
	const struct device *device = guest->device;

	return device_action(device->frontend, device->backend, device->online, guest->attached);
}

static void guest_pause_over(struct loop_timer *timer)
{
	struct guest *guest = timer->owner;

	if (guest_next_action(guest) == DEVICE_PAUSE ||
	    (guest->device->backend == XENBUS_INIT_WAIT && !guest->engine))
		guest_publish(guest);
	guest_step(guest);
}

static void guest_attach(struct guest *guest)
{
	struct engine_attach_args attach;
	const char *wrong;

	if (!guest->engine || guest->engine->phase >= ENGINE_ATTACHING)
		return;
	guest->attach_wanted = guest->engine->phase == ENGINE_STARTING;
	if (guest->attach_wanted)
		return;
	wrong = guest_device_read_ring(guest->device, &attach);
	if (wrong) {
		guest_cut_off(guest, wrong);
		return;
	}
	attach.take_over = guest->taking_over;
	if (engine_order_attach(guest->engine, &attach))
		engine_process_kill(guest->engine, "did not read its orders and was killed");
}

/* Starts an engine for rings that another one served, and attaches it when it is ready. */
static void guest_take_over(struct guest *guest)
{
	autoclose int recovery_log = -1;

	if (!guest->engine && !guest->pause.heap_slot &&
	    guest_open_recovery_log(guest, false, &recovery_log)) {
		guest->taking_over = true;
		guest_start_engine(guest, recovery_log);
	}
	guest_attach(guest);
}

static void guest_detach(struct guest *guest)
{
	enum audit_close reason =
		guest->device->online ? AUDIT_CLOSE_GUEST_GONE : AUDIT_CLOSE_OPERATOR;

	guest->attach_wanted = false;
	if (guest->engine)
		engine_order_detach(guest->engine, reason);
	else
		guest_write_state(guest, XENBUS_CLOSING);
}

/* Returns whether anything was done that makes it worth to look again. */
static bool guest_act(struct guest *guest, enum device_action action)
{
	enum xenbus_state before = guest->device->backend;

	switch (action) {
	case DEVICE_IGNORE:
		guest->guests->ignored++;
		return false;
	case DEVICE_WAIT:
		return false;
	case DEVICE_PUBLISH:
		guest_publish(guest);
		break;
	case DEVICE_PAUSE:
		guest_pause(guest, 0);
		return false;
	case DEVICE_ATTACH:
		guest_attach(guest);
		return false;
	case DEVICE_TAKE_OVER:
		guest_take_over(guest);
		return false;
	case DEVICE_DETACH:
		guest_detach(guest);
		break;
	case DEVICE_CLOSE:
		guest_write_state(guest, XENBUS_CLOSED);
		break;
	}
	return guest->device->backend != before;
}

void guest_step(struct guest *guest)
{
	ASSERT(guest->device->owner == guest);
	for (unsigned int i = 0; i < GUEST_STEPS_MAX && !guest->dropped; i++) {
		if (!guest_act(guest, guest_next_action(guest)))
			return;
	}
}

int guest_send_policy(struct guest *guest)
{
	if (!guest->engine)
		return -ENOENT;
	return engine_order_policy(guest->engine, guest_match_policy(guest));
}

static void guest_engine_ready(void *owner)
{
	struct guest *guest = owner;

	if (guest->attach_wanted)
		guest_step(guest);
}

static void guest_engine_attached(void *owner)
{
	struct guest *guest = owner;
	struct guests *guests = guest->guests;
	const char *name = guest->device->guest.name;
	const char *policy = guest->policy[0] ? guest->policy : "none: every call is denied";
	const char *how =
		guest->taking_over ? "taken over, its connections were reset" : "attached";

	ASSERT(!guest->attached);
	guest->attached = true;
	guest_write_state(guest, XENBUS_CONNECTED);
	log_info(guests->log, "guest %s: %s, policy %s", name, how, policy);
	auditd_process_event(guests->auditd, AUDIT_EVENT_GUEST_ATTACHED, name, guest->device->uid,
			     "%s, policy %s", how, policy);
	guest->taking_over = false;
	guest_step(guest);
}

static void guest_engine_failed(void *owner, int error, const char *text)
{
	struct guest *guest = owner;

	/* References and ports come from the guest: what can't be mapped is its fault. */
	if (guest->engine->phase == ENGINE_ATTACHING && error == -EINVAL)
		guest_cut_off(guest, text);
	else
		guest_give_up(guest, text[0] ? text : strerror(-error));
}

static void guest_engine_broken(void *owner, const char *text)
{
	guest_cut_off(owner, text);
}

static void guest_engine_full(void *owner, const char *text)
{
	struct guest *guest = owner;
	const char *name = guest->device->guest.name;

	log_warning(guest->guests->log,
		    "guest %s: all slots of its command ring wait, it can ask for nothing else: %s",
		    name, text);
	auditd_process_event(guest->guests->auditd, AUDIT_EVENT_SLOTS_FULL, name,
			     guest->device->uid, "all slots of the command ring wait: %s", text);
}

static void guest_engine_detached(void *owner)
{
	struct guest *guest = owner;

	guest_detached(guest, AUDIT_CLOSE_GUEST_GONE, "the guest closed its device");
	guest_write_state(guest, XENBUS_CLOSING);
	guest_step(guest);
}

static void guest_engine_ended(void *owner, const char *text)
{
	struct guest *guest = owner;

	guest->engine = NULL; /* freed by who calls us */
	if (!guest->device->lasting || guest->dropped) {
		guest_drop(guest, AUDIT_CLOSE_CUT_OFF, text);
		return;
	}
	/* The next one goes on with its rings. */
	guest_note_detached(guest, text);
	guest_pause(guest, GUEST_TAKE_OVER_NS);
}

static void guest_engine_policy_taken(void *owner, int error, const char *text)
{
	struct guest *guest = owner;
	struct guests *guests = guest->guests;
	char head[PVCALLS_NAME_MAX + GUEST_POLICY_PATH + 64];

	guest->policy_stale = error != 0;
	if (error) {
		snprintf(head, sizeof(head), "guest %s: its engine refused policy %s",
			 guest->device->guest.name, guest->policy);
		log_lines(guests->log, LOG_LEVEL_ERROR, head, text);
		guests_note_policy_refused(guests, guest->device->guest.name, 0, text);
	}
	if (guests->policy_taken)
		guests->policy_taken(guests->owner, guest, error, text);
}

static const struct engine_process_calls guest_engine_calls = {
	.ready = guest_engine_ready,
	.attached = guest_engine_attached,
	.failed = guest_engine_failed,
	.broken = guest_engine_broken,
	.full = guest_engine_full,
	.detached = guest_engine_detached,
	.policy_taken = guest_engine_policy_taken,
	.ended = guest_engine_ended,
};
