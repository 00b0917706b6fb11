/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/plugin_host/plugin_options.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "call/call.h"
#include "call/wire_errno.h"
#include "policy/match/address.h"
#include "policy/match/conditions.h"
#include "policy/plugin_host/instance.h"
#include "policy/yaml/value_tree.h"

#define HOUR_NS (3600ull * NS_PER_S)

/* A word and what it stands for. */
struct option_unit {
	const char *name;
	uint64_t factor;
};

/* The list of errors while create() runs; afterwards there is nothing to read. */
static struct errors *option_errors(const struct pvcalls_host *host)
{
	const struct instance *instance = host->handle;

	return instance->context->compiling ? &instance->context->compiling->errors : NULL;
}

static int32_t option_refuse(const struct pvcalls_host *host, const struct pvcalls_value *at,
			     const char *expected)
{
	struct errors *errors = option_errors(host);

	if (!errors)
		return -1;
	if (!at)
		errors_add(errors, POSITION_NONE, "a value is missing; expected %s", expected);
	else if (at->kind == PVCALLS_VALUE_SCALAR)
		errors_add(errors, at->at, "\"%.64s\" is wrong here; expected %s", at->text,
			   expected);
	else
		errors_add(errors, at->at, "a %s; expected %s",
			   at->kind == PVCALLS_VALUE_LIST ? "list" : "map", expected);
	return -1;
}

static const char *option_text(const struct pvcalls_value *value)
{
	return value && value->kind == PVCALLS_VALUE_SCALAR ? value->text : NULL;
}

/* A number and one of the units behind it, multiplied. */
static int option_read_with_unit(const char *text, const struct option_unit *units, size_t count,
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

static int32_t option_read_u64(const struct pvcalls_host *host, const struct pvcalls_value *value,
			       uint64_t min, uint64_t max, uint64_t *out)
{
	char expected[64];
	const char *text = option_text(value);

	if (text && !decimal_read(text, max, out) && *out >= min)
		return 0;
	snprintf(expected, sizeof(expected), "a number from %" PRIu64 " to %" PRIu64, min, max);
	return option_refuse(host, value, expected);
}

static int32_t option_read_choice(const struct pvcalls_host *host,
				  const struct pvcalls_value *value, const char *const *words,
				  uint32_t count, uint32_t *index)
{
	const char *text = option_text(value);
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
	return option_refuse(host, value, expected);
}

static int32_t option_read_rate(const struct pvcalls_host *host, const struct pvcalls_value *value,
				uint64_t *interval_ns)
{
	static const struct option_unit units[] = {
		{"/s", NS_PER_S}, {"/m", 60 * NS_PER_S}, {"/h", HOUR_NS}};
	const char *text = option_text(value);
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
	return option_refuse(host, value, "a rate such as 200/s, 30/m or 5/h");
}

static int32_t option_read_bandwidth(const struct pvcalls_host *host,
				     const struct pvcalls_value *value, uint64_t *bytes_per_s)
{
	static const struct option_unit bits[] = {
		{"bit/s", 1}, {"kbit/s", 1000}, {"Mbit/s", 1000000}, {"Gbit/s", 1000000000}};
	static const struct option_unit bytes[] = {
		{"B/s", 1},          {"kB/s", 1000},      {"MB/s", 1000000},  {"GB/s", 1000000000},
		{"KiB/s", 1u << 10}, {"MiB/s", 1u << 20}, {"GiB/s", 1u << 30}};
	const char *text = option_text(value);
	uint64_t number;

	if (!option_read_with_unit(text, bytes, sizeof(bytes) / sizeof(bytes[0]), &number) &&
	    number) {
		*bytes_per_s = number;
		return 0;
	}
	if (!option_read_with_unit(text, bits, sizeof(bits) / sizeof(bits[0]), &number) &&
	    number >= 8) {
		*bytes_per_s = number / 8;
		return 0;
	}
	return option_refuse(host, value, "a bandwidth such as 100Mbit/s, 2MB/s or 512KiB/s");
}

static int32_t option_read_duration(const struct pvcalls_host *host,
				    const struct pvcalls_value *value, uint64_t *ns)
{
	static const struct option_unit units[] = {
		{"ns", 1},       {"us", NS_PER_US},    {"ms", NS_PER_MS},
		{"s", NS_PER_S}, {"m", 60 * NS_PER_S}, {"h", HOUR_NS}};

	if (!option_read_with_unit(option_text(value), units, sizeof(units) / sizeof(units[0]), ns))
		return 0;
	return option_refuse(host, value, "a time such as 10ms, 2s or 5m");
}

static int32_t option_read_ops(const struct pvcalls_host *host, const struct pvcalls_value *value,
			       uint32_t allowed, uint32_t *mask)
{
	const struct instance *instance = host->handle;
	struct errors *errors = option_errors(host);

	if (!value || !errors)
		return option_refuse(host, value, "an operation or a list of them");
	return conditions_read_ops(value, allowed & instance->plugin->ops, mask, errors) ? -1 : 0;
}

/* What connect() answers while it goes on, may be called again, or has succeeded before. */
static bool plugin_error_is_no_end(uint32_t error)
{
	return error == EAGAIN || error == EINTR || error == EISCONN;
}

bool plugin_error_is_valid(uint32_t error, uint32_t ops)
{
	/* Frontends send SOCKET just before CONNECT: its error is told by connect(), too. */
	static const uint32_t of_connect = 1u << PVCALLS_OP_CONNECT | 1u << PVCALLS_OP_SOCKET;

	/* A frontend takes these for "not yet" and would wait for what never comes. */
	if (error == 0 || error > INT_MAX || error == EINPROGRESS || error == EALREADY)
		return false;
	if ((ops & of_connect) && plugin_error_is_no_end(error))
		return false;
	return !!wire_errno_name((int)error);
}

static int32_t option_read_errno_for(const struct pvcalls_host *host,
				     const struct pvcalls_value *value, uint32_t ops,
				     uint32_t *error)
{
	const char *text = option_text(value);
	int number = text ? wire_errno_from_name(text) : 0;

	*error = (uint32_t)number;
	if (number && plugin_error_is_valid(*error, ops))
		return 0;
	if (number)
		return option_refuse(host, value,
				     "an error that ends the call, such as EACCES or ECONNREFUSED: "
				     "a program takes this one for a connect that goes on");
	return option_refuse(host, value, "an error's name such as EACCES or ECONNREFUSED");
}

static int32_t option_read_errno(const struct pvcalls_host *host, const struct pvcalls_value *value,
				 uint32_t *error)
{
	const struct instance *instance = host->handle;

	return option_read_errno_for(host, value, instance->plugin->ops, error);
}

static int32_t option_read_address(const struct pvcalls_host *host,
				   const struct pvcalls_value *value, uint8_t addr[16])
{
	const char *text = option_text(value);
	uint32_t address;

	if (!text || address_read(text, &address))
		return option_refuse(host, value, "an IPv4 address such as 192.0.2.7");
	address_write(address, addr);
	return 0;
}

static int32_t option_read_id(const struct pvcalls_host *host, const struct pvcalls_value *value,
			      char id[PVCALLS_RULE_MAX])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	struct instance *instance = host->handle;
	const char *text = option_text(value);
	struct errors *errors = option_errors(host);

	if (!errors || !text || !*text || strlen(text) >= PVCALLS_RULE_MAX ||
	    strspn(text, letters) != strlen(text))
		return option_refuse(host, value,
				     "an id of 1 to 63 letters, digits, \"_\", \".\" and \"-\"");
	if (name_table_find(&instance->ids, NULL, text) != NAME_NONE) {
		errors_add(errors, value->at, "duplicate id \"%s\"; expected each id once", text);
		return -1;
	}
	if (name_table_add(&instance->ids, NULL, text) == NAME_NONE)
		return -1;
	memcpy(id, text, strlen(text) + 1);
	return 0;
}

void plugin_options_fill(struct pvcalls_host *host)
{
	host->read_u64 = option_read_u64;
	host->read_choice = option_read_choice;
	host->read_rate = option_read_rate;
	host->read_bandwidth = option_read_bandwidth;
	host->read_duration = option_read_duration;
	host->read_ops = option_read_ops;
	host->read_errno = option_read_errno;
	host->read_errno_for = option_read_errno_for;
	host->read_address = option_read_address;
	host->read_id = option_read_id;
}
