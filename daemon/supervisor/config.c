/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each map of the file is read with a table of its keys, so an unknown key is an error and a new
 * one is a row.
 */
#include "supervisor/config.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"
#include "base/glob.h"
#include "policy/yaml/arena.h"
#include "policy/yaml/errors.h"
#include "policy/yaml/tree.h"

#define UID_LARGEST     (UINT32_MAX - 1) /* the largest number means "no user" */
#define UIDS_MAX        65536u
#define SOCKETS_MAX     65536u
#define SEGMENT_MIN     (1ull << 20)
#define SEGMENT_MAX     (1ull << 40)
#define SEGMENT_AGE_MAX 31622400ull /* 366 days, in seconds */

struct reading {
	struct config *config;
	struct errors *errors;
	struct guest_grant *grant; /* the entry of local.guests that is being read */
};

/* A key that a map may have, and who reads its value. */
struct field {
	const char *key;
	int (*read)(struct reading *reading, const struct pvcalls_value *value);
};

static int refuse(const struct reading *reading, const struct pvcalls_value *at, const char *what)
{
	return errors_add(reading->errors, at->at, "%s", what);
}

static int no_memory(const struct reading *reading, const struct pvcalls_value *at)
{
	refuse(reading, at, "no memory for this");
	return -ENOMEM;
}

static int refuse_key(const struct reading *reading, const struct tree_entry *entry,
		      const struct field *fields, size_t count)
{
	char known[256] = "";

	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(known);

		snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "", fields[i].key);
	}
	return errors_add(reading->errors, entry->at, "unknown key '%s', expected one of: %s",
			  entry->key, known);
}

static int read_map(struct reading *reading, const struct pvcalls_value *map,
		    const struct field *fields, size_t count)
{
	if (map->kind != PVCALLS_VALUE_MAP)
		return refuse(reading, map, "keys with values were expected here");
	for (uint32_t i = 0; i < map->count; i++) {
		const struct tree_entry *entry = &map->entries[i];
		size_t field = 0;
		int error;

		while (field < count && strcmp(fields[field].key, entry->key) != 0)
			field++;
		if (field == count)
			return refuse_key(reading, entry, fields, count);
		error = fields[field].read(reading, entry->value);
		if (error)
			return error;
	}
	return 0;
}

static int read_number(struct reading *reading, const struct pvcalls_value *value, uint64_t min,
		       uint64_t max, uint64_t *number)
{
	if (value->kind == PVCALLS_VALUE_SCALAR && decimal_read(value->text, max, number) == 0 &&
	    *number >= min)
		return 0;
	return errors_add(reading->errors, value->at, "a number from %llu to %llu was expected",
			  (unsigned long long)min, (unsigned long long)max);
}

/* Splits "90s" into 90 and the factor of its unit; a number alone counts as unit "". */
static int read_scaled(const struct pvcalls_value *value, const char *const *units,
		       const uint64_t *factors, uint64_t max, uint64_t *number)
{
	const char *unit;

	if (value->kind != PVCALLS_VALUE_SCALAR ||
	    decimal_read_head(value->text, &unit, max, number))
		return -EINVAL;
	for (size_t i = 0; units[i]; i++) {
		if (strcmp(units[i], unit) != 0)
			continue;
		if (*number > max / factors[i])
			return -EINVAL;
		*number *= factors[i];
		return 0;
	}
	return -EINVAL;
}

/* One of two words; expected says which, for a message. */
static int read_either(struct reading *reading, const struct pvcalls_value *value, const char *yes,
		       const char *no, const char *expected, bool *chosen)
{
	bool scalar = value->kind == PVCALLS_VALUE_SCALAR;

	if (!scalar || (strcmp(value->text, yes) != 0 && strcmp(value->text, no) != 0))
		return refuse(reading, value, expected);
	*chosen = strcmp(value->text, yes) == 0;
	return 0;
}

static int read_durability(struct reading *reading, const struct pvcalls_value *value)
{
	return read_either(reading, value, "sync", "crash", "crash or sync was expected",
			   &reading->config->sync);
}

static int read_uid_range(struct reading *reading, const struct pvcalls_value *value)
{
	const char *expected = "a range of user ids such as 2000000000-2000000511 was expected, "
			       "of at most 65536, without 0";
	uint64_t first;
	uint64_t last;
	const char *end;

	if (value->kind != PVCALLS_VALUE_SCALAR ||
	    decimal_read_head(value->text, &end, UID_LARGEST, &first) || *end != '-' ||
	    decimal_read(end + 1, UID_LARGEST, &last))
		return refuse(reading, value, expected);
	if (first == 0 || last < first || last - first >= UIDS_MAX)
		return refuse(reading, value, expected);
	reading->config->uids_first = (uint32_t)first;
	reading->config->uids_count = (uint32_t)(last - first + 1);
	return 0;
}

static int read_low_ports(struct reading *reading, const struct pvcalls_value *value)
{
	return read_either(reading, value, "true", "false", "true or false was expected",
			   &reading->config->low_ports);
}

static int read_sockets(struct reading *reading, const struct pvcalls_value *value)
{
	uint64_t number = 0;
	int error = read_number(reading, value, 1, SOCKETS_MAX, &number);

	reading->config->sockets = (uint32_t)number;
	return error;
}

static int read_priority(struct reading *reading, const struct pvcalls_value *value)
{
	return read_either(reading, value, "adaptive", "fixed", "adaptive or fixed was expected",
			   &reading->config->adapt_priority);
}

static int read_engine(struct reading *reading, const struct pvcalls_value *value)
{
	static const struct field fields[] = {
		{"uids", read_uid_range},
		{"low_ports", read_low_ports},
		{"sockets", read_sockets},
		{"priority", read_priority},
	};

	return read_map(reading, value, fields, sizeof(fields) / sizeof(fields[0]));
}

static int read_audit_uid(struct reading *reading, const struct pvcalls_value *value)
{
	uint64_t number = 0;
	int error = read_number(reading, value, 0, UID_LARGEST, &number);

	reading->config->audit_uid = (uint32_t)number;
	return error;
}

static int read_segment_bytes(struct reading *reading, const struct pvcalls_value *value)
{
	static const char *const units[] = {"", "KiB", "MiB", "GiB", NULL};
	static const uint64_t factors[] = {1, 1ull << 10, 1ull << 20, 1ull << 30};
	uint64_t *bytes = &reading->config->segment_bytes;

	if (read_scaled(value, units, factors, SEGMENT_MAX, bytes) || *bytes < SEGMENT_MIN)
		return refuse(reading, value,
			      "bytes were expected, from 1MiB to 1024GiB, such as 256MiB");
	return 0;
}

static int read_segment_age(struct reading *reading, const struct pvcalls_value *value)
{
	static const char *const units[] = {"s", "m", "h", "d", NULL};
	static const uint64_t factors[] = {1, 60, 3600, 86400};
	uint64_t seconds;

	if (read_scaled(value, units, factors, SEGMENT_AGE_MAX, &seconds) || seconds == 0)
		return refuse(reading, value, "a time was expected, from 1s to 366d, such as 24h");
	reading->config->segment_age_s = (uint32_t)seconds;
	return 0;
}

static int read_audit(struct reading *reading, const struct pvcalls_value *value)
{
	static const struct field fields[] = {
		{"uid", read_audit_uid},
		{"segment_bytes", read_segment_bytes},
		{"segment_age", read_segment_age},
	};

	return read_map(reading, value, fields, sizeof(fields) / sizeof(fields[0]));
}

static int find_user(struct reading *reading, const struct pvcalls_value *value, uint32_t *uid)
{
	const struct passwd *user;
	uint64_t number;

	if (value->kind != PVCALLS_VALUE_SCALAR)
		return refuse(reading, value, "a user's name or number was expected");
	if (decimal_read(value->text, UID_LARGEST, &number) == 0) {
		*uid = (uint32_t)number;
		return 0;
	}
	user = getpwnam(value->text);
	if (!user)
		return refuse(reading, value, "no such user on this host");
	*uid = user->pw_uid;
	return 0;
}

static int read_users(struct reading *reading, const struct pvcalls_value *value,
		      struct uid_list *list)
{
	if (value->kind != PVCALLS_VALUE_LIST)
		return refuse(reading, value, "a list of users was expected");
	free(list->uids);
	list->count = 0;
	list->uids = calloc(value->count + 1, sizeof(*list->uids));
	if (!list->uids)
		return no_memory(reading, value);
	for (size_t i = 0; i < value->count; i++) {
		int error = find_user(reading, value->entries[i].value, &list->uids[list->count]);

		if (error)
			return error;
		list->count++;
	}
	return 0;
}

static int read_grant_name(struct reading *reading, const struct pvcalls_value *value)
{
	if (value->kind != PVCALLS_VALUE_SCALAR || value->text[0] == '\0' ||
	    !glob_is_valid(value->text))
		return refuse(reading, value, "a guest's name or a glob was expected");
	reading->grant->glob = strdup(value->text);
	return reading->grant->glob ? 0 : no_memory(reading, value);
}

static int read_grant_users(struct reading *reading, const struct pvcalls_value *value)
{
	return read_users(reading, value, &reading->grant->users);
}

static int read_grants(struct reading *reading, const struct pvcalls_value *value)
{
	static const struct field fields[] = {
		{"name", read_grant_name},
		{"users", read_grant_users},
	};
	struct config *config = reading->config;

	if (value->kind != PVCALLS_VALUE_LIST)
		return refuse(reading, value, "a list was expected, of {name: ..., users: [...]}");
	config->grants = calloc(value->count + 1, sizeof(*config->grants));
	if (!config->grants)
		return no_memory(reading, value);
	for (size_t i = 0; i < value->count; i++) {
		const struct pvcalls_value *item = value->entries[i].value;
		int error;

		reading->grant = &config->grants[config->grant_count++];
		error = read_map(reading, item, fields, sizeof(fields) / sizeof(fields[0]));
		if (error)
			return error;
		if (!reading->grant->glob || !reading->grant->users.uids)
			return refuse(reading, item, "both name and users are needed");
	}
	return 0;
}

static int read_local(struct reading *reading, const struct pvcalls_value *value)
{
	static const struct field fields[] = {{"guests", read_grants}};

	return read_map(reading, value, fields, 1);
}

static int read_readers(struct reading *reading, const struct pvcalls_value *value)
{
	return read_users(reading, value, &reading->config->readers);
}

static int read_control(struct reading *reading, const struct pvcalls_value *value)
{
	static const struct field fields[] = {{"users", read_readers}};

	return read_map(reading, value, fields, 1);
}

static int check_uids(const struct reading *reading)
{
	const struct config *config = reading->config;

	if (config->audit_uid < config->uids_first ||
	    config->audit_uid - config->uids_first >= config->uids_count)
		return 0;
	return errors_add(
		reading->errors, (struct position){0},
		"audit.uid %u lies in engine.uids %u-%u: a guest's engine could then change "
		"the trail; choose another",
		config->audit_uid, config->uids_first, config->uids_first + config->uids_count - 1);
}

static void set_defaults(struct config *config)
{
	*config = (struct config){
		.uids_first = CONFIG_UIDS_FIRST,
		.uids_count = CONFIG_UIDS_COUNT,
		.sockets = CONFIG_SOCKETS,
		.adapt_priority = true,
		.audit_uid = CONFIG_AUDIT_UID,
	};
}

/* Whether there is nothing but blanks and comments: everything is at its default then. */
static bool is_empty(const char *text, size_t size)
{
	bool comment = false;

	for (size_t i = 0; i < size; i++) {
		comment = text[i] == '#' || (comment && text[i] != '\n');
		if (!comment && !strchr(" \t\r\n", text[i]))
			return false;
	}
	return true;
}

int config_parse(struct config *config, const char *path, const char *text, size_t size,
		 struct fault *fault)
{
	static const struct field fields[] = {
		{"durability", read_durability}, {"engine", read_engine},   {"audit", read_audit},
		{"local", read_local},           {"control", read_control},
	};
	struct errors errors = {.path = path};
	struct reading reading = {.config = config, .errors = &errors};
	struct arena arena = {0};
	const struct pvcalls_value *root;
	int error = 0;

	set_defaults(config);
	if (!is_empty(text, size)) {
		root = tree_read(&arena, text, size, &errors);
		error = root ? read_map(&reading, root, fields, sizeof(fields) / sizeof(fields[0]))
			     : -EINVAL;
	}
	if (!error)
		error = check_uids(&reading);
	errors_tell(&errors, fault);
	errors_free(&errors);
	arena_free(&arena);
	if (error)
		config_clear(config);
	return error;
}

static int check_file(int fd, const char *path, struct fault *fault)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return fault_set(fault, errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return fault_set(fault, EINVAL, "%s: not a regular file", path);
	if ((status.st_uid != 0 && status.st_uid != geteuid()) ||
	    (status.st_mode & (S_IWGRP | S_IWOTH)))
		return fault_set(fault, EINVAL,
				 "%s: must belong to root or the daemon's user and not be "
				 "writable by others (chown, chmod go-w)",
				 path);
	if (status.st_size > (off_t)CONFIG_FILE_MAX)
		return fault_set(fault, EINVAL, "%s: larger than %u bytes", path, CONFIG_FILE_MAX);
	return 0;
}

int config_load(struct config *config, const char *path, bool must_exist, struct fault *fault)
{
	char text[CONFIG_FILE_MAX + 1];
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t size;
	int error;

	if (fd < 0 && errno == ENOENT && !must_exist)
		return config_parse(config, path, "", 0, fault);
	if (fd < 0)
		return fault_set(fault, errno, "%s: cannot open the configuration: %s", path,
				 strerror(errno));
	error = check_file(fd, path, fault);
	if (error)
		return error;
	size = read(fd, text, sizeof(text));
	if (size < 0)
		return fault_set(fault, errno, "%s: %s", path, strerror(errno));
	if (size > (ssize_t)CONFIG_FILE_MAX)
		return fault_set(fault, EINVAL, "%s: larger than %u bytes", path, CONFIG_FILE_MAX);
	return config_parse(config, path, text, (size_t)size, fault);
}

void config_clear(struct config *config)
{
	for (size_t i = 0; i < config->grant_count; i++) {
		free(config->grants[i].glob);
		free(config->grants[i].users.uids);
	}
	free(config->grants);
	free(config->readers.uids);
	set_defaults(config);
}

bool uid_list_has(const struct uid_list *list, uint32_t uid)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->uids[i] == uid)
			return true;
	}
	return false;
}

bool config_permits_guest(const struct config *config, uint32_t uid, const char *name,
			  struct fault *fault)
{
	if (uid == 0 || uid == geteuid())
		return true;
	for (size_t i = 0; i < config->grant_count; i++) {
		const struct guest_grant *grant = &config->grants[i];

		if (glob_matches(grant->glob, name) && uid_list_has(&grant->users, uid))
			return true;
	}
	fault_set(fault, EACCES,
		  "user %u may not be guest '%s': add the name and the user to local: guests: in "
		  "pvcallsd.yaml",
		  uid, name);
	return false;
}
