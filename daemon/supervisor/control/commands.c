/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/control/commands.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "supervisor/children/engine_questions.h"
#include "supervisor/control/engine_report.h"
#include "supervisor/control/gathering.h"
#include "supervisor/control/requests.h"
#include "supervisor/guests/device_states.h"
#include "supervisor/settings/exit_status.h"

static json_t *command_describe_guest(const struct guest *guest)
{
	const struct device *device = guest->device;
	const struct engine_process *engine = guest->engine;

	return json_pack(
		"{s:s, s:i, s:s, s:I, s:s, s:s, s:s, s:s, s:b, s:i, s:I}", "name",
		device->guest.name, "domid", (int)device->guest.domid, "uuid", device->guest.uuid,
		"uid", (json_int_t)device->uid, "frontend", xenbus_state_name(device->frontend),
		"backend", xenbus_state_name(device->backend), "policy", guest->policy_name,
		"policy_file", guest->policy, "policy_stale", guest->policy_stale, "engine_pid",
		engine ? (int)engine->child.pid : 0, "since_ns", (json_int_t)guest->since_wall_ns);
}

static void command_add_counters(json_t *items, json_t *about, int error, const char *text)
{
	json_t *counters = json_object();

	if (error)
		json_object_set_new(about, "engine", json_string(gathering_why_no_answer(error)));
	else
		engine_report_add(counters, text);
	json_object_set_new(about, "counters", counters);
	json_array_append(items, about);
}

static void command_add_sockets(json_t *items, json_t *about, int error, const char *text)
{
	json_t *sockets;
	json_t *socket;
	size_t index;

	if (error) {
		json_object_set_new(about, "engine", json_string(gathering_why_no_answer(error)));
		json_array_append(items, about);
		return;
	}
	sockets = engine_report_sockets(text);
	json_array_foreach(sockets, index, socket)
	{
		json_object_update_missing(socket, about);
		json_array_append(items, socket);
	}
	json_decref(sockets);
}

static void command_guests(struct commands *commands, struct control_client *client)
{
	struct gathering *gathering = gathering_create(client, json_array(), command_add_counters);

	if (!gathering)
		return;
	for (struct guest *guest = commands->guests->list; guest; guest = guest->next)
		gathering_ask(gathering, guest, command_describe_guest(guest),
			      ENGINE_STATUS_COUNTERS);
	gathering_close(gathering);
}

static void command_reply_no_such_guest(struct control_client *client)
{
	control_reply_error(client, STATUS_NEGATIVE,
			    "no such guest: pvcallsctl guests lists those that are attached");
}

static void command_sockets(struct commands *commands, struct control_client *client,
			    const struct request *request)
{
	struct guest *only = NULL;
	struct gathering *gathering;

	if (request->guest[0]) {
		only = guests_find(commands->guests, request->guest);
		if (!only) {
			command_reply_no_such_guest(client);
			return;
		}
	}
	gathering = gathering_create(client, json_array(), command_add_sockets);
	if (!gathering)
		return;
	for (struct guest *guest = commands->guests->list; guest; guest = guest->next) {
		if (!only || guest == only)
			gathering_ask(gathering, guest,
				      json_pack("{s:s}", "guest", guest->device->guest.name),
				      ENGINE_STATUS_SOCKETS);
	}
	gathering_close(gathering);
}

static json_t *command_describe_policies(const struct policies *policies)
{
	json_t *files = json_array();
	json_t *names = json_array();

	for (size_t i = 0; i < policies->set.count; i++) {
		json_array_append_new(files, json_string(policies->set.sources[i].path));
		json_array_append_new(names, json_string(policies_name(policies, i)));
	}
	return json_pack("{s:o, s:o, s:I, s:b, s:s}", "names", names, "files", files, "loaded_ns",
			 (json_int_t)policies->loaded_wall_ns, "stale", policies->stale,
			 "stale_reason", policies->stale_fault.text);
}

static json_t *command_describe_auditd(const struct auditd_process *auditd)
{
	struct auditd_process_status status;

	auditd_process_status(auditd, &status);
	return json_pack("{s:b, s:i, s:i, s:i, s:s}", "ready", status.ready, "pid", (int)status.pid,
			 "restarts", (int)status.restarts, "pending", (int)status.pending,
			 "trouble", status.trouble);
}

static json_t *command_describe_daemon(const struct commands *commands)
{
	const struct guests *guests = commands->guests;
	uint64_t uptime_s = (clock_monotonic_ns() - commands->started_ns) / NS_PER_S;

	return json_pack(
		"{s:s, s:i, s:I, s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:o, s:o, s:{}, s:i, s:i}",
		"version", commands->version, "pid", (int)getpid(), "uptime_s",
		(json_int_t)uptime_s, "transport", commands->transport, "state_dir",
		commands->state_dir, "plugin_dir", commands->plugin_dir, "durability",
		commands->config->sync ? "sync" : "crash", "guests", (int)guests->count, "engines",
		(int)guests->engines->count, "guests_refused", (json_int_t)guests->refused,
		"states_ignored", (json_int_t)guests->ignored, "policies",
		command_describe_policies(commands->policies), "writer",
		command_describe_auditd(commands->auditd), "metrics", "metrics_left_out", 0,
		"engines_silent", 0);
}

static void command_count(json_t *status, const char *key, uint32_t more)
{
	json_int_t number = json_integer_value(json_object_get(status, key));

	json_object_set_new(status, key, json_integer(number + more));
}

/* Adds what one engine's plugins have counted to the sums of all. */
static void command_add_metrics(json_t *status, json_t *about, int error, const char *text)
{
	json_t *metrics = json_object_get(status, "metrics");

	(void)about;
	if (!error)
		command_count(status, "metrics_left_out", engine_report_sum(metrics, text));
	else if (error != -EPIPE) /* it is ending */
		command_count(status, "engines_silent", 1);
}

static void command_status(struct commands *commands, struct control_client *client)
{
	struct gathering *gathering =
		gathering_create(client, command_describe_daemon(commands), command_add_metrics);

	if (!gathering)
		return;
	for (struct guest *guest = commands->guests->list; guest; guest = guest->next)
		if (guest->engine && guest->engine->phase == ENGINE_ATTACHED)
			gathering_ask(gathering, guest, json_null(), ENGINE_STATUS_METRICS);
	gathering_close(gathering);
}

static void command_reload_over(void *owner, int error, const char *text)
{
	struct control_client *client = owner;

	if (error)
		control_reply_error(client, STATUS_INPUT, text);
	else
		control_reply_result(client, json_pack("{s:s}", "text", text));
}

static void command_reload(struct commands *commands, struct control_client *client, uint32_t uid)
{
	struct fault fault = {.text = ""};
	int error = reload_start(commands->reload, uid, command_reload_over, client, &fault);

	if (error)
		control_reply_error(client, error == -EBUSY ? STATUS_ENVIRONMENT : STATUS_INPUT,
				    fault.text);
}

static void command_socket_killed(void *owner, int error, const char *text)
{
	struct control_client *client = owner;

	(void)text;
	if (error == -ENOENT)
		control_reply_error(client, STATUS_NEGATIVE, "the guest has no such socket");
	else if (error)
		control_reply_error(client, STATUS_ENVIRONMENT, gathering_why_no_answer(error));
	else
		control_reply_result(client, json_pack("{s:s}", "text", "the socket is closed"));
}

static void command_kill_socket(struct guest *guest, struct control_client *client, uint64_t socket)
{
	int error = -EPIPE;

	if (guest->engine)
		error = engine_questions_ask(guest->engine, ENGINE_MESSAGE_KILL,
					     AUDIT_CLOSE_OPERATOR, socket, GATHERING_ANSWER_NS,
					     command_socket_killed, client);
	if (error)
		command_socket_killed(client, error, "");
}

static void command_kill(struct commands *commands, struct control_client *client,
			 const struct request *request, uint32_t uid)
{
	struct guest *guest = guests_find(commands->guests, request->guest);

	if (!guest) {
		command_reply_no_such_guest(client);
		return;
	}
	log_info(commands->log, "user %u kills guest %s, socket %llu (0: all of it)", uid,
		 guest->device->guest.name, (unsigned long long)request->socket);
	if (request->socket) {
		auditd_process_event(commands->auditd, AUDIT_EVENT_OPERATOR,
				     guest->device->guest.name, uid, "kill socket %llu",
				     (unsigned long long)request->socket);
		command_kill_socket(guest, client, request->socket);
		return;
	}
	auditd_process_event(commands->auditd, AUDIT_EVENT_OPERATOR, guest->device->guest.name, uid,
			     "kill");
	guest_drop(guest, AUDIT_CLOSE_OPERATOR, "ended by the operator of the host");
	control_reply_result(client, json_pack("{s:s}", "text", "the guest is cut off"));
}

static bool commands_is_operator(uint32_t uid)
{
	return uid == 0 || uid == geteuid();
}

static bool commands_may_connect(void *owner, uint32_t uid)
{
	const struct commands *commands = owner;

	return commands_is_operator(uid) || uid_list_has(&commands->config->readers, uid);
}

static void commands_carry_out(void *owner, struct control_client *client, uint32_t uid,
			       const char *line)
{
	struct commands *commands = owner;
	struct request request;
	struct fault fault;

	if (request_parse(&request, line, &fault)) {
		control_reply_error(client, STATUS_USAGE, fault.text);
		return;
	}
	if (!commands_is_operator(uid) && !request_only_reads(request.verb)) {
		control_reply_error(client, STATUS_PERMISSION,
				    "not permitted: only root and the daemon's user may do this");
		return;
	}
	switch (request.verb) {
	case REQUEST_STATUS:
		command_status(commands, client);
		return;
	case REQUEST_GUESTS:
		command_guests(commands, client);
		return;
	case REQUEST_SOCKETS:
		command_sockets(commands, client, &request);
		return;
	case REQUEST_RELOAD:
		command_reload(commands, client, uid);
		return;
	case REQUEST_KILL:
		command_kill(commands, client, &request, uid);
		return;
	case REQUEST_VERBS:
		break;
	}
	ASSERT_UNREACHABLE();
}

int commands_open(struct commands *commands, const char *runtime_dir, struct fault *fault)
{
	const struct control_calls calls = {.may_connect = commands_may_connect,
					    .request = commands_carry_out,
					    .owner = commands};
	uint32_t mode = commands->config->readers.count ? 0666 : 0600;

	ASSERT(!commands->socket);
	return control_socket_open(&commands->socket, runtime_dir, mode, commands->loop, &calls,
				   fault);
}

void commands_close(struct commands *commands)
{
	if (commands->socket)
		control_socket_close(commands->socket);
	commands->socket = NULL;
}
