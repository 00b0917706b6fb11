/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's end of the writer, with a writer that says what it likes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "ipc/auditd_message.h"
#include "trail_harness.h"

/* Reads what a writer is told; returns how many events there were. */
static unsigned events_told(int writer)
{
	struct auditd_message message;
	int fds[FDS_PER_MESSAGE];
	size_t count = 0;
	unsigned events = 0;
	while (fd_receive(writer, &message, sizeof(message), fds, &count) > 0)
		events += message.kind == AUDITD_MESSAGE_EVENT;
	return events;
}

/* A writer can't have stored what it was not told of, whatever it says. */
static void test_only_what_was_told_is_confirmed(void **state)
{
	(void)state;
	struct auditd_message message = {.kind = AUDITD_MESSAGE_STORED, .number = UINT64_MAX};
	struct daemon daemon;
	int pair[2];
	daemon_init(&daemon);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(audit_link_connect(daemon.link, pair[0]), 0);
	for (int i = 0; i < 40; i++)
		audit_link_event(daemon.link, AUDIT_EVENT_RELOAD, NULL, 0, "reload");
	unsigned told = events_told(pair[1]);
	assert_in_range(told, 1, 39);
	for (unsigned pending = 40 - told; told > 0; pending -= told) {
		assert_int_equal(fd_send(pair[1], &message, sizeof(message), NULL, 0), 0);
		assert_int_equal(audit_link_dispatch(daemon.link), 0);
		assert_int_equal(audit_link_pending(daemon.link), pending);
		told = events_told(pair[1]);
	}
	assert_int_equal(audit_link_pending(daemon.link), 0);
	audit_link_destroy(daemon.link);
	close(daemon.eventfd);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_what_was_told_is_confirmed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
