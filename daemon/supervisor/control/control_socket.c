/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/control/control_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "supervisor/settings/exit_status.h"

#define CONTROL_BACKLOG 16

struct control_client {
	struct control_client *next;
	struct control_socket *control;
	struct loop_source source;
	struct loop_timer idle;
	int fd; /* -1: it has gone, but an answer is still to come */
	uint32_t uid;
	bool busy;    /* an answer is to come; nothing is read meanwhile */
	bool closing; /* after this answer */
	char *answer; /* being sent */
	size_t answer_size;
	size_t sent;
	size_t used;
	char line[CONTROL_LINE_MAX];
};

struct control_socket {
	struct loop *loop;
	struct control_calls calls;
	struct loop_source source;
	int fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct control_client *clients;
	unsigned int count;
};

static void control_client_serve_line(struct control_client *client);

static void control_client_free(struct control_client *client)
{
	struct control_socket *control = client->control;
	struct control_client **place = &control->clients;

	while (*place != client)
		place = &(*place)->next;
	*place = client->next;
	control->count--;
	loop_remove(control->loop, &client->source);
	loop_disarm(control->loop, &client->idle);
	fd_close(&client->fd);
	free(client->answer);
	free(client);
}

/* The connection is over; the rest goes when no answer is owed any more. */
static void control_client_hang_up(struct control_client *client)
{
	if (!client->busy) {
		control_client_free(client);
		return;
	}
	loop_remove(client->control->loop, &client->source);
	loop_disarm(client->control->loop, &client->idle);
	fd_close(&client->fd);
}

static void control_client_idle_too_long(struct loop_timer *timer)
{
	control_client_hang_up(timer->owner);
}

static void control_client_await(struct control_client *client, uint32_t events)
{
	struct loop *loop = client->control->loop;

	loop_modify(loop, &client->source, events);
	loop_arm(loop, &client->idle, clock_monotonic_ns() + CONTROL_IDLE_NS,
		 control_client_idle_too_long, client);
}

static void control_client_serve_next(struct loop_timer *timer)
{
	control_client_serve_line(timer->owner);
}

/* Sends what it can; may free the client. */
static void control_client_send(struct control_client *client)
{
	ssize_t wrote = 0;

	while (client->sent < client->answer_size && wrote >= 0) {
		wrote = send(client->fd, client->answer + client->sent,
			     client->answer_size - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		client->sent += wrote > 0 ? (size_t)wrote : 0;
	}
	if (client->sent < client->answer_size && errno == EAGAIN) {
		control_client_await(client, EPOLLOUT);
		return;
	}
	if (client->sent < client->answer_size || client->closing) {
		control_client_free(client);
		return;
	}
	free(client->answer);
	client->answer = NULL;
	client->answer_size = 0;
	client->sent = 0;
	control_client_await(client, EPOLLIN);
	/* What came behind the request just answered has its turn, but not within this one's. */
	if (memchr(client->line, '\n', client->used))
		loop_arm(client->control->loop, &client->idle, 0, control_client_serve_next,
			 client);
}

/* Turns answer into the line that is sent. Returns false if there is no memory, or it is too long.
 */
static bool control_client_put_answer(struct control_client *client, const json_t *answer)
{
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	size_t size = text ? strlen(text) : 0;
	char *line = size && size < CONTROL_ANSWER_MAX ? realloc(text, size + 2) : NULL;

	if (!line) {
		free(text);
		return false;
	}
	line[size] = '\n';
	line[size + 1] = '\0';
	client->answer = line;
	client->answer_size = size + 1;
	return true;
}

void control_reply(struct control_client *client, json_t *answer)
{
	bool put;

	ASSERT(client->busy && !client->answer);
	client->busy = false;
	if (client->fd < 0) {
		json_decref(answer);
		control_client_free(client);
		return;
	}
	put = control_client_put_answer(client, answer);
	json_decref(answer);
	if (!put)
		control_client_free(client);
	else
		control_client_send(client);
}

void control_reply_result(struct control_client *client, json_t *result)
{
	control_reply(client, json_pack("{s:b, s:o}", "ok", 1, "result", result));
}

void control_reply_error(struct control_client *client, int status, const char *text)
{
	control_reply(client,
		      json_pack("{s:b, s:i, s:s}", "ok", 0, "status", status, "error", text));
}

/* Handles the next line, if a whole one has come. */
static void control_client_serve_line(struct control_client *client)
{
	struct control_socket *control = client->control;
	char *end = memchr(client->line, '\n', client->used);
	size_t length;
	char *line;

	if (!end && client->used == sizeof(client->line)) {
		client->closing = true;
		client->busy = true;
		control_reply_error(client, STATUS_USAGE, "the request is longer than 64 KiB");
		return;
	}
	if (!end)
		return;
	length = (size_t)(end - client->line);
	line = strndup(client->line, length);
	client->used -= length + 1;
	memmove(client->line, end + 1, client->used);
	if (!line) {
		control_client_free(client);
		return;
	}
	client->busy = true;
	loop_modify(control->loop, &client->source, 0);
	loop_disarm(control->loop, &client->idle);
	control->calls.request(control->calls.owner, client, client->uid, line);
	free(line);
}

static void control_client_take_input(struct control_client *client)
{
	ssize_t got = recv(client->fd, client->line + client->used,
			   sizeof(client->line) - client->used, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		control_client_hang_up(client);
		return;
	}
	client->used += (size_t)got;
	control_client_serve_line(client);
}

static void control_client_ready(struct loop_source *source, uint32_t events)
{
	struct control_client *client = source->owner;

	if (client->busy || events & EPOLLERR) { /* only its end can have come */
		control_client_hang_up(client);
		return;
	}
	if (client->answer && !(events & EPOLLOUT)) {
		control_client_hang_up(client);
		return;
	}
	if (!client->answer) {
		control_client_take_input(client);
		return;
	}
	control_client_send(client);
}

static void control_socket_add_client(struct control_socket *control, int fd, uint32_t uid)
{
	struct control_client *client = calloc(1, sizeof(*client));

	if (!client) {
		close(fd);
		return;
	}
	client->control = control;
	client->fd = fd;
	client->uid = uid;
	client->next = control->clients;
	control->clients = client;
	control->count++;
	if (loop_add(control->loop, &client->source, fd, EPOLLIN, control_client_ready, client)) {
		control_client_free(client);
		return;
	}
	control_client_await(client, EPOLLIN);
}

static void control_socket_refuse_client(int fd, int status, const char *text)
{
	char line[160];
	int size = snprintf(line, sizeof(line), "{\"ok\":false,\"status\":%d,\"error\":\"%s\"}\n",
			    status, text);

	if (send(fd, line, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		errno = 0; /* then it does not hear why */
	close(fd);
}

static void control_socket_accept(struct loop_source *source, uint32_t events)
{
	struct control_socket *control = source->owner;
	int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;
	socklen_t size = sizeof(peer);

	(void)events;
	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		close(fd);
	else if (!control->calls.may_connect(control->calls.owner, peer.uid))
		control_socket_refuse_client(
			fd, STATUS_PERMISSION,
			"not permitted: be root or the daemon's user, or be listed under "
			"control: users: in pvcallsd.yaml");
	else if (control->count >= CONTROL_CLIENTS_MAX)
		control_socket_refuse_client(fd, STATUS_ENVIRONMENT, "too many clients, try again");
	else
		control_socket_add_client(control, fd, peer.uid);
}

static int control_socket_listen(const char *path, uint32_t mode)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int bound;

	if (fd < 0)
		return -errno;
	memcpy(address.sun_path, path, strlen(path) + 1);
	/* The directory is locked: what lies there was left by a daemon that was killed. */
	unlink(path);
	mask = umask(0777 & ~mode);
	bound = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (bound < 0 || listen(fd, CONTROL_BACKLOG) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

int control_socket_open(struct control_socket **made, const char *runtime_dir, uint32_t mode,
			struct loop *loop, const struct control_calls *calls, struct fault *fault)
{
	struct control_socket *control = calloc(1, sizeof(*control));
	int length;
	int error;

	if (!control)
		return fault_set(fault, ENOMEM, "no memory for the control socket");
	control->loop = loop;
	control->calls = *calls;
	length = snprintf(control->path, sizeof(control->path), "%s/" CONTROL_SOCKET_NAME,
			  runtime_dir);
	control->fd = length < (int)sizeof(control->path)
			      ? control_socket_listen(control->path, mode)
			      : -ENAMETOOLONG;
	error = control->fd < 0 ? control->fd
				: loop_add(loop, &control->source, control->fd, EPOLLIN,
					   control_socket_accept, control);
	if (!error) {
		*made = control;
		return 0;
	}
	fault_set(fault, -error, "control socket %s/" CONTROL_SOCKET_NAME ": %s", runtime_dir,
		  strerror(-error));
	fd_close(&control->fd);
	free(control);
	return error;
}

void control_socket_close(struct control_socket *control)
{
	struct control_client *next;

	for (struct control_client *client = control->clients; client; client = next) {
		next = client->next;
		control_client_free(client);
	}
	loop_remove(control->loop, &control->source);
	fd_close(&control->fd);
	unlink(control->path);
	free(control);
}
