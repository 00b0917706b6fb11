/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/host_view/host_view.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fd.h"
#include "policy/host_view/netlink.h"
#include "policy/match/address.h"

#define HOST_VIEW_TRIES 8  /* of a dump that a change keeps tearing */
#define HOST_TCP_LISTEN 10 /* <netinet/tcp.h> clashes with <linux/tcp.h> in what includes both */

/*
 * Addresses that go with their interface leave the routing table without a route's notification;
 * so links and addresses are listened to as well. Each of them only says: read again.
 */
#define HOST_VIEW_GROUPS (RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_IFADDR | RTMGRP_LINK)

struct host_view {
	int events;   /* notifications */
	int routes;   /* dumps of the routing table */
	int diag;     /* dumps of sockets; -1: the ports are those in `ports` */
	bool fixed;   /* made up: addresses and ports never change */
	bool watched; /* host_view_changed() is called when notifications come */
	bool stale;   /* a change was told, or the last reading failed */
	uint32_t sequence;
	struct ranges addresses;  /* normalised: local and broadcast */
	struct ranges broadcasts; /* normalised: those of them that are broadcast */
	struct ranges ports;      /* what it listens on, if sockets are not dumped */
	uint32_t guest_uid_first;
	uint32_t guest_uid_count;
	uint32_t first_port; /* that may be bound to */
};

/* The attributes of a route that matter here. */
struct route {
	uint32_t table;
	uint32_t address;
};

static struct route route_read(const struct nlmsghdr *message)
{
	const struct rtmsg *header = NLMSG_DATA(message);
	const struct rtattr *attribute = RTM_RTA(header);
	size_t size = message->nlmsg_len - NLMSG_LENGTH(sizeof(*header));
	struct route route = {.table = header->rtm_table};

	for (; RTA_OK(attribute, size); attribute = RTA_NEXT(attribute, size)) {
		if (RTA_PAYLOAD(attribute) != sizeof(uint32_t))
			continue;
		if (attribute->rta_type == RTA_TABLE)
			memcpy(&route.table, RTA_DATA(attribute), sizeof(route.table));
		if (attribute->rta_type == RTA_DST)
			memcpy(&route.address, RTA_DATA(attribute), sizeof(route.address));
	}
	route.address = ntohl(route.address);
	return route;
}

static bool route_is(const struct nlmsghdr *message)
{
	return (message->nlmsg_type == RTM_NEWROUTE || message->nlmsg_type == RTM_DELROUTE) &&
	       message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct rtmsg));
}

/* What one reading of the table finds. */
struct found_routes {
	struct ranges addresses;
	struct ranges broadcasts;
};

static int found_add_route(void *context, const struct nlmsghdr *message)
{
	const struct rtmsg *header = NLMSG_DATA(message);
	struct found_routes *found = context;
	struct range range;
	struct route route;
	int result;

	if (!route_is(message) || header->rtm_family != AF_INET || header->rtm_dst_len > 32)
		return 0;
	route = route_read(message);
	if (route.table != RT_TABLE_LOCAL ||
	    (header->rtm_type != RTN_LOCAL && header->rtm_type != RTN_BROADCAST &&
	     header->rtm_type != RTN_ANYCAST))
		return 0;
	range.first = route.address;
	range.last = route.address | (uint32_t)((1ull << (32 - header->rtm_dst_len)) - 1);
	result = ranges_add(&found->addresses, range);
	if (!result && header->rtm_type == RTN_BROADCAST)
		result = ranges_add(&found->broadcasts, range);
	return result;
}

static int host_view_read_routes(struct host_view *view)
{
	struct {
		struct nlmsghdr header;
		struct rtmsg route;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = RTM_GETROUTE,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			   .nlmsg_seq = view->sequence},
		.route = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_LOCAL},
	};
	struct found_routes found = {0};
	int result;

	result = netlink_dump(view->routes, &request.header, found_add_route, &found);
	view->sequence = request.header.nlmsg_seq;
	if (result) {
		ranges_free(&found.addresses);
		ranges_free(&found.broadcasts);
		return result;
	}
	ranges_normalise(&found.addresses);
	ranges_normalise(&found.broadcasts);
	ranges_free(&view->addresses);
	ranges_free(&view->broadcasts);
	view->addresses = found.addresses;
	view->broadcasts = found.broadcasts;
	return 0;
}

/* A notification: does it mean that the table of local routes may have changed? */
static int host_view_note_change(void *context, const struct nlmsghdr *message)
{
	struct host_view *view = context;

	if (!route_is(message) || route_read(message).table == RT_TABLE_LOCAL)
		view->stale = true;
	return 0;
}

int host_view_watch(struct host_view *view)
{
	view->watched = !view->fixed;
	return view->events;
}

void host_view_changed(struct host_view *view)
{
	ASSERT(view->watched);
	/* Whatever was lost: what is not known is read. */
	if (netlink_drain(view->events, host_view_note_change, view))
		view->stale = true;
}

void host_view_look(struct host_view *view)
{
	if (view->watched)
		host_view_changed(view);
}

int host_view_refresh(struct host_view *view)
{
	int result = 0;
	int tries;

	if (view->fixed || (view->watched && !view->stale))
		return 0;
	ASSERT(view->events >= 0 && view->routes >= 0);
	for (tries = 0; tries < HOST_VIEW_TRIES; tries++) {
		result = netlink_drain(view->events, host_view_note_change, view);
		if (result == -ENOBUFS) {
			view->stale = true;
			continue;
		}
		if (result || !view->stale)
			return result;
		result = host_view_read_routes(view);
		if (!result)
			view->stale = false; /* and drain again: did it change meanwhile? */
		else if (result != -EAGAIN)
			return result;
	}
	return view->stale ? -EAGAIN : result;
}

bool host_view_has_address(const struct host_view *view, const uint8_t addr[4])
{
	return ranges_have(&view->addresses, (uint32_t)addr[0] << 24 | (uint32_t)addr[1] << 16 |
						     (uint32_t)addr[2] << 8 | addr[3]);
}

const struct ranges *host_view_addresses(const struct host_view *view)
{
	return &view->addresses;
}

bool host_view_is_broadcast(const struct host_view *view, const uint8_t addr[4])
{
	return ranges_have(&view->broadcasts, (uint32_t)addr[0] << 24 | (uint32_t)addr[1] << 16 |
						      (uint32_t)addr[2] << 8 | addr[3]);
}

void host_view_set_first_port(struct host_view *view, uint32_t port)
{
	view->first_port = port;
}

uint32_t host_view_first_port(const struct host_view *view)
{
	return view->first_port;
}

/* A search for a listening socket that is the host's own. */
struct listener_search {
	const struct host_view *view;
	uint16_t port;
	bool found;
};

static int listener_search_note(void *context, const struct nlmsghdr *message)
{
	const struct inet_diag_msg *socket = NLMSG_DATA(message);
	struct listener_search *search = context;

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*socket)))
		return -EBADMSG;
	if (socket->idiag_state == HOST_TCP_LISTEN &&
	    ntohs(socket->id.idiag_sport) == search->port &&
	    socket->idiag_uid - search->view->guest_uid_first >= search->view->guest_uid_count)
		search->found = true;
	return 0;
}

static int listener_search_run(struct host_view *view, uint8_t family,
			       struct listener_search *search)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 ask;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			   .nlmsg_seq = view->sequence},
		.ask = {.sdiag_family = family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = 1u << HOST_TCP_LISTEN,
			.id = {.idiag_sport = htons(search->port)}},
	};
	int result = netlink_dump(view->diag, &request.header, listener_search_note, search);

	view->sequence = request.header.nlmsg_seq;
	/* A listener that comes or goes while it dumps could have been missed by any answer. */
	return result == -EAGAIN ? 0 : result;
}

int host_view_listens(struct host_view *view, uint16_t port)
{
	struct listener_search search = {.view = view, .port = port};
	int result;

	if (view->diag < 0)
		return ranges_have(&view->ports, port);
	result = listener_search_run(view, AF_INET, &search);
	if (!result && !search.found)
		result = listener_search_run(view, AF_INET6, &search);
	return result ? result : search.found;
}

static int host_view_open_routes(struct host_view *view)
{
	view->events = netlink_open(NETLINK_ROUTE, HOST_VIEW_GROUPS);
	if (view->events < 0)
		return view->events;
	view->routes = netlink_open(NETLINK_ROUTE, 0);
	if (view->routes < 0)
		return view->routes;
	view->stale = true;
	return host_view_refresh(view);
}

/* Asks for a port as well: that loads what the kernel needs for it. */
static int host_view_open_diag(struct host_view *view)
{
	int result;

	view->diag = netlink_open(NETLINK_SOCK_DIAG, 0);
	result = view->diag < 0 ? view->diag : host_view_listens(view, 1);
	return result < 0 ? result : 0;
}

static struct host_view *host_view_new(void)
{
	struct host_view *view = calloc(1, sizeof(*view));

	if (view)
		view->events = view->routes = view->diag = -1;
	return view;
}

int host_view_open(struct host_view **view, uint32_t guest_uid_first, uint32_t guest_uid_count,
		   struct fault *fault)
{
	struct host_view *made = host_view_new();
	int result;

	*view = NULL;
	if (!made)
		return fault_set(fault, ENOMEM, "out of memory");
	made->guest_uid_first = guest_uid_first;
	made->guest_uid_count = guest_uid_count;
	result = host_view_open_routes(made);
	if (!result)
		result = host_view_open_diag(made);
	if (result) {
		host_view_close(made);
		return fault_set(fault, -result,
				 "the host's addresses and ports can not be read (netlink): %s; "
				 "are the kernel modules inet_diag and tcp_diag there?",
				 strerror(-result));
	}
	*view = made;
	return 0;
}

int host_view_open_addresses(struct host_view **view, struct fault *fault)
{
	struct host_view *made = host_view_new();
	int result = made ? host_view_open_routes(made) : -ENOMEM;

	*view = made;
	if (!result)
		return 0;
	host_view_close(made);
	*view = NULL;
	return fault_set(fault, -result, "the host's addresses can not be read (netlink): %s",
			 strerror(-result));
}

int host_view_fixed(struct host_view **view, const char *const *addresses, size_t address_count,
		    const uint16_t *ports, size_t port_count)
{
	struct host_view *made = host_view_new();
	const char *problem;
	struct range range;
	int result = made ? 0 : -ENOMEM;
	size_t i;

	*view = NULL;
	for (i = 0; i < address_count && !result; i++) {
		result = prefix_read(addresses[i], &range, &problem);
		if (!result)
			result = ranges_add(&made->addresses, range);
	}
	for (i = 0; i < port_count && !result; i++) {
		range.first = range.last = ports[i];
		result = ranges_add(&made->ports, range);
	}
	if (result) {
		host_view_close(made);
		return result;
	}
	made->fixed = true;
	ranges_normalise(&made->addresses);
	ranges_normalise(&made->ports);
	*view = made;
	return 0;
}

void host_view_close(struct host_view *view)
{
	if (!view)
		return;
	fd_close(&view->events);
	fd_close(&view->routes);
	fd_close(&view->diag);
	ranges_free(&view->addresses);
	ranges_free(&view->broadcasts);
	ranges_free(&view->ports);
	free(view);
}
