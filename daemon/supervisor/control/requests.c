/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/control/requests.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"

/* Whether a command takes a key. */
enum request_need { NO, MAY, MUST };

struct request_form {
	const char *name;
	bool only_reads;
	enum request_need guest;
	enum request_need socket;
};

static const struct request_form request_forms[REQUEST_VERBS] = {
	[REQUEST_STATUS] = {"status", true, NO, NO},
	[REQUEST_GUESTS] = {"guests", true, NO, NO},
	[REQUEST_SOCKETS] = {"sockets", true, MAY, NO},
	[REQUEST_RELOAD] = {"reload", false, NO, NO},
	[REQUEST_KILL] = {"kill", false, MUST, MAY},
};

bool request_only_reads(enum request_verb verb)
{
	ASSERT(verb < REQUEST_VERBS);
	return request_forms[verb].only_reads;
}

static int request_read_command(struct request *request, const json_t *value, struct fault *fault)
{
	const char *name = json_string_value(value);

	for (size_t i = 0; name && i < REQUEST_VERBS; i++) {
		if (strcmp(request_forms[i].name, name) != 0)
			continue;
		request->verb = (enum request_verb)i;
		return 0;
	}
	return fault_set(fault, EINVAL,
			 "\"command\" must be one of status, guests, sockets, reload, kill");
}

static int request_read_guest(struct request *request, const json_t *value, struct fault *fault)
{
	enum request_need need = request_forms[request->verb].guest;
	const char *name = json_string_value(value);

	if (!value && need != MUST)
		return 0;
	if (need == NO)
		return fault_set(fault, EINVAL, "this command takes no \"guest\"");
	if (!name || name[0] == '\0' || strlen(name) >= sizeof(request->guest))
		return fault_set(fault, EINVAL, "\"guest\" must be a name, a domid or a uuid");
	memcpy(request->guest, name, strlen(name) + 1);
	return 0;
}

static int request_read_socket(struct request *request, const json_t *value, struct fault *fault)
{
	if (!value)
		return 0;
	if (request_forms[request->verb].socket == NO)
		return fault_set(fault, EINVAL, "this command takes no \"socket\"");
	if (!json_is_integer(value) || json_integer_value(value) <= 0)
		return fault_set(fault, EINVAL, "\"socket\" must be a number above 0");
	request->socket = (uint64_t)json_integer_value(value);
	return 0;
}

static int request_read_object(struct request *request, json_t *object, struct fault *fault)
{
	const char *key;
	json_t *value;
	int error = request_read_command(request, json_object_get(object, "command"), fault);

	if (!error)
		error = request_read_guest(request, json_object_get(object, "guest"), fault);
	if (!error)
		error = request_read_socket(request, json_object_get(object, "socket"), fault);
	if (error)
		return error;
	json_object_foreach(object, key, value)
	{
		if (strcmp(key, "command") != 0 && strcmp(key, "guest") != 0 &&
		    strcmp(key, "socket") != 0)
			return fault_set(fault, EINVAL, "unknown key in the request");
	}
	return 0;
}

int request_parse(struct request *request, const char *line, struct fault *fault)
{
	json_error_t why;
	json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &why);
	int error;

	*request = (struct request){0};
	if (!json_is_object(object)) {
		json_decref(object);
		return fault_set(fault, EINVAL, "the request is not one JSON object");
	}
	error = request_read_object(request, object, fault);
	json_decref(object);
	return error;
}
