/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RUNTIME_DIR/control.sock: lines of JSON, one object each, answered one by one.
 *
 * Anybody may connect who reaches it, so all is bounded: clients, the length of a line, the time
 * a client may be silent or leave an answer unread.
 */
#ifndef SUPERVISOR_CONTROL_CONTROL_SOCKET_H
#define SUPERVISOR_CONTROL_CONTROL_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/loop.h"

#define CONTROL_SOCKET_NAME "control.sock"
#define CONTROL_CLIENTS_MAX 32u
#define CONTROL_LINE_MAX    65536u
#define CONTROL_ANSWER_MAX  (16u << 20)
#define CONTROL_IDLE_NS     (30 * NS_PER_S)

struct control_socket;
struct control_client;

/* Who handles lines. */
struct control_calls {
	/* Whether this user may connect. */
	bool (*may_connect)(void *owner, uint32_t uid);
	/* A line, without its end. control_reply() must follow once, now or later. */
	void (*request)(void *owner, struct control_client *client, uint32_t uid, const char *line);
	void *owner;
};

/* Listens; mode is that of the socket's file. Returns 0 or -errno with *fault. */
int control_socket_open(struct control_socket **made, const char *runtime_dir, uint32_t mode,
			struct loop *loop, const struct control_calls *calls, struct fault *fault);
/* Closes all; whoever still owed an answer must not give it any more. */
void control_socket_close(struct control_socket *control);

/* Answers; takes over the reference to answer (NULL: an error for lack of memory). */
void control_reply(struct control_client *client, json_t *answer);
/* {"ok": true, "result": result}; takes over the reference. */
void control_reply_result(struct control_client *client, json_t *result);
/* {"ok": false, "status": status, "error": text}; status: the exit status for pvcallsctl. */
void control_reply_error(struct control_client *client, int status, const char *text);

#endif
