/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does what device_states.c says. How a device stands is asked anew after each thing done, so
 * nothing is remembered but what is under way: the engine's phase, and attach_wanted.
 */
#include "supervisor/guests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "base/fd.h"
#include "policy/source_check.h"
#include "supervisor/admission.h"
#include "supervisor/device_states.h"
#include "supervisor/recovery_logs.h"

#define STEPS_MAX 8u /* more than any way through the table */

static const struct engine_calls engine_calls;

static void step(struct guest *guest);
static void try_later(struct guest *guest, uint64_t from_now_ns);

static void write_state(struct guest *guest, enum xenbus_state state)
{
	struct device *device = guest->device;
	struct device_node node = {.key = "state"};
	int error;

	snprintf(node.value, sizeof(node.value), "%u", (unsigned int)state);
	error = device->host->ops->write(device, &node, 1);
	if (error)
		log_warning(guest->guests->log, "guest %s: cannot write state %s: %s",
			    device->guest.name, xenbus_state_name(state), strerror(-error));
	device->backend = state;
}

/* Ends what the guest has of an engine; nothing is left to wait for. */
static void leave_engine(struct guest *guest, enum audit_close reason)
{
	struct engine *engine = guest->engine;

	guest->engine = NULL;
	guest->attach_wanted = false;
	if (engine)
		engine_leave(engine, reason);
}

void guest_drop(struct guest *guest, enum audit_close reason, const char *why)
{
	struct device *device = guest->device;

	if (guest->dropped)
		return;
	guest->dropped = true;
	loop_disarm(guest->guests->loop, &guest->hold);
	leave_engine(guest, reason);
	if (device->backend != XENBUS_CLOSING && device->backend != XENBUS_CLOSED)
		write_state(guest, XENBUS_CLOSING);
	if (device->backend != XENBUS_CLOSED)
		write_state(guest, XENBUS_CLOSED);
	device->host->ops->drop(device, why);
}

static void note_detached(struct guest *guest, const char *why)
{
	const char *name = guest->device->guest.name;

	if (!guest->attached)
		return;
	guest->attached = false;
	log_info(guest->guests->log, "guest %s: detached: %s", name, why);
	writer_event(guest->guests->writer, AUDIT_EVENT_GUEST_DETACHED, name, guest->device->uid,
		     "%s", why);
}

/* The guest broke the protocol. */
static void cut_off(struct guest *guest, const char *how)
{
	const char *name = guest->device->guest.name;

	log_error(guest->guests->log, "guest %s: cut off: %s", name, how);
	writer_event(guest->guests->writer, AUDIT_EVENT_GUEST_CUT_OFF, name, guest->device->uid,
		     "%s", how);
	guest_drop(guest, AUDIT_CLOSE_CUT_OFF, how);
}

/* The guest can't be served, through no fault of its own. */
static void give_up(struct guest *guest, const char *why)
{
	const char *name = guest->device->guest.name;

	log_error(guest->guests->log, "guest %s: cannot be served: %s", name, why);
	writer_event(guest->guests->writer, AUDIT_EVENT_GUEST_REFUSED, name, guest->device->uid,
		     "%s", why);
	guest_drop(guest, AUDIT_CLOSE_CUT_OFF, why);
}

static const struct policy_source *match_policy(struct guest *guest)
{
	const struct policy_source *source =
		policies_match(guest->guests->policies, &guest->device->guest);

	guest->policy[0] = '\0';
	guest->policy_name[0] = '\0';
	if (!source)
		return NULL;
	snprintf(guest->policy, sizeof(guest->policy), "%s", source->path);
	if (policy_source_name(source, guest->policy_name))
		guest->policy_name[0] = '\0';
	return source;
}

static void begin(struct guest *guest, int recovery_log)
{
	struct fault fault = {.text = ""};

	if (engine_begin(guest->guests->engines, &guest->engine, guest->device, match_policy(guest),
			 recovery_log, &engine_calls, guest, &fault))
		give_up(guest, fault.text);
}

/* Opens the recovery log of a guest that needs one, -1 otherwise. Returns whether it can go on. */
static bool take_recovery_log(struct guest *guest, bool fresh, int *recovery_log)
{
	const struct guests *guests = guest->guests;

	*recovery_log = -1;
	if (!guest->device->lasting)
		return true;
	*recovery_log = recovery_logs_open(guests->runtime_dir, guest->device->guest.domid,
					   guests->config->sockets, fresh);
	if (*recovery_log == -EWOULDBLOCK) {
		try_later(guest, GUEST_ADOPT_NS);
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

static void publish(struct guest *guest)
{
	static const struct device_node nodes[] = {
		{"versions", GUEST_VERSIONS},
		{"max-page-order", GUEST_MAX_PAGE_ORDER},
		{"function-calls", GUEST_FUNCTION_CALLS},
		{"feature-names", GUEST_FEATURE_NAMES},
		{"feature-cancel", GUEST_FEATURE_CANCEL},
		{"feature-reuse", GUEST_FEATURE_REUSE},
		{"feature-shutdown", GUEST_FEATURE_SHUTDOWN},
		{"state", "2"},
	};
	struct device *device = guest->device;
	autoclose int recovery_log = -1;
	int error;

	if (!take_recovery_log(guest, true, &recovery_log))
		return;
	error = device->host->ops->write(device, nodes, sizeof(nodes) / sizeof(nodes[0]));
	if (error) {
		give_up(guest, "its xenstore nodes cannot be written");
		return;
	}
	device->backend = XENBUS_INIT_WAIT;
	/* The engine starts now, while the frontend sets up its ring. */
	begin(guest, recovery_log);
}

static enum device_action action_for(const struct guest *guest)
{
	const struct device *device = guest->device;

	return device_action(device->frontend, device->backend, device->online, guest->attached);
}

/* A pause is over: whoever is to be served gets an engine. */
static void hold_over(struct loop_timer *timer)
{
	struct guest *guest = timer->owner;

	if (action_for(guest) == DEVICE_HOLD ||
	    (guest->device->backend == XENBUS_INIT_WAIT && !guest->engine))
		publish(guest);
	step(guest);
}

static void try_later(struct guest *guest, uint64_t from_now_ns)
{
	loop_arm(guest->guests->loop, &guest->hold, clock_monotonic_ns() + from_now_ns, hold_over,
		 guest);
}

/*
 * Pauses before the guest gets another engine: for at_least_ns, longer if it has used up its burst
 * (generic cell rate algorithm). Each start costs a process, and a guest can cause as many as it
 * likes.
 */
static void hold(struct guest *guest, uint64_t at_least_ns)
{
	const uint64_t burst_ns = GUEST_STARTS_BURST * GUEST_STARTS_NS;
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t wait_ns;

	if (guest->hold.heap_slot)
		return;
	if (guest->starts_ns < now_ns)
		guest->starts_ns = now_ns;
	wait_ns = guest->starts_ns - now_ns > burst_ns ? guest->starts_ns - now_ns - burst_ns : 0;
	guest->starts_ns += GUEST_STARTS_NS;
	try_later(guest, wait_ns > at_least_ns ? wait_ns : at_least_ns);
}

/* Reads a number of the frontend's; *value is absent if the node is. Returns 0 or -errno. */
static int read_node(struct device *device, const char *key, uint64_t absent, uint64_t *value)
{
	char text[DEVICE_VALUE_MAX];
	int error = device->host->ops->read(device, key, text);

	if (error == -ENOENT && absent != UINT64_MAX) {
		*value = absent;
		return 0;
	}
	return error ? error : decimal_read(text, UINT32_MAX, value);
}

/* Reads what the frontend wrote about its ring. Returns NULL, or what is wrong with it. */
static const char *read_ring(struct device *device, struct engine_attach_args *attach)
{
	uint64_t ref;
	uint64_t port;
	uint64_t version;
	uint64_t names;
	uint64_t cancel;
	uint64_t reuse;
	uint64_t half_close;

	if (read_node(device, "ring-ref", UINT64_MAX, &ref))
		return "its node ring-ref is missing or no number";
	if (read_node(device, "port", UINT64_MAX, &port))
		return "its node port is missing or no number";
	if (read_node(device, "version", 1, &version) || version != 1)
		return "its node version is not 1";
	if (read_node(device, "feature-names", 0, &names))
		return "its node feature-names is no number";
	if (read_node(device, "feature-cancel", 0, &cancel))
		return "its node feature-cancel is no number";
	if (read_node(device, "feature-reuse", 0, &reuse))
		return "its node feature-reuse is no number";
	if (read_node(device, "feature-shutdown", 0, &half_close))
		return "its node feature-shutdown is no number";
	*attach = (struct engine_attach_args){
		.ring_ref = (uint32_t)ref,
		.port = (uint32_t)port,
		.names = names == 1,
		.reuse = reuse == 1,
		.half_close = half_close == 1,
		.cancel = cancel == 1,
	};
	return NULL;
}

static void attach(struct guest *guest)
{
	struct engine_attach_args where;
	const char *wrong;

	if (!guest->engine || guest->engine->phase >= ENGINE_ATTACHING)
		return;
	guest->attach_wanted = guest->engine->phase == ENGINE_STARTING;
	if (guest->attach_wanted)
		return;
	wrong = read_ring(guest->device, &where);
	if (wrong) {
		cut_off(guest, wrong);
		return;
	}
	where.take_over = guest->adopting;
	if (engine_serve(guest->engine, &where))
		engine_kill(guest->engine, "did not read its orders and was killed");
}

/* Starts an engine for rings that another one served, and attaches it when it is ready. */
static void adopt(struct guest *guest)
{
	autoclose int recovery_log = -1;

	if (!guest->engine && !guest->hold.heap_slot &&
	    take_recovery_log(guest, false, &recovery_log)) {
		guest->adopting = true;
		begin(guest, recovery_log);
	}
	attach(guest);
}

static void detach(struct guest *guest)
{
	enum audit_close reason =
		guest->device->online ? AUDIT_CLOSE_GUEST_GONE : AUDIT_CLOSE_OPERATOR;

	guest->attach_wanted = false;
	if (guest->engine)
		engine_release(guest->engine, reason);
	else
		write_state(guest, XENBUS_CLOSING);
}

/* Returns whether anything was done that makes it worth to look again. */
static bool act(struct guest *guest, enum device_action action)
{
	enum xenbus_state before = guest->device->backend;

	switch (action) {
	case DEVICE_IGNORE:
		guest->guests->ignored++;
		return false;
	case DEVICE_WAIT:
		return false;
	case DEVICE_PUBLISH:
		publish(guest);
		break;
	case DEVICE_HOLD:
		hold(guest, 0);
		return false;
	case DEVICE_ATTACH:
		attach(guest);
		return false;
	case DEVICE_ADOPT:
		adopt(guest);
		return false;
	case DEVICE_DETACH:
		detach(guest);
		break;
	case DEVICE_CLOSE:
		write_state(guest, XENBUS_CLOSED);
		break;
	}
	return guest->device->backend != before;
}

static void step(struct guest *guest)
{
	for (unsigned int i = 0; i < STEPS_MAX && !guest->dropped; i++) {
		if (!act(guest, action_for(guest)))
			return;
	}
}

static void engine_ready(void *owner)
{
	struct guest *guest = owner;

	if (guest->attach_wanted)
		step(guest);
}

static void engine_attached(void *owner)
{
	struct guest *guest = owner;
	struct guests *guests = guest->guests;
	const char *name = guest->device->guest.name;
	const char *policy = guest->policy[0] ? guest->policy : "none: every call is denied";
	const char *how = guest->adopting ? "taken over, its connections were reset" : "attached";

	guest->attached = true;
	write_state(guest, XENBUS_CONNECTED);
	log_info(guests->log, "guest %s: %s, policy %s", name, how, policy);
	writer_event(guests->writer, AUDIT_EVENT_GUEST_ATTACHED, name, guest->device->uid,
		     "%s, policy %s", how, policy);
	guest->adopting = false;
	step(guest);
}

static void engine_failed(void *owner, int error, const char *text)
{
	struct guest *guest = owner;

	/* References and ports come from the guest: what can't be mapped is its fault. */
	if (guest->engine->phase == ENGINE_ATTACHING && error == -EINVAL)
		cut_off(guest, text);
	else
		give_up(guest, text[0] ? text : strerror(-error));
}

static void engine_broken(void *owner, const char *text)
{
	cut_off(owner, text);
}

static void engine_detached(void *owner)
{
	struct guest *guest = owner;

	note_detached(guest, "the guest closed its device");
	leave_engine(guest, AUDIT_CLOSE_GUEST_GONE);
	write_state(guest, XENBUS_CLOSING);
	step(guest);
}

static void engine_ended(void *owner, const char *text)
{
	struct guest *guest = owner;

	guest->engine = NULL; /* freed by who calls us */
	if (!guest->device->lasting || guest->dropped) {
		guest_drop(guest, AUDIT_CLOSE_CUT_OFF, text);
		return;
	}
	/* The next one goes on with its rings. */
	note_detached(guest, text);
	hold(guest, GUEST_ADOPT_NS);
}

static void engine_policy_taken(void *owner, int error, const char *text)
{
	struct guest *guest = owner;
	struct guests *guests = guest->guests;

	guest->policy_stale = error != 0;
	if (error) {
		log_error(guests->log, "guest %s: its engine refused policy %s: %s",
			  guest->device->guest.name, guest->policy, text);
		writer_event(guests->writer, AUDIT_EVENT_POLICY_REFUSED, guest->device->guest.name,
			     0, "%s", text);
	}
	if (guests->policy_taken)
		guests->policy_taken(guests->owner, guest, error, text);
}

static const struct engine_calls engine_calls = {
	.ready = engine_ready,
	.attached = engine_attached,
	.failed = engine_failed,
	.broken = engine_broken,
	.detached = engine_detached,
	.policy_taken = engine_policy_taken,
	.ended = engine_ended,
};

static void added(void *context, struct device *device)
{
	struct guests *guests = context;
	struct guest *guest = calloc(1, sizeof(*guest));

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
	step(guest);
}

static void changed(void *context, struct device *device)
{
	(void)context;
	if (device->owner)
		step(device->owner);
}

static void free_guest(struct guest *guest)
{
	struct guest **place = &guest->guests->list;

	while (*place != guest)
		place = &(*place)->next;
	*place = guest->next;
	guest->guests->count--;
	if (guest->guests->gone)
		guest->guests->gone(guest->guests->owner, guest);
	loop_disarm(guest->guests->loop, &guest->hold);
	free(guest);
}

static void removed(void *context, struct device *device)
{
	struct guest *guest = device->owner;

	(void)context;
	if (!guest)
		return;
	note_detached(guest, guest->dropped ? "its device was taken away" : "the guest is gone");
	leave_engine(guest, AUDIT_CLOSE_GUEST_GONE);
	if (device->lasting)
		recovery_logs_remove(guest->guests->runtime_dir, device->guest.domid);
	device->owner = NULL;
	free_guest(guest);
}

static void trouble(void *context, const char *text)
{
	struct guests *guests = context;

	if (text)
		log_error(guests->log, "%s", text);
	else
		log_info(guests->log, "xenstored answers again");
	writer_event(guests->writer, AUDIT_EVENT_TRANSPORT, NULL, 0, "%s",
		     text ? text : "xenstored answers again");
}

void guests_events(struct guests *guests, struct device_events *events)
{
	*events = (struct device_events){
		.added = added,
		.changed = changed,
		.removed = removed,
		.trouble = trouble,
		.may_attach = guest_may_attach,
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

int guest_policy(struct guest *guest)
{
	if (!guest->engine)
		return -ENOENT; /* it will get the new one with its next engine */
	return engine_policy(guest->engine, match_policy(guest));
}

void guests_stop(struct guests *guests)
{
	guests->stopping = true;
	for (struct guest *guest = guests->list; guest; guest = guest->next) {
		/* Their states stay as they are: nothing must make a frontend give up. */
		guest->dropped = true;
		loop_disarm(guests->loop, &guest->hold);
		note_detached(guest, "the daemon stops");
		leave_engine(guest, AUDIT_CLOSE_SHUTDOWN);
	}
}

void guests_free(struct guests *guests)
{
	struct guest *next;

	for (struct guest *guest = guests->list; guest; guest = next) {
		next = guest->next;
		guest->device->owner = NULL;
		free_guest(guest);
	}
}
