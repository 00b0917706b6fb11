/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * setsockopt() and getsockopt().
 *
 * The protocol has no options: the backend chooses its own. What a socket pair can do itself
 * (time-outs, buffers) is left to the kernel; what only matters to the host's socket is remembered,
 * so that the program reads back what it set; what would change what the program may rely on is
 * refused.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "calls.h"

#define OPTION_BYTES 16 /* of a remembered option */
#define OPTIONS_MAX  24 /* remembered for one socket */

struct remembered {
	int level;
	int name;
	uint32_t size;
	uint8_t value[OPTION_BYTES];
};

enum treatment {
	REFUSE,   /* ENOPROTOOPT */
	REMEMBER, /* an int, or what the program wrote */
	KERNEL,   /* the pair does it */
};

/* Numbers that this libc may not name. */
#define OPTION_RCVTIMEO_NEW 66
#define OPTION_SNDTIMEO_NEW 67
#define OPTION_ZEROCOPY     60

static const struct {
	int level;
	int name;
	enum treatment treatment;
	int initial;
} options[] = {
	{SOL_SOCKET, SO_RCVTIMEO, KERNEL, 0},
	{SOL_SOCKET, SO_SNDTIMEO, KERNEL, 0},
	{SOL_SOCKET, OPTION_RCVTIMEO_NEW, KERNEL, 0},
	{SOL_SOCKET, OPTION_SNDTIMEO_NEW, KERNEL, 0},
	{SOL_SOCKET, SO_SNDBUF, KERNEL, 0},
	{SOL_SOCKET, SO_RCVBUF, KERNEL, 0},
	{SOL_SOCKET, SO_SNDBUFFORCE, KERNEL, 0},
	{SOL_SOCKET, SO_RCVBUFFORCE, KERNEL, 0},
	{SOL_SOCKET, SO_PEEK_OFF, KERNEL, 0},
	{SOL_SOCKET, SO_RCVLOWAT, REMEMBER, 1},
	{SOL_SOCKET, SO_SNDLOWAT, REMEMBER, 1},
	{SOL_SOCKET, SO_DEBUG, REMEMBER, 0},
	{SOL_SOCKET, SO_REUSEADDR, REMEMBER, 0},
	{SOL_SOCKET, SO_REUSEPORT, REMEMBER, 0},
	{SOL_SOCKET, SO_KEEPALIVE, REMEMBER, 0},
	{SOL_SOCKET, SO_DONTROUTE, REMEMBER, 0},
	{SOL_SOCKET, SO_BROADCAST, REMEMBER, 0},
	{SOL_SOCKET, SO_OOBINLINE, REMEMBER, 0},
	{SOL_SOCKET, SO_PRIORITY, REMEMBER, 0},
	{SOL_SOCKET, SO_LINGER, REMEMBER, 0},
	{SOL_SOCKET, SO_TIMESTAMP, REMEMBER, 0},
	{SOL_SOCKET, SO_MARK, REMEMBER, 0},
	{SOL_SOCKET, SO_BUSY_POLL, REMEMBER, 0},
	{SOL_SOCKET, SO_INCOMING_CPU, REMEMBER, -1},
	{IPPROTO_TCP, TCP_NODELAY, REMEMBER, 0},
	{IPPROTO_TCP, TCP_MAXSEG, REMEMBER, 1460},
	{IPPROTO_TCP, TCP_CORK, REMEMBER, 0},
	{IPPROTO_TCP, TCP_KEEPIDLE, REMEMBER, 7200},
	{IPPROTO_TCP, TCP_KEEPINTVL, REMEMBER, 75},
	{IPPROTO_TCP, TCP_KEEPCNT, REMEMBER, 9},
	{IPPROTO_TCP, TCP_SYNCNT, REMEMBER, 6},
	{IPPROTO_TCP, TCP_LINGER2, REMEMBER, 60},
	{IPPROTO_TCP, TCP_DEFER_ACCEPT, REMEMBER, 0},
	{IPPROTO_TCP, TCP_WINDOW_CLAMP, REMEMBER, 0},
	{IPPROTO_TCP, TCP_QUICKACK, REMEMBER, 1},
	{IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, REMEMBER, 0},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, REMEMBER, 0},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT, REMEMBER, 0},
	{IPPROTO_TCP, TCP_FASTOPEN, REMEMBER, 0},
	{IPPROTO_IP, IP_TOS, REMEMBER, 0},
	{IPPROTO_IP, IP_TTL, REMEMBER, 64},
	{IPPROTO_IP, IP_RECVERR, REMEMBER, 0},
	{IPPROTO_IP, IP_MTU_DISCOVER, REMEMBER, 1},
	{IPPROTO_IP, IP_FREEBIND, REMEMBER, 0},
	{IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, REMEMBER, 0},
	{IPPROTO_IP, IP_RECVTOS, REMEMBER, 0},
	{IPPROTO_IP, IP_MINTTL, REMEMBER, 0},
	{IPPROTO_IP, IP_PKTINFO, REMEMBER, 0},
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

static size_t option_of(int level, int name)
{
	size_t i = 0;

	while (i < OPTION_COUNT && (options[i].level != level || options[i].name != name))
		i++;
	return i;
}

static struct remembered *recall(const struct endpoint *endpoint, int level, int name)
{
	uint32_t i;

	for (i = 0; i < endpoint->options; i++)
		if (endpoint->option[i].level == level && endpoint->option[i].name == name)
			return &endpoint->option[i];
	return NULL;
}

/* The place of an option, new if need be; NULL: no memory, or too many. */
static struct remembered *place(struct endpoint *endpoint, int level, int name)
{
	struct remembered *found = recall(endpoint, level, name);

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

static int remember(struct endpoint *endpoint, const struct notice *notice)
{
	uint32_t size = (uint32_t)notice->args[4];
	struct remembered value = {.size = size < OPTION_BYTES ? size : OPTION_BYTES};
	struct remembered *kept;

	if (size < sizeof(int))
		return -EINVAL;
	if (notice_read(notice, notice->args[3], value.value, value.size))
		return -EFAULT;
	kept = place(endpoint, (int)notice->args[1], (int)notice->args[2]);
	if (!kept)
		return -ENOBUFS;
	kept->size = value.size;
	memcpy(kept->value, value.value, sizeof(kept->value));
	return 0;
}

int calls_wanted_buffer(const struct endpoint *endpoint)
{
	const struct remembered *kept = recall(endpoint, SOL_SOCKET, SO_SNDBUF);
	int size = 0;

	if (kept)
		memcpy(&size, kept->value, sizeof(size));
	return size > 0 ? size : 0;
}

void calls_setsockopt(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		      int theirs)
{
	int level = (int)notice->args[1];
	int name = (int)notice->args[2];
	size_t option = option_of(level, name);
	int result = -ENOPROTOOPT;

	(void)theirs;
	if (level == SOL_SOCKET && name == OPTION_ZEROCOPY) {
		result = -EOPNOTSUPP;
	} else if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
		result = 0; /* the host chooses */
	} else if (option < OPTION_COUNT && options[option].treatment == REMEMBER) {
		result = remember(endpoint, notice);
	} else if (option < OPTION_COUNT && options[option].treatment == KERNEL) {
		/* While it is filled, the buffer's size must not change. */
		bool filled = endpoint->state == ENDPOINT_CONNECTING && !endpoint->blocking;

		if (level == SOL_SOCKET && name == SO_SNDBUF)
			result = remember(endpoint, notice);
		if (!filled || (name != SO_SNDBUF && name != SO_SNDBUFFORCE)) {
			notice_continue(&run->notices, notice->id);
			return;
		}
	}
	notice_answer(&run->notices, notice->id, result);
}

/* Writes value as much as the program has room for. */
static int give(struct run *run, const struct notice *notice, const void *value, uint32_t size)
{
	uint32_t room;

	if (notice_read(notice, notice->args[4], &room, sizeof(room)))
		return -EFAULT;
	if ((int32_t)room < 0)
		return -EINVAL;
	if (size > room)
		size = room;
	if (!notice_alive(&run->notices, notice->id))
		return -ENOENT;
	if (notice_write(notice, notice->args[3], value, size))
		return -EFAULT;
	return notice_write(notice, notice->args[4], &size, sizeof(size));
}

/* What the endpoint itself knows. False: it is another option. */
static bool own_value(const struct endpoint *endpoint, int level, int name, int *value)
{
	if (level != SOL_SOCKET)
		return false;
	switch (name) {
	case SO_ERROR:
		*value = endpoint->error;
		return endpoint->state != ENDPOINT_CONNECTED || endpoint->error;
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

static int give_tcp_info(struct run *run, const struct endpoint *endpoint,
			 const struct notice *notice)
{
	struct tcp_info info = {
		.tcpi_state = TCP_CLOSE, .tcpi_snd_mss = 1460, .tcpi_rcv_mss = 1460};

	if (endpoint->state == ENDPOINT_CONNECTED)
		info.tcpi_state = TCP_ESTABLISHED;
	else if (endpoint->state == ENDPOINT_LISTENING)
		info.tcpi_state = TCP_LISTEN;
	else if (endpoint->state == ENDPOINT_CONNECTING)
		info.tcpi_state = TCP_SYN_SENT;
	return give(run, notice, &info, sizeof(info));
}

static int give_option(struct run *run, const struct endpoint *endpoint,
		       const struct notice *notice, size_t option)
{
	const struct remembered *kept =
		recall(endpoint, options[option].level, options[option].name);
	uint64_t initial = (uint32_t)options[option].initial;
	bool linger = options[option].level == SOL_SOCKET && options[option].name == SO_LINGER;

	if (kept)
		return give(run, notice, kept->value, kept->size);
	return give(run, notice, &initial, linger ? sizeof(struct linger) : sizeof(int));
}

void calls_getsockopt(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		      int theirs)
{
	int level = (int)notice->args[1];
	int name = (int)notice->args[2];
	size_t option = option_of(level, name);
	int result = -ENOPROTOOPT;
	int value;

	(void)theirs;
	if (own_value(endpoint, level, name, &value)) {
		result = give(run, notice, &value, sizeof(value));
	} else if ((option < OPTION_COUNT && options[option].treatment == KERNEL) ||
		   (level == SOL_SOCKET && name == SO_ERROR)) {
		notice_continue(&run->notices, notice->id);
		return;
	} else if (option < OPTION_COUNT) {
		result = give_option(run, endpoint, notice, option);
	} else if (level == IPPROTO_TCP && name == TCP_INFO) {
		result = give_tcp_info(run, endpoint, notice);
	} else if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
		result = give(run, notice, "cubic", sizeof("cubic"));
	}
	if (notice_answer(&run->notices, notice->id, result) == 0 && level == SOL_SOCKET &&
	    name == SO_ERROR && result == 0)
		endpoint->error = 0;
}
