/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each map of the file is read with a table of its keys, so an unknown key is an error and a new
 * one is a row.
 */
#include "supervisor/settings/config.h"

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
#include "policy/yaml/value_tree.h"

#define CONFIG_UID_LARGEST     (UINT32_MAX - 1) /* the largest number means "no user" */
#define CONFIG_UIDS_MAX        65536u
#define CONFIG_SOCKETS_MAX     65536u
#define CONFIG_SEGMENT_MIN     (1ull << 20)
#define CONFIG_SEGMENT_MAX     (1ull << 40)
#define CONFIG_SEGMENT_AGE_MAX 31622400ull /* 366 days, in seconds */

struct config_reading {
	struct config *config;
	struct errors *errors;
	struct guest_grant *grant; /* the entry of local.guests that is being read */
};

/* A key that a map may have, and who reads its value. */
struct config_field {
	const char *key;
	int (*read)(struct config_reading *reading, const struct pvcalls_value *value);
};

static int config_refuse(const struct config_reading *reading, const struct pvcalls_value *at,
			 const char *what)
{
	return errors_add(reading->errors, at->at, "%s", what);
}

static int config_no_memory(const struct config_reading *reading, const struct pvcalls_value *at)
{
	config_refuse(reading, at, "no memory for this");
	return -ENOMEM;
}

static int config_refuse_key(const struct config_reading *reading, const struct tree_entry *entry,
			     const struct config_field *fields, size_t count)
{
	char known[256] = "";

	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(known);

		snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "", fields[i].key);
	}
	return errors_add(reading->errors, entry->at, "unknown key '%s', expected one of: %s",
			  entry->key, known);
}

static int config_read_map(struct config_reading *reading, const struct pvcalls_value *map,
			   const struct config_field *fields, size_t count)
{
	if (map->kind != PVCALLS_VALUE_MAP)
		return config_refuse(reading, map, "keys with values were expected here");
	for (uint32_t i = 0; i < map->count; i++) {
		const struct tree_entry *entry = &map->entries[i];
		size_t field = 0;
		int error;

		while (field < count && strcmp(fields[field].key, entry->key) != 0)
			field++;
		if (field == count)
			return config_refuse_key(reading, entry, fields, count);
		error = fields[field].read(reading, entry->value);
		if (error)
			return error;
	}
	return 0;
}

static int config_read_number(struct config_reading *reading, const struct pvcalls_value *value,
			      uint64_t min, uint64_t max, uint64_t *number)
{
	if (value->kind == PVCALLS_VALUE_SCALAR && decimal_read(value->text, max, number) == 0 &&
	    *number >= min)
		return 0;
	return errors_add(reading->errors, value->at, "a number from %llu to %llu was expected",
			  (unsigned long long)min, (unsigned long long)max);
}

/* Splits "90s" into 90 and the factor of its unit; a number alone counts as unit "". */
static int config_read_scaled(const struct pvcalls_value *value, const char *const *units,
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
static int config_read_either(struct config_reading *reading, const struct pvcalls_value *value,
			      const char *yes, const char *no, const char *expected, bool *chosen)
{
	bool scalar = value->kind == PVCALLS_VALUE_SCALAR;

	if (!scalar || (strcmp(value->text, yes) != 0 && strcmp(value->text, no) != 0))
		return config_refuse(reading, value, expected);
	*chosen = strcmp(value->text, yes) == 0;
	return 0;
}

static int config_read_durability(struct config_reading *reading, const struct pvcalls_value *value)
{
	return config_read_either(reading, value, "sync", "crash", "crash or sync was expected",
				  &reading->config->sync);
}

static int config_read_uid_range(struct config_reading *reading, const struct pvcalls_value *value)
{
	const char *expected = "a range of user ids such as 2000000000-2000000511 was expected, "
			       "of at most 65536, without 0";
	uint64_t first;
	uint64_t last;
	const char *end;

	if (value->kind != PVCALLS_VALUE_SCALAR ||
	    decimal_read_head(value->text, &end, CONFIG_UID_LARGEST, &first) || *end != '-' ||
	    decimal_read(end + 1, CONFIG_UID_LARGEST, &last))
		return config_refuse(reading, value, expected);
	if (first == 0 || last < first || last - first >= CONFIG_UIDS_MAX)
		return config_refuse(reading, value, expected);
	reading->config->uids_first = (uint32_t)first;
	reading->config->uids_count = (uint32_t)(last - first + 1);
	return 0;
}

static int config_read_low_ports(struct config_reading *reading, const struct pvcalls_value *value)
{
	return config_read_either(reading, value, "true", "false", "true or false was expected",
				  &reading->config->low_ports);
}

static int config_read_sockets(struct config_reading *reading, const struct pvcalls_value *value)
{
	uint64_t number = 0;
	int error = config_read_number(reading, value, 1, CONFIG_SOCKETS_MAX, &number);

	reading->config->sockets = (uint32_t)number;
	return error;
}

static int config_read_priority(struct config_reading *reading, const struct pvcalls_value *value)
{
	return config_read_either(reading, value, "adaptive", "fixed",
				  "adaptive or fixed was expected",
				  &reading->config->adapt_priority);
}

static int config_read_local_addresses(struct config_reading *reading,
				       const struct pvcalls_value *value)
{
	return config_read_either(reading, value, "always", "on_demand",
				  "always or on_demand was expected", &reading->config->read_local);
}

static int config_read_engine(struct config_reading *reading, const struct pvcalls_value *value)
{
	static const struct config_field fields[] = {
		{"uids", config_read_uid_range},
		{"low_ports", config_read_low_ports},
		{"sockets", config_read_sockets},
		{"priority", config_read_priority},
		{"local_addresses", config_read_local_addresses},
	};

	return config_read_map(reading, value, fields, sizeof(fields) / sizeof(fields[0]));
}

static int config_read_audit_uid(struct config_reading *reading, const struct pvcalls_value *value)
{
	uint64_t number = 0;
	int error = config_read_number(reading, value, 0, CONFIG_UID_LARGEST, &number);

	reading->config->audit_uid = (uint32_t)number;
	return error;
}

static int config_read_segment_bytes(struct config_reading *reading,
				     const struct pvcalls_value *value)
{
	static const char *const units[] = {"", "KiB", "MiB", "GiB", NULL};
	static const uint64_t factors[] = {1, 1ull << 10, 1ull << 20, 1ull << 30};
	uint64_t *bytes = &reading->config->segment_bytes;

	if (config_read_scaled(value, units, factors, CONFIG_SEGMENT_MAX, bytes) ||
	    *bytes < CONFIG_SEGMENT_MIN)
		return config_refuse(reading, value,
				     "bytes were expected, from 1MiB to 1024GiB, such as 256MiB");
	return 0;
}

static int config_read_segment_age(struct config_reading *reading,
				   const struct pvcalls_value *value)
{
	static const char *const units[] = {"s", "m", "h", "d", NULL};
	static const uint64_t factors[] = {1, 60, 3600, 86400};
	uint64_t seconds;

	if (config_read_scaled(value, units, factors, CONFIG_SEGMENT_AGE_MAX, &seconds) ||
	    seconds == 0)
		return config_refuse(reading, value,
				     "a time was expected, from 1s to 366d, such as 24h");
	reading->config->segment_age_s = (uint32_t)seconds;
	return 0;
}

static int config_read_audit(struct config_reading *reading, const struct pvcalls_value *value)
{
	static const struct config_field fields[] = {
		{"uid", config_read_audit_uid},
		{"segment_bytes", config_read_segment_bytes},
		{"segment_age", config_read_segment_age},
	};

	return config_read_map(reading, value, fields, sizeof(fields) / sizeof(fields[0]));
}

static int config_find_user(struct config_reading *reading, const struct pvcalls_value *value,
			    uint32_t *uid)
{
	const struct passwd *user;
	uint64_t number;

	if (value->kind != PVCALLS_VALUE_SCALAR)
		return config_refuse(reading, value, "a user's name or number was expected");
	if (decimal_read(value->text, CONFIG_UID_LARGEST, &number) == 0) {
		*uid = (uint32_t)number;
		return 0;
	}
	user = getpwnam(value->text);
	if (!user)
		return config_refuse(reading, value, "no such user on this host");
	*uid = user->pw_uid;
	return 0;
}

static int config_read_users(struct config_reading *reading, const struct pvcalls_value *value,
			     struct uid_list *list)
{
	if (value->kind != PVCALLS_VALUE_LIST)
		return config_refuse(reading, value, "a list of users was expected");
	free(list->uids);
	list->count = 0;
	list->uids = calloc(value->count + 1, sizeof(*list->uids));
	if (!list->uids)
		return config_no_memory(reading, value);
	for (size_t i = 0; i < value->count; i++) {
		int error = config_find_user(reading, value->entries[i].value,
					     &list->uids[list->count]);

		if (error)
			return error;
		list->count++;
	}
	return 0;
}

static int config_read_grant_name(struct config_reading *reading, const struct pvcalls_value *value)
{
	if (value->kind != PVCALLS_VALUE_SCALAR || value->text[0] == '\0' ||
	    !glob_is_valid(value->text))
		return config_refuse(reading, value, "a guest's name or a glob was expected");
	reading->grant->glob = strdup(value->text);
	return reading->grant->glob ? 0 : config_no_memory(reading, value);
}

static int config_read_grant_users(struct config_reading *reading,
				   const struct pvcalls_value *value)
{
	return config_read_users(reading, value, &reading->grant->users);
}

static int config_read_grants(struct config_reading *reading, const struct pvcalls_value *value)
{
	static const struct config_field fields[] = {
		{"name", config_read_grant_name},
		{"users", config_read_grant_users},
	};
	struct config *config = reading->config;

	if (value->kind != PVCALLS_VALUE_LIST)
		return config_refuse(reading, value,
				     "a list was expected, of {name: ..., users: [...]}");
	config->grants = calloc(value->count + 1, sizeof(*config->grants));
	if (!config->grants)
		return config_no_memory(reading, value);
	for (size_t i = 0; i < value->count; i++) {
		const struct pvcalls_value *item = value->entries[i].value;
		int error;

		reading->grant = &config->grants[config->grant_count++];
		error = config_read_map(reading, item, fields, sizeof(fields) / sizeof(fields[0]));
		if (error)
			return error;
		if (!reading->grant->glob || !reading->grant->users.uids)
			return config_refuse(reading, item, "both name and users are needed");
	}
	return 0;
}

static int config_read_local(struct config_reading *reading, const struct pvcalls_value *value)
{
	static const struct config_field fields[] = {{"guests", config_read_grants}};

	return config_read_map(reading, value, fields, 1);
}

static int config_read_readers(struct config_reading *reading, const struct pvcalls_value *value)
{
	return config_read_users(reading, value, &reading->config->readers);
}

static int config_read_control(struct config_reading *reading, const struct pvcalls_value *value)
{
	static const struct config_field fields[] = {{"users", config_read_readers}};

	return config_read_map(reading, value, fields, 1);
}

static int config_check_uids(const struct config_reading *reading)
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

static void config_set_defaults(struct config *config)
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
static bool config_is_empty(const char *text, size_t size)
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
	static const struct config_field fields[] = {
		{"durability", config_read_durability}, {"engine", config_read_engine},
		{"audit", config_read_audit},           {"local", config_read_local},
		{"control", config_read_control},
	};
	struct errors errors = {.path = path};
	struct config_reading reading = {.config = config, .errors = &errors};
	struct arena arena = {0};
	const struct pvcalls_value *root;
	int error = 0;

	config_set_defaults(config);
	if (!config_is_empty(text, size)) {
		root = tree_read(&arena, text, size, &errors);
		error = root ? config_read_map(&reading, root, fields,
					       sizeof(fields) / sizeof(fields[0]))
			     : -EINVAL;
	}
	if (!error)
		error = config_check_uids(&reading);
	errors_tell(&errors, fault);
	errors_free(&errors);
	arena_free(&arena);
	if (error)
		config_clear(config);
	return error;
}

static int config_check_file(int fd, const char *path, struct fault *fault)
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
	error = config_check_file(fd, path, fault);
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
	config_set_defaults(config);
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
