/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "engine/control.h"
#include "fakes.h"

static bool is(const char *guest, const char *kind)
{
	return strncmp(guest, kind, strlen(kind)) == 0;
}

static void say(enum control_kind kind, uint32_t value, uint64_t number, const char *text)
{
	control_send(CONTROL_FD, kind, value, number, text, NULL, 0);
}

static void attach(const char *guest, const struct control_message *message)
{
	if (is(guest, "crash"))
		raise(SIGKILL);
	if (is(guest, "fails") || message->body.attach.ring_ref != 8) {
		say(CONTROL_FAILED, EINVAL, 0, "no such ring");
		return;
	}
	say(CONTROL_ATTACHED, 0, 0, NULL);
	if (is(guest, "broken"))
		say(CONTROL_BROKEN, 0, 0, "index out of range");
	if (is(guest, "hang"))
		pause();
}

static void answer(const char *guest, const struct control_message *message, bool *ready)
{
	switch (message->kind) {
	case CONTROL_POLICY:
		say(*ready ? CONTROL_POLICY_TAKEN : CONTROL_READY, 0, 0, NULL);
		*ready = true;
		return;
	case CONTROL_ATTACH:
		attach(guest, message);
		return;
	case CONTROL_DETACH:
		if (!is(guest, "stuck"))
			say(CONTROL_DETACHED, 0, 0, NULL);
		return;
	case CONTROL_PING:
		say(CONTROL_PONG, 0, message->number, NULL);
		return;
	case CONTROL_STATUS:
		if (!is(guest, "mute")) {
			say(CONTROL_REPORT, 1, message->number, "calls 1\n");
			say(CONTROL_REPORT, 0, message->number, "denied 2\n");
		}
		return;
	case CONTROL_KILL:
		say(CONTROL_KILLED, message->number == 1 ? 0 : ENOENT, message->number, NULL);
		return;
	default:
		return;
	}
}

int fake_engine_main(const char *guest)
{
	struct pollfd ready_fd = {.fd = CONTROL_FD, .events = POLLIN};
	static struct control_message message;
	bool ready = false;

	alarm(60); /* whatever becomes of the test */
	for (;;) {
		int fds[FDS_PER_MESSAGE];
		size_t count = 0;
		ssize_t size;

		if (poll(&ready_fd, 1, -1) < 0)
			return 1;
		size = fd_receive(CONTROL_FD, &message, sizeof(message), fds, &count);
		if (size == -EAGAIN)
			continue;
		for (size_t i = 0; size > 0 && i < count; i++)
			close(fds[i]);
		if (size <= 0)
			return 0;
		answer(guest, &message, &ready);
	}
}
