// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Options of TCP and IP. (Those of SOL_SOCKET are the kernel's generic code's: time-outs and low
 * water are honoured by hook_stream.c, the rest is remembered.)
 *
 * The protocol has no call for options: the backend chooses for its sockets, and tuning an option
 * here changes nothing there. What programs set routinely is accepted and remembered, so that they
 * run; what promises something that would not happen is refused.
 */
#include <linux/sockptr.h>
#include <linux/uaccess.h>

#include "hook_socket.h"

static const struct remembered {
	int level;
	int option;
	int initial;
} remembered[] = {
	{IPPROTO_TCP, TCP_NODELAY, 0},
	{IPPROTO_TCP, TCP_MAXSEG, 1448},
	{IPPROTO_TCP, TCP_CORK, 0},
	{IPPROTO_TCP, TCP_KEEPIDLE, 7200},
	{IPPROTO_TCP, TCP_KEEPINTVL, 75},
	{IPPROTO_TCP, TCP_KEEPCNT, 9},
	{IPPROTO_TCP, TCP_SYNCNT, 6},
	{IPPROTO_TCP, TCP_LINGER2, 60},
	{IPPROTO_TCP, TCP_DEFER_ACCEPT, 0},
	{IPPROTO_TCP, TCP_WINDOW_CLAMP, 0},
	{IPPROTO_TCP, TCP_QUICKACK, 1},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, 0},
	{IPPROTO_TCP, TCP_FASTOPEN, 0},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0},
	{IPPROTO_IP, IP_TOS, 0},
	{IPPROTO_IP, IP_TTL, 64},
	{IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT},
	{IPPROTO_IP, IP_RECVERR, 0},
	{IPPROTO_IP, IP_FREEBIND, 0},
	{IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 0},
	{IPPROTO_IP, IP_LOCAL_PORT_RANGE, 0},
};

static int find(int level, int option)
{
	unsigned int i;

	BUILD_BUG_ON(ARRAY_SIZE(remembered) > SOCKET_OPTIONS);
	for (i = 0; i < ARRAY_SIZE(remembered); i++)
		if (remembered[i].level == level && remembered[i].option == option)
			return i;
	return -ENOPROTOOPT;
}

void options_init(struct hook_socket *socket)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(remembered); i++)
		socket->told.option[i] = remembered[i].initial;
	strscpy(socket->told.congestion, "cubic", sizeof(socket->told.congestion));
}

void options_inherit(struct hook_socket *socket, const struct hook_socket *listener)
{
	const struct sock *from = &listener->sk;
	struct sock *to = &socket->sk;

	socket->told = listener->told;
	to->sk_rcvtimeo = from->sk_rcvtimeo;
	to->sk_sndtimeo = from->sk_sndtimeo;
	to->sk_rcvbuf = from->sk_rcvbuf;
	to->sk_sndbuf = from->sk_sndbuf;
	to->sk_rcvlowat = from->sk_rcvlowat;
	to->sk_lingertime = from->sk_lingertime;
	sock_valbool_flag(to, SOCK_LINGER, sock_flag(from, SOCK_LINGER));
	sock_valbool_flag(to, SOCK_KEEPOPEN, sock_flag(from, SOCK_KEEPOPEN));
}

/* Any name will do: which algorithms the backend's host has is its own affair. */
static int set_congestion(struct hook_socket *socket, sockptr_t value, unsigned int length)
{
	char name[sizeof(socket->told.congestion)] = "";

	if (!length)
		return -EINVAL;
	if (copy_from_sockptr(name, value, min_t(unsigned int, length, sizeof(name) - 1)))
		return -EFAULT;
	strscpy(socket->told.congestion, name, sizeof(socket->told.congestion));
	return 0;
}

int socket_setsockopt(struct socket *sock, int level, int option, sockptr_t value,
		      unsigned int length)
{
	struct hook_socket *socket = hook_socket(sock->sk);
	int number = 0;
	u8 byte;
	int i;

	if (level == IPPROTO_TCP && option == TCP_CONGESTION)
		return set_congestion(socket, value, length);
	i = find(level, option);
	if (i < 0)
		return i;
	if (length >= sizeof(number)) {
		if (copy_from_sockptr(&number, value, sizeof(number)))
			return -EFAULT;
	} else if (level == IPPROTO_IP && length) {
		if (copy_from_sockptr(&byte, value, sizeof(byte)))
			return -EFAULT;
		number = byte;
	} else {
		return -EINVAL;
	}
	socket->told.option[i] = number;
	return 0;
}

static int give(const void *from, int bytes, char __user *value, int __user *length)
{
	int room;

	if (get_user(room, length))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	bytes = min(bytes, room);
	if (put_user(bytes, length) || copy_to_user(value, from, bytes))
		return -EFAULT;
	return 0;
}

/* Nothing is known of what the host's TCP does; the state is. */
static int give_info(const struct hook_socket *socket, char __user *value, int __user *length)
{
	struct tcp_info info = {
		.tcpi_state = socket->sk.sk_state,
		.tcpi_snd_mss = 1448,
		.tcpi_rcv_mss = 1448,
	};

	return give(&info, sizeof(info), value, length);
}

int socket_getsockopt(struct socket *sock, int level, int option, char __user *value,
		      int __user *length)
{
	struct hook_socket *socket = hook_socket(sock->sk);
	int i;

	if (level == IPPROTO_TCP && option == TCP_CONGESTION)
		return give(socket->told.congestion, sizeof(socket->told.congestion), value,
			    length);
	if (level == IPPROTO_TCP && option == TCP_INFO)
		return give_info(socket, value, length);
	/* sshd looks for source routing: there is none. */
	if (level == IPPROTO_IP && option == IP_OPTIONS)
		return put_user(0, length);
	i = find(level, option);
	if (i < 0)
		return i;
	return give(&socket->told.option[i], sizeof(int), value, length);
}
