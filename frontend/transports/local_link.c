/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transports/local_link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport/local_wire.h"
#include "transports/why.h"

#define HEAD offsetof(struct local_message, text)

/* A path too long for sun_path is reached through the directory's descriptor. */
static int local_link_connect_in(int fd, const char *runtime_dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t room = sizeof(address.sun_path);
	int directory = -1;
	int result;

	if ((size_t)snprintf(address.sun_path, room, "%s/" LOCAL_SOCKET_NAME, runtime_dir) >=
	    room) {
		directory = open(runtime_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (directory < 0)
			return -errno;
		snprintf(address.sun_path, room, "/proc/self/fd/%d/" LOCAL_SOCKET_NAME, directory);
	}
	result = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	if (directory >= 0)
		close(directory);
	return result;
}

int local_link_open(struct local_link *link, const char *runtime_dir, char *why)
{
	int error;

	*link = (struct local_link){.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
	if (link->fd < 0)
		return why_set(why, errno, "no socket for the daemon: %s", strerror(errno));
	error = local_link_connect_in(link->fd, runtime_dir);
	if (!error && fcntl(link->fd, F_SETFL, O_NONBLOCK) == 0)
		return 0;
	local_link_close(link);
	return why_set(why, -error,
		       "no daemon answers at %s/" LOCAL_SOCKET_NAME
		       ": %s; start pvcallsd or name its directory with --runtime-dir",
		       runtime_dir, strerror(-error));
}

void local_link_close(struct local_link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
}

static int local_link_send(struct local_link *link, enum local_kind kind, uint32_t value,
			   const char *text, int fd)
{
	struct local_message message = {.kind = kind, .value = value};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec part = {.iov_base = &message};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	size_t length = strlen(text);

	if (length >= sizeof(message.text))
		return -EMSGSIZE;
	memcpy(message.text, text, length + 1);
	part.iov_len = HEAD + length + 1;
	if (fd >= 0) {
		control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
						 .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS};
		header.msg_control = control.bytes;
		header.msg_controllen = sizeof(control.bytes);
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &fd, sizeof(fd));
	}
	return sendmsg(link->fd, &header, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Puts received descriptors into fds (up to max, the rest is closed); returns how many. */
static uint32_t local_link_take_fds(struct msghdr *header, int *fds, uint32_t max)
{
	struct cmsghdr *control;
	uint32_t count = 0;

	for (control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
		size_t bytes = control->cmsg_len - CMSG_LEN(0);
		size_t at;

		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
			continue;
		for (at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(control) + at, sizeof(fd));
			if (count < max)
				fds[count++] = fd;
			else
				close(fd);
		}
	}
	return count;
}

/* One message with NUL-terminated text; 0, -EAGAIN, or -ENETDOWN at the end of the connection. */
static int local_link_receive(struct local_link *link, struct local_message *message, int *fds,
			      uint32_t *count)
{
	union {
		char bytes[CMSG_SPACE(LOCAL_LINK_WELCOME_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = {.iov_base = message, .iov_len = sizeof(*message)};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof(control.bytes)};
	ssize_t size = recvmsg(link->fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	/* A daemon that closes before it has read all of ours; its last words come after that. */
	if (size < 0 && errno == ECONNRESET)
		size = recvmsg(link->fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	*count = 0;
	if (size < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : -ENETDOWN;
	*count = local_link_take_fds(&header, fds, fds ? LOCAL_LINK_WELCOME_FDS : 0);
	if ((size_t)size < HEAD + 1)
		return -ENETDOWN;
	message->text[(size_t)size - HEAD - 1] = '\0';
	return 0;
}

/* The daemon's words are shown to people: only printable ones. */
static int local_link_refused(const struct local_message *message, char *why)
{
	char text[LOCAL_TEXT_MAX];
	int error = message->value && message->value < 4096 ? (int)message->value : EPROTO;
	size_t i;

	for (i = 0; message->text[i]; i++)
		text[i] =
			(char)(message->text[i] < ' ' || message->text[i] > '~' ? '?'
										: message->text[i]);
	text[i] = '\0';
	return why_set(why, error, "the daemon refused: %.400s", text);
}

static void local_link_keep_node(struct local_link *link, const char *key, const char *value)
{
	uint32_t i;

	for (i = 0; i < link->nodes; i++)
		if (strcmp(link->node[i].key, key) == 0)
			break;
	if (i == LOCAL_LINK_NODES_MAX)
		return;
	if (i == link->nodes)
		link->nodes++;
	snprintf(link->node[i].key, LOCAL_LINK_KEY_MAX, "%s", key);
	snprintf(link->node[i].value, FRONT_VALUE_MAX, "%s", value);
}

static void local_link_keep_nodes(struct local_link *link, char *text)
{
	char *rest = NULL;
	char *line;

	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *value = strchr(line, '=');

		if (!value)
			continue;
		*value++ = '\0';
		if (strlen(line) < LOCAL_LINK_KEY_MAX && strlen(value) < FRONT_VALUE_MAX)
			local_link_keep_node(link, line, value);
	}
}

static void local_link_close_fds(int *fds, uint32_t count)
{
	while (count > 0)
		close(fds[--count]);
}

int local_link_hello(struct local_link *link, const char *name, int memory_fd, uint32_t timeout_ms,
		     int fds[LOCAL_LINK_WELCOME_FDS], char *why)
{
	struct pollfd wait = {.fd = link->fd, .events = POLLIN};
	struct local_message message;
	uint32_t count;
	int error = local_link_send(link, LOCAL_HELLO, LOCAL_VERSION, name, memory_fd);

	if (error && error != -EPIPE) /* the reason of a closed connection may still be there */
		return why_set(why, -error, "the daemon can't be spoken to: %s", strerror(-error));
	if (poll(&wait, 1, (int)timeout_ms) <= 0)
		return why_set(why, ETIMEDOUT,
			       "the daemon does not answer within %u ms: is pvcallsd stuck?",
			       timeout_ms);
	error = local_link_receive(link, &message, fds, &count);
	if (error)
		return why_set(why, ENETDOWN, "the daemon closed the connection: see its log");
	if (message.kind == LOCAL_WELCOME && count == LOCAL_LINK_WELCOME_FDS)
		return 0;
	local_link_close_fds(fds, count);
	if (message.kind == LOCAL_REFUSED)
		return local_link_refused(&message, why);
	return why_set(why, EPROTO,
		       "the daemon speaks another version of the local transport: use programs "
		       "of one release");
}

int local_link_write(struct local_link *link, const char *lines)
{
	return local_link_send(link, LOCAL_NODES, 0, lines, -1);
}

int local_link_read(const struct local_link *link, const char *key, char value[FRONT_VALUE_MAX])
{
	uint32_t i;

	for (i = 0; i < link->nodes; i++) {
		if (strcmp(link->node[i].key, key) != 0)
			continue;
		memcpy(value, link->node[i].value, FRONT_VALUE_MAX);
		return 0;
	}
	return -ENOENT;
}

int local_link_refresh(struct local_link *link, char *why)
{
	struct local_message message;
	uint32_t count;
	int error;

	for (;;) {
		error = local_link_receive(link, &message, NULL, &count);
		if (error == -EAGAIN)
			return 0;
		if (error)
			return why_set(why, -error,
				       "the daemon closed the connection: see its log");
		if (message.kind == LOCAL_REFUSED)
			return local_link_refused(&message, why);
		if (message.kind == LOCAL_NODES)
			local_link_keep_nodes(link, message.text);
	}
}
