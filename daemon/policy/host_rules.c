/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/host_rules.h"

#include <errno.h>
#include <string.h>

#include "policy/match/address.h"
#include "policy/match/conditions.h"
#include "policy/match/set_compile.h"
#include "policy/yaml/value_tree.h"

/* A kind of address that is denied. */
struct address_kind {
	uint32_t first;
	uint32_t last;
	struct host_denial denial;
};

static const struct address_kind address_kinds[] = {
	{0x00000000, 0x00ffffff, {"unspecified", "0.0.0.0/8 means the host itself", 0}},
	{0x7f000000, 0x7fffffff, {"loopback", "127.0.0.0/8 is the host itself", 0}},
	{0xa9fe0000, 0xa9feffff, {"link-local", "169.254.0.0/16: link-local and metadata", 0}},
	{0xe0000000, 0xefffffff, {"multicast", "224.0.0.0/4: multicast", 0}},
	{0xf0000000, 0xffffffff, {"reserved", "240.0.0.0/4: reserved and broadcast", 0}},
};

static const struct host_denial host_denial_none; /* permitted */

static struct host_denial host_denial_of(const char *rule, const char *reason)
{
	struct host_denial denial = {.rule = rule, .reason = reason};

	return denial;
}

static struct host_denial host_rules_judge_kind(uint32_t address)
{
	size_t i;

	for (i = 0; i < sizeof(address_kinds) / sizeof(address_kinds[0]); i++)
		if (address >= address_kinds[i].first && address <= address_kinds[i].last)
			return address_kinds[i].denial;
	return host_denial_none;
}

static bool host_rules_have_opened(const struct host_rules *rules, uint32_t op,
				   const struct pvcalls_endpoint *endpoint)
{
	return rules->allow && set_find(rules->allow, op, endpoint) >= 0;
}

static struct host_denial host_rules_judge_connect(const struct host_rules *rules,
						   const struct pvcalls_endpoint *to)
{
	struct host_denial denial;

	if (to->port == 0)
		return host_denial_of("port-zero", "port 0 can not be connected to");
	if (host_rules_have_opened(rules, PVCALLS_OP_CONNECT, to))
		return host_denial_none;
	denial = host_rules_judge_kind(address_of_endpoint(to));
	if (denial.rule)
		return denial;
	if (!rules->host)
		return host_denial_of("host-unknown", "the host's own addresses are not known");
	if (host_view_has_address(rules->host, to->addr))
		return host_denial_of("host-address", "an address of the host itself");
	return host_denial_none;
}

/* Whether a bind to it would have been opened by name: by itself, as port 0, or as 0.0.0.0. */
static bool host_rules_have_opened_listener(const struct host_rules *rules,
					    const struct pvcalls_endpoint *local)
{
	struct pvcalls_endpoint bound = *local;
	uint32_t address = address_of_endpoint(local);
	int i;

	for (i = 0; i < 4; i++) {
		address_write(i & 1 ? 0 : address, bound.addr);
		bound.port = i & 2 ? 0 : local->port;
		if (host_rules_have_opened(rules, PVCALLS_OP_BIND, &bound))
			return true;
	}
	return false;
}

static struct host_denial host_rules_judge_accept(const struct host_rules *rules,
						  const struct pvcalls_endpoint *local)
{
	if (!address_is_ipv4(local) || !address_is_loopback(local) ||
	    host_rules_have_opened_listener(rules, local))
		return host_denial_none;
	return host_denial_of("loopback",
			      "0.0.0.0 means the host's addresses that are not loopback");
}

/* Whether the kernel would let us, had the policy opened the port or not. */
static struct host_denial host_rules_judge_right(const struct host_rules *rules, uint16_t port)
{
	if (!port || port >= host_view_first_port(rules->host))
		return host_denial_none;
	return host_denial_of("low-port", "this port needs CAP_NET_BIND_SERVICE: set "
					  "engine: {low_ports: true} in pvcallsd.yaml");
}

bool host_rules_let_connect_only(const struct host_rules *rules, const struct pvcalls_endpoint *at)
{
	return at->port == 0 && address_is_loopback(at) &&
	       !host_rules_have_opened(rules, PVCALLS_OP_BIND, at);
}

/* What a policy can open by name. 0.0.0.0 is no address that is kept from guests. */
static struct host_denial host_rules_judge_bind_kind(const struct host_rules *rules,
						     const struct pvcalls_endpoint *at)
{
	uint32_t address = address_of_endpoint(at);
	struct host_denial denial = host_denial_none;

	if (address && !host_rules_let_connect_only(rules, at))
		denial = host_rules_judge_kind(address);
	if (denial.rule)
		return denial;
	if (host_view_is_broadcast(rules->host, at->addr))
		return host_denial_of("broadcast", "a broadcast address of the host");
	if (at->port && at->port < HOST_RULES_PORT_FIRST)
		return host_denial_of("low-port", "ports below 1024 are the host's; the policy can "
						  "open one under floor");
	return host_denial_none;
}

static struct host_denial host_rules_judge_bind(const struct host_rules *rules,
						const struct pvcalls_endpoint *at)
{
	static const struct host_denial in_use = {
		"host-port", "the host itself listens on this port", -EADDRINUSE};
	struct host_denial denial = host_denial_none;
	int listens = 0;

	if (!rules->host)
		return host_denial_of("host-unknown", "the host's own ports are not known");
	if (at->port)
		listens = host_view_listens(rules->host, at->port);
	if (listens < 0)
		return host_denial_of("host-unknown", "the host's own ports can not be read");
	if (listens)
		return in_use;
	if (!host_rules_have_opened(rules, PVCALLS_OP_BIND, at))
		denial = host_rules_judge_bind_kind(rules, at);
	return denial.rule ? denial : host_rules_judge_right(rules, at->port);
}

static struct host_denial host_rules_judge_listen(const struct pvcalls_call *call)
{
	const struct pvcalls_endpoint *local = &call->local;

	/* It is bound, and has no port yet: the chain denies it, if not this. */
	if (call->flags & PVCALLS_CALL_BOUND_WITHOUT_RULE)
		return address_is_loopback(local)
			       ? host_denial_of(
					 "loopback",
					 "bound to port 0 of the host itself: only to connect")
			       : host_denial_none;
	if (local->family == 0 || (address_of_endpoint(local) == 0 && local->port == 0))
		return host_denial_of("unbound",
				      "listen without bind would listen on every address");
	return host_denial_none;
}

struct host_denial host_rules_judge(const struct host_rules *rules, const struct pvcalls_call *call)
{
	if (call->op == PVCALLS_OP_LISTEN)
		return host_rules_judge_listen(call);
	if (call->op == PVCALLS_OP_ACCEPT)
		return host_rules_judge_accept(rules, &call->local);
	if (call->op != PVCALLS_OP_CONNECT && call->op != PVCALLS_OP_BIND)
		return host_denial_none;
	if (!address_is_ipv4(&call->effective))
		return host_denial_of("family", "not an IPv4 address");
	if (call->op == PVCALLS_OP_CONNECT)
		return host_rules_judge_connect(rules, &call->effective);
	return host_rules_judge_bind(rules, &call->effective);
}

struct host_denial host_rules_judge_now(const struct host_rules *rules,
					const struct pvcalls_call *call, bool *unknown)
{
	static const struct host_denial host_unknown = {
		.rule = "host-unknown", .reason = "the host's own addresses can not be read"};

	*unknown = false;
	if (call->op == PVCALLS_OP_ACCEPT) /* no address of the host comes into it */
		return host_rules_judge(rules, call);
	if (call->op != PVCALLS_OP_CONNECT && call->op != PVCALLS_OP_BIND &&
	    call->op != PVCALLS_OP_LISTEN)
		return host_denial_none;
	*unknown = rules->host && host_view_refresh(rules->host) != 0;
	return *unknown ? host_unknown : host_rules_judge(rules, call);
}

static int host_rules_read_opening(struct host_rules *rules, const struct pvcalls_value *opening,
				   const struct groups *groups, struct errors *errors)
{
	static const uint32_t allowed = 1u << PVCALLS_OP_CONNECT | 1u << PVCALLS_OP_BIND;
	const struct pvcalls_value *on = tree_get(opening, "on");
	const struct pvcalls_value *to = tree_get(opening, "to");
	struct set_rule rule = {0};
	int result;

	if (opening->kind != PVCALLS_VALUE_MAP || !on || !to)
		return errors_add(errors, opening->at,
				  "not a rule of the floor; expected {on: connect, to: {net: "
				  "addresses, ports: ports}}");
	result = conditions_read_ops(on, allowed, &rule.ops, errors);
	if (conditions_read(groups, to, &rule, errors))
		result = -EINVAL;
	if (!result && rule.any_net)
		result = errors_add(errors, to->at,
				    "net is missing; expected the addresses to open by name");
	if (!result)
		result = set_append(rules->allow, &rule);
	if (result) {
		ranges_free(&rule.nets);
		ranges_free(&rule.ports);
	}
	return result;
}

int host_rules_read(struct host_rules *rules, const struct pvcalls_value *section,
		    const struct groups *groups, struct errors *errors)
{
	const struct pvcalls_value *list;
	int result = 0;
	int problem;
	uint32_t i;

	if (!section)
		return 0;
	list = tree_get(section, "allow");
	if (!list || list->kind != PVCALLS_VALUE_LIST)
		return errors_add(errors, (list ? list : section)->at,
				  "not what opens the floor; expected floor: {allow: [rules]}");
	rules->allow = set_new();
	if (!rules->allow)
		return -ENOMEM;
	for (i = 0; i < list->count; i++) {
		problem = host_rules_read_opening(rules, tree_item(list, i), groups, errors);
		if (problem)
			result = problem;
	}
	return result ? result : set_compile(rules->allow);
}

void host_rules_free(struct host_rules *rules)
{
	set_free(rules->allow);
	rules->allow = NULL;
}
