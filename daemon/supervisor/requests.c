/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/requests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"

enum need { NO, MAY, MUST };

struct verb {
	const char *name;
	bool only_reads;
	enum need guest;
	enum need socket;
};

static const struct verb verbs[REQUEST_VERBS] = {
	[REQUEST_STATUS] = {"status", true, NO, NO},
	[REQUEST_GUESTS] = {"guests", true, NO, NO},
	[REQUEST_SOCKETS] = {"sockets", true, MAY, NO},
	[REQUEST_RELOAD] = {"reload", false, NO, NO},
	[REQUEST_KILL] = {"kill", false, MUST, MAY},
};

bool request_only_reads(enum request_verb verb)
{
	return verbs[verb].only_reads;
}

static int read_command(struct request *request, const json_t *value, struct fault *fault)
{
	const char *name = json_string_value(value);

	for (size_t i = 0; name && i < REQUEST_VERBS; i++) {
		if (strcmp(verbs[i].name, name) != 0)
			continue;
		request->verb = (enum request_verb)i;
		return 0;
	}
	return fault_set(fault, EINVAL,
			 "\"command\" must be one of status, guests, sockets, reload, kill");
}

static int read_guest(struct request *request, const json_t *value, struct fault *fault)
{
	enum need need = verbs[request->verb].guest;
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

static int read_socket(struct request *request, const json_t *value, struct fault *fault)
{
	if (!value)
		return 0;
	if (verbs[request->verb].socket == NO)
		return fault_set(fault, EINVAL, "this command takes no \"socket\"");
	if (!json_is_integer(value) || json_integer_value(value) <= 0)
		return fault_set(fault, EINVAL, "\"socket\" must be a number above 0");
	request->socket = (uint64_t)json_integer_value(value);
	return 0;
}

static int read_object(struct request *request, json_t *object, struct fault *fault)
{
	const char *key;
	json_t *value;
	int error = read_command(request, json_object_get(object, "command"), fault);

	if (!error)
		error = read_guest(request, json_object_get(object, "guest"), fault);
	if (!error)
		error = read_socket(request, json_object_get(object, "socket"), fault);
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
	error = read_object(request, object, fault);
	json_decref(object);
	return error;
}

/* A value as JSON. What an engine says may stem from a guest: bytes that JSON can't hold go. */
static json_t *make_value(const char *text)
{
	uint64_t number;
	json_t *value;
	char *copy;

	if (decimal_read(text, INT64_MAX, &number) == 0)
		return json_integer((json_int_t)number);
	value = json_string(text);
	if (value)
		return value;
	copy = strdup(text);
	for (char *c = copy; c && *c; c++) {
		if (*c & 0x80)
			*c = '?';
	}
	value = copy ? json_string(copy) : NULL;
	free(copy);
	return value;
}

/* Takes the next line off *text into key and value. Returns false at the end. */
static bool next_line(const char **text, char *key, size_t key_size, char *value, size_t value_size)
{
	size_t length = strcspn(*text, "\n");
	size_t key_length = strcspn(*text, " \n");

	if ((*text)[0] == '\0')
		return false;
	snprintf(key, key_size, "%.*s", (int)key_length, *text);
	if (key_length < length)
		snprintf(value, value_size, "%.*s", (int)(length - key_length - 1),
			 *text + key_length + 1);
	else
		value[0] = '\0';
	*text += length + ((*text)[length] == '\n');
	return true;
}

#define KEY_MAX   96
#define VALUE_MAX 1024

void report_add(json_t *object, const char *text)
{
	char key[KEY_MAX];
	char value[VALUE_MAX];

	while (next_line(&text, key, sizeof(key), value, sizeof(value)))
		json_object_set_new(object, key, make_value(value));
}

/* Adds the "key value key value" pairs of one line. */
static void add_pairs(json_t *object, char *line)
{
	char *rest = NULL;
	char *key = strtok_r(line, " ", &rest);

	while (key) {
		char *value = strtok_r(NULL, " ", &rest);

		if (!value)
			return;
		json_object_set_new(object, key, make_value(value));
		key = strtok_r(NULL, " ", &rest);
	}
}

json_t *report_sockets(const char *text)
{
	json_t *array = json_array();
	char *copy = strdup(text);
	char *rest = NULL;

	if (!array || !copy) {
		free(copy);
		return array;
	}
	for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		json_t *object = json_object();

		add_pairs(object, line);
		json_array_append_new(array, object);
	}
	free(copy);
	return array;
}
