/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/floor.h"

#include <errno.h>
#include <string.h>

#include "policy/instance.h"

#define FAMILY_INET 2u

/* A kind of address that is denied. */
struct kind {
	uint32_t first;
	uint32_t last;
	struct floor_verdict verdict;
};

static const struct kind kinds[] = {
	{0x00000000, 0x00ffffff, {"unspecified", "0.0.0.0/8 means the host itself"}},
	{0x7f000000, 0x7fffffff, {"loopback", "127.0.0.0/8 is the host itself"}},
	{0xa9fe0000, 0xa9feffff, {"link-local", "169.254.0.0/16: link-local and metadata"}},
	{0xe0000000, 0xefffffff, {"multicast", "224.0.0.0/4: multicast"}},
	{0xf0000000, 0xffffffff, {"reserved", "240.0.0.0/4: reserved and broadcast"}},
};

static const struct floor_verdict permitted;

static uint32_t address_of(const struct pvcalls_endpoint *endpoint)
{
	return (uint32_t)endpoint->addr[0] << 24 | (uint32_t)endpoint->addr[1] << 16 |
	       (uint32_t)endpoint->addr[2] << 8 | endpoint->addr[3];
}

static struct floor_verdict deny(const char *rule, const char *reason)
{
	struct floor_verdict verdict = {rule, reason};

	return verdict;
}

static struct floor_verdict judge_kind(uint32_t address)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (address >= kinds[i].first && address <= kinds[i].last)
			return kinds[i].verdict;
	return permitted;
}

static bool is_opened(const struct floor *floor, uint32_t op,
		      const struct pvcalls_endpoint *endpoint)
{
	return floor->allow && set_find(floor->allow, op, endpoint) >= 0;
}

static struct floor_verdict judge_connect(const struct floor *floor,
					  const struct pvcalls_endpoint *to)
{
	struct floor_verdict verdict;

	if (to->port == 0)
		return deny("port-zero", "port 0 can not be connected to");
	if (is_opened(floor, PVCALLS_OP_CONNECT, to))
		return permitted;
	verdict = judge_kind(address_of(to));
	if (verdict.rule)
		return verdict;
	if (!floor->host)
		return deny("host-unknown", "the host's own addresses are not known");
	if (host_view_has_address(floor->host, to->addr))
		return deny("host-address", "an address of the host itself");
	return permitted;
}

static struct floor_verdict judge_bind(const struct floor *floor, const struct pvcalls_endpoint *at)
{
	struct floor_verdict verdict;
	int listens = 0;

	if (!floor->host)
		return deny("host-unknown", "the host's own ports are not known");
	if (at->port)
		listens = host_view_listens(floor->host, at->port);
	if (listens < 0)
		return deny("host-unknown", "the host's own ports can not be read");
	if (listens)
		return deny("host-port", "the host itself listens on this port");
	if (is_opened(floor, PVCALLS_OP_BIND, at))
		return permitted;
	verdict = judge_kind(address_of(at));
	if (verdict.rule)
		return verdict;
	if (host_view_is_broadcast(floor->host, at->addr))
		return deny("broadcast", "a broadcast address of the host");
	if (at->port && at->port < FLOOR_PORT_FIRST)
		return deny("low-port", "ports below 1024 are the host's");
	return permitted;
}

static struct floor_verdict judge_listen(const struct pvcalls_endpoint *local)
{
	if (local->family == 0 || (address_of(local) == 0 && local->port == 0))
		return deny("unbound", "listen without bind would listen on every address");
	return permitted;
}

static bool is_ipv4(const struct pvcalls_endpoint *endpoint)
{
	static const uint8_t zeros[12];

	return endpoint->family == FAMILY_INET && memcmp(endpoint->addr + 4, zeros, 12) == 0;
}

struct floor_verdict floor_judge(const struct floor *floor, const struct pvcalls_call *call)
{
	if (call->op == PVCALLS_OP_LISTEN)
		return judge_listen(&call->local);
	if (call->op != PVCALLS_OP_CONNECT && call->op != PVCALLS_OP_BIND)
		return permitted;
	if (!is_ipv4(&call->effective))
		return deny("family", "not an IPv4 address");
	if (call->op == PVCALLS_OP_CONNECT)
		return judge_connect(floor, &call->effective);
	return judge_bind(floor, &call->effective);
}

int floor_refresh(struct floor *floor)
{
	return floor->host ? host_view_refresh(floor->host) : 0;
}

static int read_opening(struct floor *floor, const struct pvcalls_value *opening,
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
	result = ops_read(on, allowed, &rule.ops, errors);
	if (match_read(groups, to, &rule, errors))
		result = -EINVAL;
	if (!result && rule.any_net)
		result = errors_add(errors, to->at,
				    "net is missing; expected the addresses to open by name");
	if (!result)
		result = set_append(floor->allow, &rule);
	if (result) {
		ranges_free(&rule.nets);
		ranges_free(&rule.ports);
	}
	return result;
}

int floor_read(struct floor *floor, const struct pvcalls_value *section,
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
	floor->allow = set_new();
	if (!floor->allow)
		return -ENOMEM;
	for (i = 0; i < list->count; i++) {
		problem = read_opening(floor, tree_item(list, i), groups, errors);
		if (problem)
			result = problem;
	}
	return result ? result : set_compile(floor->allow);
}

void floor_free(struct floor *floor)
{
	set_free(floor->allow);
	floor->allow = NULL;
}
