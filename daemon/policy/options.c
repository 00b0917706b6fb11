/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host services that read typed values of a plugin's section; each tells its errors itself. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "call/call.h"
#include "call/wire_errno.h"
#include "policy/instance.h"

#define HOUR_NS (3600ull * NS_PER_S)

/* A word and what it stands for. */
struct unit {
	const char *name;
	uint64_t factor;
};

/* The list of errors while create() runs; afterwards there is nothing to read. */
static struct errors *errors_of(const struct pvcalls_host *host)
{
	const struct instance *instance = host->handle;

	return instance->policy->compiling ? &instance->policy->compiling->errors : NULL;
}

static int32_t fail(const struct pvcalls_host *host, const struct pvcalls_value *at,
		    const char *expected)
{
	struct errors *errors = errors_of(host);
	struct position nowhere = {0, 0};

	if (!errors)
		return -1;
	if (!at)
		errors_add(errors, nowhere, "a value is missing; expected %s", expected);
	else if (at->kind == PVCALLS_VALUE_SCALAR)
		errors_add(errors, at->at, "\"%.64s\" is wrong here; expected %s", at->text,
			   expected);
	else
		errors_add(errors, at->at, "a %s; expected %s",
			   at->kind == PVCALLS_VALUE_LIST ? "list" : "map", expected);
	return -1;
}

static const char *text_of(const struct pvcalls_value *value)
{
	return value && value->kind == PVCALLS_VALUE_SCALAR ? value->text : NULL;
}

/* A number and one of the units behind it, multiplied. */
static int read_with_unit(const char *text, const struct unit *units, size_t count,
			  uint64_t *number)
{
	const char *rest;
	size_t i;

	if (!text || decimal_read_head(text, &rest, UINT64_MAX, number))
		return -EINVAL;
	for (i = 0; i < count; i++)
		if (strcmp(units[i].name, rest) == 0)
			return __builtin_mul_overflow(*number, units[i].factor, number) ? -ERANGE
											: 0;
	return -EINVAL;
}

static int32_t read_u64(const struct pvcalls_host *host, const struct pvcalls_value *value,
			uint64_t min, uint64_t max, uint64_t *out)
{
	char expected[64];
	const char *text = text_of(value);

	if (text && !decimal_read(text, max, out) && *out >= min)
		return 0;
	snprintf(expected, sizeof(expected), "a number from %" PRIu64 " to %" PRIu64, min, max);
	return fail(host, value, expected);
}

static int32_t read_choice(const struct pvcalls_host *host, const struct pvcalls_value *value,
			   const char *const *words, uint32_t count, uint32_t *index)
{
	const char *text = text_of(value);
	char expected[160] = "";
	size_t used = 0;
	uint32_t i;

	for (i = 0; i < count; i++) {
		if (text && strcmp(text, words[i]) == 0) {
			*index = i;
			return 0;
		}
		if (used < sizeof(expected))
			used += (size_t)snprintf(expected + used, sizeof(expected) - used, "%s%s",
						 i ? ", " : "one of ", words[i]);
	}
	return fail(host, value, expected);
}

static int32_t read_rate(const struct pvcalls_host *host, const struct pvcalls_value *value,
			 uint64_t *interval_ns)
{
	static const struct unit units[] = {
		{"/s", NS_PER_S}, {"/m", 60 * NS_PER_S}, {"/h", HOUR_NS}};
	const char *text = text_of(value);
	const char *rest;
	uint64_t events;
	size_t i;

	if (text && !decimal_read_head(text, &rest, UINT64_MAX, &events))
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (strcmp(units[i].name, rest) == 0 && events >= 1 &&
			    events <= units[i].factor) {
				*interval_ns = units[i].factor / events;
				return 0;
			}
	return fail(host, value, "a rate such as 200/s, 30/m or 5/h");
}

static int32_t read_bandwidth(const struct pvcalls_host *host, const struct pvcalls_value *value,
			      uint64_t *bytes_per_s)
{
	static const struct unit bits[] = {
		{"bit/s", 1}, {"kbit/s", 1000}, {"Mbit/s", 1000000}, {"Gbit/s", 1000000000}};
	static const struct unit bytes[] = {
		{"B/s", 1},          {"kB/s", 1000},      {"MB/s", 1000000},  {"GB/s", 1000000000},
		{"KiB/s", 1u << 10}, {"MiB/s", 1u << 20}, {"GiB/s", 1u << 30}};
	const char *text = text_of(value);
	uint64_t number;

	if (!read_with_unit(text, bytes, sizeof(bytes) / sizeof(bytes[0]), &number) && number) {
		*bytes_per_s = number;
		return 0;
	}
	if (!read_with_unit(text, bits, sizeof(bits) / sizeof(bits[0]), &number) && number >= 8) {
		*bytes_per_s = number / 8;
		return 0;
	}
	return fail(host, value, "a bandwidth such as 100Mbit/s, 2MB/s or 512KiB/s");
}

static int32_t read_duration(const struct pvcalls_host *host, const struct pvcalls_value *value,
			     uint64_t *ns)
{
	static const struct unit units[] = {
		{"ns", 1},       {"us", NS_PER_US},    {"ms", NS_PER_MS},
		{"s", NS_PER_S}, {"m", 60 * NS_PER_S}, {"h", HOUR_NS}};

	if (!read_with_unit(text_of(value), units, sizeof(units) / sizeof(units[0]), ns))
		return 0;
	return fail(host, value, "a time such as 10ms, 2s or 5m");
}

/* "socket, connect, ..." */
static void write_ops(char *text, size_t size, uint32_t ops)
{
	size_t used = 0;
	uint32_t op;

	text[0] = '\0';
	for (op = 0; op < PVCALLS_OP_COUNT; op++)
		if ((ops & 1u << op) && used < size)
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
						 call_operations[op].name);
}

static int op_add(const struct pvcalls_value *value, uint32_t allowed, uint32_t *mask,
		  struct errors *errors)
{
	const char *text = text_of(value);
	char expected[80];
	uint32_t op;

	write_ops(expected, sizeof(expected), allowed);
	for (op = 0; text && op < PVCALLS_OP_COUNT; op++)
		if (strcmp(call_operations[op].name, text) == 0)
			break;
	if (!text || op == PVCALLS_OP_COUNT)
		return errors_add(errors, value->at, "\"%.64s\" is no operation; expected %s",
				  text ? text : "a list or map", expected);
	if (!(allowed & 1u << op))
		return errors_add(errors, value->at,
				  "operation %s can not be used here; expected %s", text, expected);
	if (*mask & 1u << op)
		return errors_add(errors, value->at, "operation %s twice; expected each once",
				  text);
	*mask |= 1u << op;
	return 0;
}

int ops_read(const struct pvcalls_value *value, uint32_t allowed, uint32_t *mask,
	     struct errors *errors)
{
	int result = 0;
	uint32_t i;

	*mask = 0;
	if (value->kind != PVCALLS_VALUE_LIST)
		return op_add(value, allowed, mask, errors);
	if (!value->count)
		return errors_add(errors, value->at,
				  "an empty list; expected at least one operation");
	for (i = 0; i < value->count; i++)
		if (op_add(tree_item(value, i), allowed, mask, errors))
			result = -EINVAL;
	return result;
}

static int32_t read_ops(const struct pvcalls_host *host, const struct pvcalls_value *value,
			uint32_t allowed, uint32_t *mask)
{
	const struct instance *instance = host->handle;
	struct errors *errors = errors_of(host);

	if (!value || !errors)
		return fail(host, value, "an operation or a list of them");
	return ops_read(value, allowed & instance->plugin->ops, mask, errors) ? -1 : 0;
}

static int32_t read_errno(const struct pvcalls_host *host, const struct pvcalls_value *value,
			  uint32_t *error)
{
	const char *text = text_of(value);
	int number = text ? wire_errno_from_name(text) : 0;

	*error = (uint32_t)number;
	if (number && hook_error_is_valid(*error))
		return 0;
	return fail(host, value, "an error's name such as EACCES, ECONNREFUSED or EAGAIN");
}

static int32_t read_address(const struct pvcalls_host *host, const struct pvcalls_value *value,
			    uint8_t addr[16])
{
	const char *text = text_of(value);
	uint32_t address;

	if (!text || address_read(text, &address))
		return fail(host, value, "an IPv4 address such as 192.0.2.7");
	memset(addr, 0, 16);
	addr[0] = (uint8_t)(address >> 24);
	addr[1] = (uint8_t)(address >> 16);
	addr[2] = (uint8_t)(address >> 8);
	addr[3] = (uint8_t)address;
	return 0;
}

static int32_t read_id(const struct pvcalls_host *host, const struct pvcalls_value *value,
		       char id[PVCALLS_RULE_MAX])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	struct instance *instance = host->handle;
	const char *text = text_of(value);
	struct errors *errors = errors_of(host);

	if (!errors || !text || !*text || strlen(text) >= PVCALLS_RULE_MAX ||
	    strspn(text, letters) != strlen(text))
		return fail(host, value,
			    "an id of 1 to 63 letters, digits, \"_\", \".\" and \"-\"");
	if (names_find(&instance->ids, NULL, text) != NAME_NONE) {
		errors_add(errors, value->at, "duplicate id \"%s\"; expected each id once", text);
		return -1;
	}
	if (names_add(&instance->ids, NULL, text) == NAME_NONE)
		return -1;
	memcpy(id, text, strlen(text) + 1);
	return 0;
}

void options_init(struct pvcalls_host *host)
{
	host->read_u64 = read_u64;
	host->read_choice = read_choice;
	host->read_rate = read_rate;
	host->read_bandwidth = read_bandwidth;
	host->read_duration = read_duration;
	host->read_ops = read_ops;
	host->read_errno = read_errno;
	host->read_address = read_address;
	host->read_id = read_id;
}
