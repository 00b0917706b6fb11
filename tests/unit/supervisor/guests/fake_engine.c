/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_engine.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"
#include "ipc/engine_message.h"

static bool fake_engine_is(const char *guest, const char *kind)
{
	return strncmp(guest, kind, strlen(kind)) == 0;
}

static void fake_engine_say(enum engine_message_kind kind, uint32_t value, uint64_t number,
			    const char *text)
{
	engine_message_send(ENGINE_SOCKET_FD, kind, value, number, text, NULL, 0);
}

static void fake_engine_attach(const char *guest, const struct engine_message *message)
{
	if (fake_engine_is(guest, "crash"))
		raise(SIGKILL);
	if (fake_engine_is(guest, "fails") || message->body.attach.ring_ref != 8) {
		fake_engine_say(ENGINE_MESSAGE_FAILED, EINVAL, 0, "no such ring");
		return;
	}
	fake_engine_say(ENGINE_MESSAGE_ATTACHED, 0, 0, NULL);
	if (fake_engine_is(guest, "broken"))
		fake_engine_say(ENGINE_MESSAGE_BROKEN, 0, 0, "index out of range");
	if (fake_engine_is(guest, "assert") && !message->body.attach.take_over)
		assert_failed("ring->size > 0", "ring.c", 7, "ring_take");
	if (fake_engine_is(guest, "hang"))
		pause();
}

static void fake_engine_answer(const char *guest, const struct engine_message *message, bool *ready)
{
	switch (message->kind) {
	case ENGINE_MESSAGE_POLICY:
		fake_engine_say(*ready ? ENGINE_MESSAGE_POLICY_TAKEN : ENGINE_MESSAGE_READY, 0, 0,
				NULL);
		*ready = true;
		return;
	case ENGINE_MESSAGE_ATTACH:
		fake_engine_attach(guest, message);
		return;
	case ENGINE_MESSAGE_DETACH:
		if (!fake_engine_is(guest, "stuck"))
			fake_engine_say(ENGINE_MESSAGE_DETACHED, 0, 0, NULL);
		return;
	case ENGINE_MESSAGE_PING:
		fake_engine_say(ENGINE_MESSAGE_PONG, 0, message->number, NULL);
		return;
	case ENGINE_MESSAGE_STATUS:
		if (!fake_engine_is(guest, "mute")) {
			fake_engine_say(ENGINE_MESSAGE_REPORT, 1, message->number, "calls 1\n");
			fake_engine_say(ENGINE_MESSAGE_REPORT, 0, message->number, "denied 2\n");
		}
		return;
	case ENGINE_MESSAGE_KILL:
		fake_engine_say(ENGINE_MESSAGE_KILLED, message->number == 1 ? 0 : ENOENT,
				message->number, NULL);
		return;
	default:
		return;
	}
}

bool fake_engine_is_asked(int argc, char **argv)
{
	return argc == 2 && strcmp(argv[0], "pvcalls-engine") == 0;
}

static void fake_engine_tell_assertion(void *owner, const char *text)
{
	(void)owner;
	fake_engine_say(ENGINE_MESSAGE_ASSERTION, 0, 0, text);
}

int fake_engine_main(const char *guest)
{
	struct pollfd ready_fd = {.fd = ENGINE_SOCKET_FD, .events = POLLIN};
	static struct engine_message message;
	bool ready = false;

	assert_tell(fake_engine_tell_assertion, NULL);
	alarm(60); /* whatever becomes of the test */
	for (;;) {
		int fds[FDS_PER_MESSAGE];
		size_t count = 0;
		ssize_t size;

		if (poll(&ready_fd, 1, -1) < 0)
			return 1;
		size = fd_receive(ENGINE_SOCKET_FD, &message, sizeof(message), fds, &count);
		if (size == -EAGAIN)
			continue;
		for (size_t i = 0; size > 0 && i < count; i++)
			close(fds[i]);
		if (size <= 0)
			return 0;
		fake_engine_answer(guest, &message, &ready);
	}
}
