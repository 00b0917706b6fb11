/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pvcalls-engine: serves one guest. Started by pvcallsd with its control socket as
 * ENGINE_SOCKET_FD. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/sanitize.h"
#include "engine/lifecycle/engine.h"
#include "engine/lifecycle/engine_run.h"
#include "engine/lifecycle/engine_start.h"
#include "ipc/engine_message.h"

static int is_supervisor_socket(int fd)
{
	int type = 0;
	socklen_t size = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

/* The supervisor stores why this engine ends. */
static void tell_assertion(void *owner, const char *text)
{
	(void)owner;
	(void)engine_message_send(ENGINE_SOCKET_FD, ENGINE_MESSAGE_ASSERTION, 0, 0, text, NULL, 0);
}

int main(void)
{
	struct engine *engine;
	int error;

	if (!is_supervisor_socket(ENGINE_SOCKET_FD)) {
		fprintf(stderr,
			"pvcalls-engine: descriptor %d is not pvcallsd's socket: this "
			"program is started by pvcallsd, not by hand\n",
			ENGINE_SOCKET_FD);
		return 2;
	}
	assert_tell(tell_assertion, NULL);
	if (sodium_init() < 0)
		return EXIT_FAILURE;
	engine = engine_create(ENGINE_SOCKET_FD);
	if (!engine)
		return EXIT_FAILURE;
	error = engine_start(engine);
	if (!error)
		error = engine_run(engine);
	engine_destroy(engine);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
