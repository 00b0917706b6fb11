/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/match/conditions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "call/call.h"
#include "policy/match/address.h"

static int conditions_add_port(const struct pvcalls_value *value, struct ranges *out,
			       struct errors *errors)
{
	const char *problem;
	struct range range;

	if (value->kind != PVCALLS_VALUE_SCALAR)
		return errors_add(errors, value->at, "not a port; expected 443 or 8000-8100");
	if (port_range_read(value->text, &range, &problem))
		return errors_add(errors, value->at, "\"%.64s\": %s", value->text, problem);
	return ranges_add(out, range);
}

static int conditions_read_ports(const struct pvcalls_value *value, struct ranges *out,
				 struct errors *errors)
{
	int result = 0;
	int problem;
	uint32_t i;

	if (value->kind == PVCALLS_VALUE_LIST && value->count == 0)
		return errors_add(errors, value->at, "an empty list; expected at least one port");
	if (value->kind != PVCALLS_VALUE_LIST)
		result = conditions_add_port(value, out, errors);
	for (i = 0; value->kind == PVCALLS_VALUE_LIST && i < value->count; i++) {
		problem = conditions_add_port(tree_item(value, i), out, errors);
		if (problem)
			result = problem;
	}
	ranges_normalise(out);
	return result;
}

int conditions_read(const struct groups *groups, const struct pvcalls_value *match,
		    struct set_rule *rule, struct errors *errors)
{
	const struct pvcalls_value *net;
	const struct pvcalls_value *ports;
	int result = 0;
	int problem = 0;

	if (match && match->kind != PVCALLS_VALUE_MAP)
		return errors_add(errors, match->at,
				  "not a map; expected {net: addresses, ports: ports}");
	net = tree_get(match, "net");
	ports = tree_get(match, "ports");
	rule->match = match;
	rule->any_net = !net;
	rule->any_port = !ports;
	if (match && !net && !ports)
		return errors_add(errors, match->at, "empty; expected net, ports or both");
	if (net)
		result = groups_read_nets(groups, net, &rule->nets, errors);
	if (ports)
		problem = conditions_read_ports(ports, &rule->ports, errors);
	return result ? result : problem;
}

/* "socket, connect, ..." */
static void conditions_name_ops(char *text, size_t size, uint32_t ops)
{
	size_t used = 0;
	uint32_t op;

	text[0] = '\0';
	for (op = 0; op < PVCALLS_OP_COUNT; op++)
		if ((ops & 1u << op) && used < size)
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
						 call_operations[op].name);
}

static int conditions_add_op(const struct pvcalls_value *value, uint32_t allowed, uint32_t *mask,
			     struct errors *errors)
{
	const char *text = value->kind == PVCALLS_VALUE_SCALAR ? value->text : NULL;
	char expected[80];
	uint32_t op;

	conditions_name_ops(expected, sizeof(expected), allowed);
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

int conditions_read_ops(const struct pvcalls_value *value, uint32_t allowed, uint32_t *mask,
			struct errors *errors)
{
	int result = 0;
	uint32_t i;

	*mask = 0;
	if (value->kind != PVCALLS_VALUE_LIST)
		return conditions_add_op(value, allowed, mask, errors);
	if (!value->count)
		return errors_add(errors, value->at,
				  "an empty list; expected at least one operation");
	for (i = 0; i < value->count; i++)
		if (conditions_add_op(tree_item(value, i), allowed, mask, errors))
			result = -EINVAL;
	return result;
}
