/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * setsockopt() and getsockopt().
 *
 * The protocol has no options: the backend chooses its own. What a socket pair can do itself
 * (time-outs, buffers) is left to the kernel; what only matters to the host's socket is remembered,
 * so that the program reads back what it set; what would change what the program may rely on is
 * refused.
 */
#include "run/trapped/trapped_options.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "run/endpoints/endpoint_table.h"

#define OPTION_BYTES 16 /* of a remembered option */
#define OPTIONS_MAX  24 /* remembered for one socket */

struct remembered_option {
	int level;
	int name;
	uint32_t size;
	uint8_t value[OPTION_BYTES];
};

enum option_treatment {
	OPTION_REFUSE,   /* ENOPROTOOPT */
	OPTION_REMEMBER, /* an int, or what the program wrote */
	OPTION_KERNEL,   /* the pair does it */
};

/* Numbers that this libc may not name. */
#define OPTION_RCVTIMEO_NEW 66
#define OPTION_SNDTIMEO_NEW 67
#define OPTION_ZEROCOPY     60

static const struct {
	int level;
	int name;
	enum option_treatment treatment;
	int initial;
} socket_options[] = {
	{SOL_SOCKET, SO_RCVTIMEO, OPTION_KERNEL, 0},
	{SOL_SOCKET, SO_SNDTIMEO, OPTION_KERNEL, 0},
	{SOL_SOCKET, OPTION_RCVTIMEO_NEW, OPTION_KERNEL, 0},
	{SOL_SOCKET, OPTION_SNDTIMEO_NEW, OPTION_KERNEL, 0},
	{SOL_SOCKET, SO_SNDBUF, OPTION_KERNEL, 0},
	{SOL_SOCKET, SO_RCVBUF, OPTION_KERNEL, 0},
	{SOL_SOCKET, SO_SNDBUFFORCE, OPTION_KERNEL, 0},
	{SOL_SOCKET, SO_RCVBUFFORCE, OPTION_KERNEL, 0},
	{SOL_SOCKET, SO_PEEK_OFF, OPTION_KERNEL, 0},
	{SOL_SOCKET, SO_RCVLOWAT, OPTION_REMEMBER, 1},
	{SOL_SOCKET, SO_SNDLOWAT, OPTION_REMEMBER, 1},
	{SOL_SOCKET, SO_DEBUG, OPTION_REMEMBER, 0},
	{SOL_SOCKET, SO_REUSEADDR, OPTION_REMEMBER, 0},
	{SOL_SOCKET, SO_REUSEPORT, OPTION_REMEMBER, 0},
	{SOL_SOCKET, SO_KEEPALIVE, OPTION_REMEMBER, 0},
	{SOL_SOCKET, SO_DONTROUTE, OPTION_REMEMBER, 0},
	{SOL_SOCKET, SO_BROADCAST, OPTION_REMEMBER, 0},
	{SOL_SOCKET, SO_OOBINLINE, OPTION_REMEMBER, 0},
	{SOL_SOCKET, SO_PRIORITY, OPTION_REMEMBER, 0},
	{SOL_SOCKET, SO_LINGER, OPTION_REMEMBER, 0},
	{SOL_SOCKET, SO_TIMESTAMP, OPTION_REMEMBER, 0},
	{SOL_SOCKET, SO_MARK, OPTION_REMEMBER, 0},
	{SOL_SOCKET, SO_BUSY_POLL, OPTION_REMEMBER, 0},
	{SOL_SOCKET, SO_INCOMING_CPU, OPTION_REMEMBER, -1},
	{IPPROTO_TCP, TCP_NODELAY, OPTION_REMEMBER, 0},
	{IPPROTO_TCP, TCP_MAXSEG, OPTION_REMEMBER, 1460},
	{IPPROTO_TCP, TCP_CORK, OPTION_REMEMBER, 0},
	{IPPROTO_TCP, TCP_KEEPIDLE, OPTION_REMEMBER, 7200},
	{IPPROTO_TCP, TCP_KEEPINTVL, OPTION_REMEMBER, 75},
	{IPPROTO_TCP, TCP_KEEPCNT, OPTION_REMEMBER, 9},
	{IPPROTO_TCP, TCP_SYNCNT, OPTION_REMEMBER, 6},
	{IPPROTO_TCP, TCP_LINGER2, OPTION_REMEMBER, 60},
	{IPPROTO_TCP, TCP_DEFER_ACCEPT, OPTION_REMEMBER, 0},
	{IPPROTO_TCP, TCP_WINDOW_CLAMP, OPTION_REMEMBER, 0},
	{IPPROTO_TCP, TCP_QUICKACK, OPTION_REMEMBER, 1},
	{IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, OPTION_REMEMBER, 0},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, OPTION_REMEMBER, 0},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT, OPTION_REMEMBER, 0},
	{IPPROTO_TCP, TCP_FASTOPEN, OPTION_REMEMBER, 0},
	{IPPROTO_IP, IP_TOS, OPTION_REMEMBER, 0},
	{IPPROTO_IP, IP_TTL, OPTION_REMEMBER, 64},
	{IPPROTO_IP, IP_RECVERR, OPTION_REMEMBER, 0},
	{IPPROTO_IP, IP_MTU_DISCOVER, OPTION_REMEMBER, 1},
	{IPPROTO_IP, IP_FREEBIND, OPTION_REMEMBER, 0},
	{IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, OPTION_REMEMBER, 0},
	{IPPROTO_IP, IP_RECVTOS, OPTION_REMEMBER, 0},
	{IPPROTO_IP, IP_MINTTL, OPTION_REMEMBER, 0},
	{IPPROTO_IP, IP_PKTINFO, OPTION_REMEMBER, 0},
};

#define OPTION_COUNT (sizeof(socket_options) / sizeof(socket_options[0]))

static size_t trapped_options_index(int level, int name)
{
	size_t i = 0;

	while (i < OPTION_COUNT &&
	       (socket_options[i].level != level || socket_options[i].name != name))
		i++;
	return i;
}

static struct remembered_option *trapped_options_recall(const struct endpoint *endpoint, int level,
							int name)
{
	uint32_t i;

	for (i = 0; i < endpoint->options; i++)
		if (endpoint->option[i].level == level && endpoint->option[i].name == name)
			return &endpoint->option[i];
	return NULL;
}

/* The place of an option, new if need be; NULL: no memory, or too many. */
static struct remembered_option *trapped_options_place(struct endpoint *endpoint, int level,
						       int name)
{
	struct remembered_option *found = trapped_options_recall(endpoint, level, name);

	if (found || endpoint->options == OPTIONS_MAX)
		return found;
	if (!endpoint->option)
		endpoint->option = calloc(OPTIONS_MAX, sizeof(*endpoint->option));
	if (!endpoint->option)
		return NULL;
	found = &endpoint->option[endpoint->options++];
	found->level = level;
	found->name = name;
	return found;
}

static int trapped_options_remember(struct endpoint *endpoint, const struct trapped_call *call)
{
	uint32_t size = (uint32_t)call->args[4];
	struct remembered_option value = {.size = size < OPTION_BYTES ? size : OPTION_BYTES};
	struct remembered_option *kept;

	if (size < sizeof(int))
		return -EINVAL;
	if (trap_read(call, call->args[3], value.value, value.size))
		return -EFAULT;
	kept = trapped_options_place(endpoint, (int)call->args[1], (int)call->args[2]);
	if (!kept)
		return -ENOBUFS;
	kept->size = value.size;
	memcpy(kept->value, value.value, sizeof(kept->value));
	return 0;
}

int trapped_options_buffer(const struct endpoint *endpoint)
{
	const struct remembered_option *kept =
		trapped_options_recall(endpoint, SOL_SOCKET, SO_SNDBUF);
	int size = 0;

	if (kept)
		memcpy(&size, kept->value, sizeof(size));
	return size > 0 ? size : 0;
}

void trapped_setsockopt(struct endpoint *endpoint, const struct trapped_call *call, int theirs)
{
	int level = (int)call->args[1];
	int name = (int)call->args[2];
	size_t option = trapped_options_index(level, name);
	int result = -ENOPROTOOPT;

	(void)theirs;
	if (level == SOL_SOCKET && name == OPTION_ZEROCOPY) {
		result = -EOPNOTSUPP;
	} else if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
		result = 0; /* the host chooses */
	} else if (option < OPTION_COUNT && socket_options[option].treatment == OPTION_REMEMBER) {
		result = trapped_options_remember(endpoint, call);
	} else if (option < OPTION_COUNT && socket_options[option].treatment == OPTION_KERNEL) {
		/* While it is filled, the buffer's size must not change. */
		bool filled = endpoint->state == ENDPOINT_CONNECTING;

		if (level == SOL_SOCKET && name == SO_SNDBUF)
			result = trapped_options_remember(endpoint, call);
		if (!filled || (name != SO_SNDBUF && name != SO_SNDBUFFORCE)) {
			trap_continue(&endpoint->table->trap, call->id);
			return;
		}
	}
	trap_answer(&endpoint->table->trap, call->id, result);
}

/* Writes value as much as the program has room for. */
static int trapped_options_give(struct trap *trap, const struct trapped_call *call,
				const void *value, uint32_t size)
{
	uint32_t room;

	if (trap_read(call, call->args[4], &room, sizeof(room)))
		return -EFAULT;
	if ((int32_t)room < 0)
		return -EINVAL;
	if (size > room)
		size = room;
	if (!trap_alive(trap, call->id))
		return -ENOENT;
	if (trap_write(call, call->args[3], value, size))
		return -EFAULT;
	return trap_write(call, call->args[4], &size, sizeof(size));
}

/* What the endpoint itself knows. False: it is another option. */
static bool trapped_options_own(const struct endpoint *endpoint, int level, int name, int *value)
{
	if (level != SOL_SOCKET)
		return false;
	switch (name) {
	case SO_ERROR:
		*value = endpoint->error;
		return (endpoint->state != ENDPOINT_CONNECTED &&
			endpoint->state != ENDPOINT_ENDED) ||
		       endpoint->error;
	case SO_TYPE:
		*value = SOCK_STREAM;
		return true;
	case SO_DOMAIN:
		*value = AF_INET;
		return true;
	case SO_PROTOCOL:
		*value = IPPROTO_TCP;
		return true;
	case SO_ACCEPTCONN:
		*value = endpoint->state == ENDPOINT_LISTENING;
		return true;
	default:
		return false;
	}
}

static int trapped_options_give_tcp_info(const struct endpoint *endpoint,
					 const struct trapped_call *call)
{
	struct tcp_info info = {
		.tcpi_state = TCP_CLOSE, .tcpi_snd_mss = 1460, .tcpi_rcv_mss = 1460};

	if (endpoint->state == ENDPOINT_CONNECTED)
		info.tcpi_state = TCP_ESTABLISHED;
	else if (endpoint->state == ENDPOINT_LISTENING)
		info.tcpi_state = TCP_LISTEN;
	else if (endpoint->state == ENDPOINT_CONNECTING)
		info.tcpi_state = TCP_SYN_SENT;
	return trapped_options_give(&endpoint->table->trap, call, &info, sizeof(info));
}

static int trapped_options_give_one(const struct endpoint *endpoint,
				    const struct trapped_call *call, size_t option)
{
	const struct remembered_option *kept = trapped_options_recall(
		endpoint, socket_options[option].level, socket_options[option].name);
	uint64_t initial = (uint32_t)socket_options[option].initial;
	bool linger = socket_options[option].level == SOL_SOCKET &&
		      socket_options[option].name == SO_LINGER;

	if (kept)
		return trapped_options_give(&endpoint->table->trap, call, kept->value, kept->size);
	return trapped_options_give(&endpoint->table->trap, call, &initial,
				    linger ? sizeof(struct linger) : sizeof(int));
}

void trapped_getsockopt(struct endpoint *endpoint, const struct trapped_call *call, int theirs)
{
	int level = (int)call->args[1];
	int name = (int)call->args[2];
	size_t option = trapped_options_index(level, name);
	int result = -ENOPROTOOPT;
	int value;

	(void)theirs;
	if (trapped_options_own(endpoint, level, name, &value)) {
		result = trapped_options_give(&endpoint->table->trap, call, &value, sizeof(value));
	} else if ((option < OPTION_COUNT && socket_options[option].treatment == OPTION_KERNEL) ||
		   (level == SOL_SOCKET && name == SO_ERROR)) {
		trap_continue(&endpoint->table->trap, call->id);
		return;
	} else if (option < OPTION_COUNT) {
		result = trapped_options_give_one(endpoint, call, option);
	} else if (level == IPPROTO_TCP && name == TCP_INFO) {
		result = trapped_options_give_tcp_info(endpoint, call);
	} else if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
		result = trapped_options_give(&endpoint->table->trap, call, "cubic",
					      sizeof("cubic"));
	}
	if (trap_answer(&endpoint->table->trap, call->id, result) == 0 && level == SOL_SOCKET &&
	    name == SO_ERROR && result == 0)
		endpoint->error = 0;
}
