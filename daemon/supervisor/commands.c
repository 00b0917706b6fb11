/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command that asks engines is a gathering: it holds the answer as it grows and how many parts
 * are still to come. Each part is answered once, by the engine, by its end or by the deadline; the
 * last one sends the answer.
 */
#include "supervisor/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor/device_states.h"
#include "supervisor/requests.h"

struct gathering {
	struct control_client *client;
	json_t *items; /* the answer */
	unsigned int waiting;
	void (*add)(struct gathering *gathering, json_t *about, int error, const char *text);
};

/* One engine's part of it. */
struct part {
	struct gathering *gathering;
	json_t *about; /* what the supervisor knows of the guest */
};

static void send_gathered(struct gathering *gathering)
{
	control_reply_result(gathering->client, gathering->items);
	free(gathering);
}

static void part_answered(void *owner, int error, const char *text)
{
	struct part *part = owner;
	struct gathering *gathering = part->gathering;

	gathering->add(gathering, part->about, error, text);
	json_decref(part->about);
	free(part);
	if (--gathering->waiting == 0)
		send_gathered(gathering);
}

/* Asks a guest's engine; the answer, or that there is none, comes to gathering->add. */
static void gather(struct gathering *gathering, struct guest *guest, json_t *about, uint32_t value)
{
	struct part *part = calloc(1, sizeof(*part));
	int error = -EPIPE;

	if (part && guest->engine) {
		*part = (struct part){.gathering = gathering, .about = about};
		error = engine_ask(guest->engine, ENGINE_MESSAGE_STATUS, value, 0,
				   REQUEST_ANSWER_NS, part_answered, part);
	}
	if (!error) {
		gathering->waiting++;
		return;
	}
	gathering->add(gathering, about, error, "");
	json_decref(about);
	free(part);
}

static struct gathering *begin(struct control_client *client,
			       void (*add)(struct gathering *gathering, json_t *about, int error,
					   const char *text))
{
	struct gathering *gathering = calloc(1, sizeof(*gathering));

	if (!gathering) {
		control_reply_error(client, STATUS_ENVIRONMENT, "no memory");
		return NULL;
	}
	*gathering = (struct gathering){.client = client, .items = json_array(), .add = add};
	return gathering;
}

static const char *why_no_answer(int error)
{
	if (error == -ETIMEDOUT)
		return "no answer within 1 s";
	return error == -EBUSY ? "busy" : "no engine";
}

static json_t *describe_guest(const struct guest *guest)
{
	const struct device *device = guest->device;
	const struct engine *engine = guest->engine;

	return json_pack(
		"{s:s, s:i, s:s, s:I, s:s, s:s, s:s, s:s, s:b, s:i, s:I}", "name",
		device->guest.name, "domid", (int)device->guest.domid, "uuid", device->guest.uuid,
		"uid", (json_int_t)device->uid, "frontend", xenbus_state_name(device->frontend),
		"backend", xenbus_state_name(device->backend), "policy", guest->policy_name,
		"policy_file", guest->policy, "policy_stale", guest->policy_stale, "engine_pid",
		engine ? (int)engine->child.pid : 0, "since_ns", (json_int_t)guest->since_wall_ns);
}

static void add_counters(struct gathering *gathering, json_t *about, int error, const char *text)
{
	json_t *counters = json_object();

	if (error)
		json_object_set_new(about, "engine", json_string(why_no_answer(error)));
	else
		report_add(counters, text);
	json_object_set_new(about, "counters", counters);
	json_array_append(gathering->items, about);
}

static void add_sockets(struct gathering *gathering, json_t *about, int error, const char *text)
{
	json_t *sockets;
	json_t *socket;
	size_t index;

	if (error) {
		json_object_set_new(about, "engine", json_string(why_no_answer(error)));
		json_array_append(gathering->items, about);
		return;
	}
	sockets = report_sockets(text);
	json_array_foreach(sockets, index, socket)
	{
		json_object_update_missing(socket, about);
		json_array_append(gathering->items, socket);
	}
	json_decref(sockets);
}

static void tell_guests(struct supervisor *supervisor, struct control_client *client)
{
	struct gathering *gathering = begin(client, add_counters);

	if (!gathering)
		return;
	for (struct guest *guest = supervisor->guests.list; guest; guest = guest->next)
		gather(gathering, guest, describe_guest(guest), 0);
	if (!gathering->waiting)
		send_gathered(gathering);
}

static void no_such_guest(struct control_client *client)
{
	control_reply_error(client, STATUS_NEGATIVE,
			    "no such guest: pvcallsctl guests lists those that are attached");
}

static void tell_sockets(struct supervisor *supervisor, struct control_client *client,
			 const struct request *request)
{
	struct guest *only = NULL;
	struct gathering *gathering;

	if (request->guest[0]) {
		only = guests_find(&supervisor->guests, request->guest);
		if (!only) {
			no_such_guest(client);
			return;
		}
	}
	gathering = begin(client, add_sockets);
	if (!gathering)
		return;
	for (struct guest *guest = supervisor->guests.list; guest; guest = guest->next) {
		if (!only || guest == only)
			gather(gathering, guest,
			       json_pack("{s:s}", "guest", guest->device->guest.name), 1);
	}
	if (!gathering->waiting)
		send_gathered(gathering);
}

static json_t *describe_policies(const struct policies *policies)
{
	json_t *files = json_array();

	for (size_t i = 0; i < policies->set.count; i++)
		json_array_append_new(files, json_string(policies->set.sources[i].path));
	return json_pack("{s:o, s:I, s:b, s:s}", "files", files, "loaded_ns",
			 (json_int_t)policies->loaded_wall_ns, "stale", policies->stale,
			 "stale_reason", policies->stale_fault.text);
}

static json_t *describe_writer(const struct writer *writer)
{
	struct writer_status status;

	writer_status(writer, &status);
	return json_pack("{s:b, s:i, s:i, s:i, s:s}", "ready", status.ready, "pid", (int)status.pid,
			 "restarts", (int)status.restarts, "pending", (int)status.pending,
			 "trouble", status.trouble);
}

static void tell_status(struct supervisor *supervisor, struct control_client *client)
{
	const struct guests *guests = &supervisor->guests;
	uint64_t uptime_s = (clock_monotonic_ns() - supervisor->started_ns) / NS_PER_S;

	control_reply_result(
		client,
		json_pack("{s:s, s:i, s:I, s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:o, s:o}",
			  "version", supervisor->version, "pid", (int)getpid(), "uptime_s",
			  (json_int_t)uptime_s, "transport",
			  supervisor->options->transport == OPTIONS_XEN ? "xen" : "local",
			  "state_dir", supervisor->directories.state, "plugin_dir",
			  supervisor->directories.plugins, "durability",
			  supervisor->config.sync ? "sync" : "crash", "guests", (int)guests->count,
			  "engines", (int)supervisor->engines.count, "guests_refused",
			  (json_int_t)guests->refused, "states_ignored",
			  (json_int_t)guests->ignored, "policies",
			  describe_policies(&supervisor->policies), "writer",
			  describe_writer(supervisor->writer)));
}

static void reload_over(void *owner, int error, const char *text)
{
	struct control_client *client = owner;

	if (error)
		control_reply_error(client, STATUS_INPUT, text);
	else
		control_reply_result(client, json_pack("{s:s}", "text", text));
}

static void reload_policies(struct supervisor *supervisor, struct control_client *client,
			    uint32_t uid)
{
	struct fault fault = {.text = ""};
	int error = reload_start(&supervisor->reload, uid, reload_over, client, &fault);

	if (error)
		control_reply_error(client, error == -EBUSY ? STATUS_ENVIRONMENT : STATUS_INPUT,
				    fault.text);
}

static void socket_killed(void *owner, int error, const char *text)
{
	struct control_client *client = owner;

	(void)text;
	if (error == -ENOENT)
		control_reply_error(client, STATUS_NEGATIVE, "the guest has no such socket");
	else if (error)
		control_reply_error(client, STATUS_ENVIRONMENT, why_no_answer(error));
	else
		control_reply_result(client, json_pack("{s:s}", "text", "the socket is closed"));
}

static void kill_socket(struct guest *guest, struct control_client *client, uint64_t socket)
{
	int error = guest->engine
			    ? engine_ask(guest->engine, ENGINE_MESSAGE_KILL, AUDIT_CLOSE_OPERATOR,
					 socket, REQUEST_ANSWER_NS, socket_killed, client)
			    : -EPIPE;

	if (error)
		socket_killed(client, error, "");
}

static void kill_guest(struct supervisor *supervisor, struct control_client *client,
		       const struct request *request, uint32_t uid)
{
	struct guest *guest = guests_find(&supervisor->guests, request->guest);

	if (!guest) {
		no_such_guest(client);
		return;
	}
	log_info(&supervisor->log, "user %u kills guest %s, socket %llu (0: all of it)", uid,
		 guest->device->guest.name, (unsigned long long)request->socket);
	if (request->socket) {
		writer_event(supervisor->writer, AUDIT_EVENT_OPERATOR, guest->device->guest.name,
			     uid, "kill socket %llu", (unsigned long long)request->socket);
		kill_socket(guest, client, request->socket);
		return;
	}
	writer_event(supervisor->writer, AUDIT_EVENT_OPERATOR, guest->device->guest.name, uid,
		     "kill");
	guest_drop(guest, AUDIT_CLOSE_OPERATOR, "ended by the operator of the host");
	control_reply_result(client, json_pack("{s:s}", "text", "the guest is cut off"));
}

static bool is_operator(uint32_t uid)
{
	return uid == 0 || uid == geteuid();
}

static bool may_connect(void *owner, uint32_t uid)
{
	const struct supervisor *supervisor = owner;

	return is_operator(uid) || uid_list_has(&supervisor->config.readers, uid);
}

static void carry_out(void *owner, struct control_client *client, uint32_t uid, const char *line)
{
	struct supervisor *supervisor = owner;
	struct request request;
	struct fault fault;

	if (request_parse(&request, line, &fault)) {
		control_reply_error(client, STATUS_USAGE, fault.text);
		return;
	}
	if (!is_operator(uid) && !request_only_reads(request.verb)) {
		control_reply_error(client, STATUS_PERMISSION,
				    "not permitted: only root and the daemon's user may do this");
		return;
	}
	switch (request.verb) {
	case REQUEST_STATUS:
		tell_status(supervisor, client);
		return;
	case REQUEST_GUESTS:
		tell_guests(supervisor, client);
		return;
	case REQUEST_SOCKETS:
		tell_sockets(supervisor, client, &request);
		return;
	case REQUEST_RELOAD:
		reload_policies(supervisor, client, uid);
		return;
	case REQUEST_KILL:
		kill_guest(supervisor, client, &request, uid);
		return;
	case REQUEST_VERBS:
		break;
	}
}

int commands_open(struct supervisor *supervisor, struct fault *fault)
{
	const struct control_calls calls = {
		.may_connect = may_connect, .request = carry_out, .owner = supervisor};
	uint32_t mode = supervisor->config.readers.count ? 0666 : 0600;

	return control_socket_open(&supervisor->control, supervisor->directories.runtime, mode,
				   supervisor->loop, &calls, fault);
}
