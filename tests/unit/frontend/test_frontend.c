/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The library against the fake backend: handshake, calls, streams, hostile backends. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <pvcalls/frontend.h>

#include "fake_backend.h"
#include "front_test.h"

static void test_opens_and_closes(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();

	(void)state;
	assert_int_equal(pvcalls_front_max_order(front), 9);
	pvcalls_front_close(front, 1000);
	/* The last state is on its way to the fake's thread; the test times out if it never comes.
	 */
	while (fake_backend_counts(fake).state != 6)
		sched_yield();
	fake_backend_stop(fake);
}

static void front_test_open_fails(const struct fake_backend_options *fake_options, int error,
				  const char *words)
{
	struct fake_backend *fake =
		fake_options ? fake_backend_start(directory, fake_options) : NULL;
	struct pvcalls_front_options options = front_test_options_here();
	struct pvcalls_front *front;
	char why[PVCALLS_FRONT_WHY_MAX] = "";

	options.timeout_ms = 200;
	assert_int_equal(pvcalls_front_open(&front, &options, why), error);
	if (!strstr(why, words))
		fail_msg("\"%s\" does not contain \"%s\"", why, words);
	if (fake)
		fake_backend_stop(fake);
}

static void test_open_failures(void **state)
{
	(void)state;
	front_test_open_fails(NULL, -ENOENT, "--runtime-dir");
	front_test_open_fails(&(struct fake_backend_options){.refuse = EPERM}, -EPERM,
			      "not in a test");
	front_test_open_fails(&(struct fake_backend_options){.versions = "2"}, -EPROTO,
			      "version \"2\"");
	front_test_open_fails(&(struct fake_backend_options){.never_connected = true}, -ETIMEDOUT,
			      "state 4");
}

static void test_connect_failures(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	static const int errors[] = {ECONNREFUSED, EACCES, ETIMEDOUT, 524};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct sockaddr_in to = front_test_address((uint16_t)(FAKE_ERRNO + errors[i]));
		struct pvcalls_front_socket *socket;

		assert_int_equal(pvcalls_front_socket(front, 4, &socket), 0);
		assert_int_equal(pvcalls_front_connect_wait(socket, &to, SECONDS(5)), -errors[i]);
		assert_int_equal(pvcalls_front_connect(socket, &to, NULL, NULL), -EINVAL);
		assert_int_equal(pvcalls_front_read(socket, &to, 1), -ENOTCONN);
		pvcalls_front_release(socket);
	}
	front_test_settle(front);
	assert_int_equal(fake_backend_counts(fake).releases, 4);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

/* Sends and receives total bytes at once, in odd portions, and compares them. */
static void front_test_echo(struct pvcalls_front_socket *socket, size_t total, size_t portion)
{
	size_t sent = 0;
	size_t received = 0;
	uint8_t buffer[8192];

	while (received < total) {
		ssize_t bytes;
		size_t i;

		for (i = 0; i < portion && sent + i < total; i++)
			buffer[i] = (uint8_t)((sent + i) * 2654435761u >> 13);
		bytes = i ? pvcalls_front_write(socket, buffer, i) : -EAGAIN;
		assert_true(bytes > 0 || bytes == -EAGAIN);
		sent += bytes > 0 ? (size_t)bytes : 0;
		bytes = pvcalls_front_read(socket, buffer, portion);
		assert_true(bytes > 0 || bytes == -EAGAIN);
		for (i = 0; bytes > 0 && i < (size_t)bytes; i++)
			assert_int_equal(buffer[i], (uint8_t)((received + i) * 2654435761u >> 13));
		received += bytes > 0 ? (size_t)bytes : 0;
		if (bytes < 0)
			assert_true(pvcalls_front_wait_socket(
					    socket,
					    PVCALLS_FRONT_READABLE |
						    (sent < total ? PVCALLS_FRONT_WRITABLE : 0),
					    SECONDS(5)) > 0);
	}
}

static void test_echo_at_every_order(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	uint32_t order;

	(void)state;
	for (order = 1; order <= 9; order++) {
		struct pvcalls_front_socket *socket =
			front_test_connect_to(front, order, FAKE_ECHO);

		assert_int_equal(pvcalls_front_ring_bytes(socket), 2048u << order);
		front_test_echo(socket, 3 * pvcalls_front_ring_bytes(socket) + 77, 1500 + order);
		pvcalls_front_release(socket);
	}
	front_test_settle(front);
	assert_int_equal(fake_backend_counts(fake).open, 0);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static void test_wrap_at_every_offset(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *socket = front_test_connect_to(front, 1, FAKE_ECHO);
	size_t turn;

	(void)state;
	for (turn = 0; turn < 4096 / 5 + 2; turn++) /* 4096 - 5 bytes: each turn wraps elsewhere */
		front_test_echo(socket, 4091, 4091);
	pvcalls_front_release(socket);
	front_test_settle(front);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static void test_end_of_stream(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *socket = front_test_connect_to(front, 4, FAKE_CHARGEN);
	size_t total = 0;

	(void)state;
	for (;;) {
		struct iovec span[2];
		ssize_t bytes = pvcalls_front_readable(socket, span);
		size_t i;

		if (bytes == 0)
			break;
		if (bytes == -EAGAIN) {
			assert_true(pvcalls_front_wait_socket(socket, PVCALLS_FRONT_READABLE,
							      SECONDS(5)) > 0);
			continue;
		}
		assert_true(bytes > 0);
		assert_int_equal(span[0].iov_len + span[1].iov_len, bytes);
		for (i = 0; i < span[0].iov_len; i++)
			assert_int_equal(((uint8_t *)span[0].iov_base)[i],
					 (uint8_t)((total + i) * 2654435761u >> 24));
		pvcalls_front_consume(socket, span[0].iov_len);
		total += span[0].iov_len;
	}
	assert_int_equal(total, 1u << 20);
	pvcalls_front_release(socket);
	front_test_settle(front);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static void test_half_close(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *socket = front_test_connect_to(front, 1, FAKE_ANSWER);
	char answer[8];

	(void)state;
	assert_int_equal(pvcalls_front_write(socket, "one", 3), 3);
	assert_int_equal(pvcalls_front_wait_socket(socket, PVCALLS_FRONT_READABLE, 50), 0);
	assert_int_equal(pvcalls_front_shutdown(socket), 0);
	assert_int_equal(pvcalls_front_shutdown(socket), 0);
	assert_int_equal(pvcalls_front_write(socket, "two", 3), -EPIPE);
	assert_int_equal(pvcalls_front_wait_socket(socket, PVCALLS_FRONT_READABLE, SECONDS(5)),
			 PVCALLS_FRONT_READABLE);
	assert_int_equal(pvcalls_front_read(socket, answer, sizeof(answer)), 2);
	assert_memory_equal(answer, "3\n", 2);
	assert_int_equal(pvcalls_front_read(socket, answer, sizeof(answer)), 0);
	pvcalls_front_release(socket);
	front_test_settle(front);
	assert_int_equal(fake_backend_counts(fake).ends, 1);
	/* The ring's next connection begins as if nothing had been. */
	socket = front_test_connect_to(front, 1, FAKE_ECHO);
	front_test_echo(socket, 1000, 1000);
	assert_int_equal(pvcalls_front_read(socket, answer, sizeof(answer)), -EAGAIN);
	pvcalls_front_release(socket);
	assert_int_equal(pvcalls_front_socket(front, 1, &socket), 0);
	assert_int_equal(pvcalls_front_shutdown(socket), -ENOTCONN);
	pvcalls_front_release(socket);
	front_test_settle(front);
	assert_int_equal(fake_backend_counts(fake).ends, 1);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static void test_backend_without_half_close(void **state)
{
	struct fake_backend *fake = fake_backend_start(
		directory, &(struct fake_backend_options){.no_half_close = true});
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *socket = front_test_connect_to(front, 1, FAKE_ECHO);

	(void)state;
	assert_int_equal(pvcalls_front_shutdown(socket), -EOPNOTSUPP);
	front_test_echo(socket, 1000, 1000);
	pvcalls_front_release(socket);
	front_test_settle(front);
	assert_int_equal(fake_backend_counts(fake).ends, 0);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static void test_reset(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *socket = front_test_connect_to(front, 4, FAKE_RESET);
	char byte = 1;

	(void)state;
	assert_int_equal(pvcalls_front_write(socket, &byte, 1), 1);
	assert_true(pvcalls_front_wait_socket(socket, PVCALLS_FRONT_READABLE, SECONDS(5)) > 0);
	assert_int_equal(pvcalls_front_read(socket, &byte, 1), -ECONNRESET);
	assert_int_equal(pvcalls_front_write(socket, &byte, 1), -ECONNRESET);
	pvcalls_front_release(socket);
	front_test_settle(front);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static void test_bad_indexes_end_the_socket(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *in = front_test_connect_to(front, 4, FAKE_BAD_IN);
	struct pvcalls_front_socket *out = front_test_connect_to(front, 4, FAKE_BAD_OUT);
	struct pvcalls_front_socket *good = front_test_connect_to(front, 4, FAKE_ECHO);
	char byte = 1;

	(void)state;
	assert_true(pvcalls_front_wait_socket(in, PVCALLS_FRONT_READABLE, SECONDS(5)) > 0);
	assert_int_equal(pvcalls_front_read(in, &byte, 1), -EPROTO);
	assert_int_equal(pvcalls_front_write(in, &byte, 1), -EPROTO);
	while (pvcalls_front_writable(out, NULL) > 0)
		assert_true(pvcalls_front_wait(front, SECONDS(5)) >= 0);
	assert_int_equal(pvcalls_front_write(out, &byte, 1), -EPROTO);
	front_test_echo(good, 10000, 1000);
	pvcalls_front_release(in);
	pvcalls_front_release(out);
	pvcalls_front_release(good);
	front_test_settle(front);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static void test_bad_response_ends_the_frontend(void **state)
{
	struct fake_backend *fake =
		fake_backend_start(directory, &(struct fake_backend_options){.bad_response = true});
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *socket;
	struct sockaddr_in to = front_test_address(FAKE_ECHO);

	(void)state;
	assert_int_equal(pvcalls_front_socket(front, 4, &socket), 0);
	assert_int_equal(pvcalls_front_connect_wait(socket, &to, SECONDS(5)), -EPROTO);
	assert_int_equal(pvcalls_front_error(front), -EPROTO);
	pvcalls_front_release(socket);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

/* More calls than the ring has slots wait for their turn. */
static void test_many_connects(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *sockets[200];
	struct sockaddr_in to = front_test_address(FAKE_ECHO);
	struct tally tally = {0};
	int round;
	int i;

	(void)state;
	for (round = 0; round < 5; round++) {
		tally = (struct tally){0};
		pvcalls_front_cork(front);
		for (i = 0; i < 200; i++) {
			assert_int_equal(pvcalls_front_socket(front, 1, &sockets[i]), 0);
			assert_int_equal(pvcalls_front_connect(sockets[i], &to, tally_done, &tally),
					 0);
		}
		pvcalls_front_uncork(front);
		while (tally.finished < 200)
			assert_true(pvcalls_front_wait(front, SECONDS(5)) > 0);
		assert_int_equal(tally.good, 200);
		for (i = 0; i < 200; i++)
			pvcalls_front_release(sockets[i]);
		front_test_settle(front);
	}
	assert_int_equal(fake_backend_counts(fake).connects, 1000);
	assert_int_equal(fake_backend_counts(fake).releases, 1000);
	assert_int_equal(fake_backend_counts(fake).open, 0);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static void test_release_while_connecting(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *socket;
	struct sockaddr_in to = front_test_address(FAKE_HANG);
	struct tally tally = {0};

	(void)state;
	assert_int_equal(pvcalls_front_socket(front, 4, &socket), 0);
	assert_int_equal(pvcalls_front_connect_wait(socket, &to, 50), -ETIMEDOUT);
	pvcalls_front_release(socket);
	assert_int_equal(pvcalls_front_socket(front, 4, &socket), 0);
	assert_int_equal(pvcalls_front_connect(socket, &to, tally_done, &tally), 0);
	pvcalls_front_release(socket);
	front_test_settle(front);
	assert_int_equal(tally.finished, 0);
	front_test_echo(front_test_connect_to(front, 4, FAKE_ECHO), 5000, 500);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static struct pvcalls_front_socket *front_test_listen_on(struct pvcalls_front *front, uint16_t port)
{
	struct pvcalls_front_socket *socket;
	struct sockaddr_in at = front_test_address(port);

	assert_int_equal(pvcalls_front_socket(front, 1, &socket), 0);
	assert_int_equal(pvcalls_front_bind_wait(socket, &at, SECONDS(5)), 0);
	assert_int_equal(pvcalls_front_listen_wait(socket, 16, SECONDS(5)), 0);
	return socket;
}

static void test_accepts(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *listener = front_test_listen_on(front, 0);
	struct pvcalls_front_socket *accepted;
	struct sockaddr_in local;
	struct sockaddr_in peer;
	struct tally tally = {0};
	int i;

	(void)state;
	assert_int_equal(pvcalls_front_names(listener, &local, NULL), 0);
	assert_int_equal(ntohs(local.sin_port), 40000);
	for (i = 0; i < 10; i++)
		assert_int_equal(pvcalls_front_accept(listener, 2, tally_done, &tally), 0);
	assert_int_equal(pvcalls_front_poll(listener, tally_done, &tally), 0);
	for (i = 0; i < 11; i++)
		fake_backend_offer(fake, 40000, FAKE_ECHO);
	while (tally.finished < 11)
		assert_true(pvcalls_front_wait(front, SECONDS(5)) > 0);
	assert_int_equal(pvcalls_front_accept_wait(listener, 3, SECONDS(5), &accepted), 0);
	assert_int_equal(pvcalls_front_names(accepted, &local, &peer), 0);
	assert_int_equal(ntohs(peer.sin_port), FAKE_ECHO);
	front_test_echo(accepted, 20000, 1000);
	assert_int_equal(pvcalls_front_accept_wait(listener, 3, 50, &accepted), -ETIMEDOUT);
	pvcalls_front_release(listener);
	pvcalls_front_release(accepted);
	front_test_settle(front);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

/* Many listeners' ACCEPTs don't keep a connect from getting through. */
static void test_accepts_leave_slots(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *listener = front_test_listen_on(front, 100);
	struct tally tally = {0};
	int i;

	(void)state;
	for (i = 0; i < 60; i++)
		assert_int_equal(pvcalls_front_accept(listener, 1, tally_done, &tally), 0);
	front_test_echo(front_test_connect_to(front, 4, FAKE_ECHO), 5000, 500);
	for (i = 0; i < 60; i++)
		fake_backend_offer(fake, 100, FAKE_ECHO);
	while (tally.good < 60)
		assert_true(pvcalls_front_wait(front, SECONDS(5)) > 0);
	for (i = 0; i < 60; i++)
		assert_int_equal(pvcalls_front_accept(listener, 1, tally_done, &tally), 0);
	pvcalls_front_release(listener);
	front_test_settle(front);
	assert_int_equal(tally.finished, 60);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static void test_bind_is_refused(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *socket;
	struct sockaddr_in at = front_test_address(81);

	(void)state;
	assert_int_equal(pvcalls_front_socket(front, 1, &socket), 0);
	assert_int_equal(pvcalls_front_bind_wait(socket, &at, SECONDS(5)), -EACCES);
	pvcalls_front_release(socket);
	front_test_settle(front);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static void front_test_count_ready(struct pvcalls_front_socket *socket, void *owner)
{
	(void)socket;
	++*(int *)owner;
}

static void test_daemon_dies(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *stream = front_test_connect_to(front, 4, FAKE_MUTE);
	struct pvcalls_front_socket *hanging;
	struct sockaddr_in to = front_test_address(FAKE_HANG);
	struct tally tally = {0};
	int ready = 0;
	char byte = 0;

	(void)state;
	pvcalls_front_watch(stream, front_test_count_ready, &ready);
	assert_int_equal(pvcalls_front_socket(front, 4, &hanging), 0);
	assert_int_equal(pvcalls_front_connect(hanging, &to, tally_done, &tally), 0);
	fake_backend_die(fake);
	while (!tally.finished)
		pvcalls_front_wait(front, SECONDS(5));
	assert_int_equal(tally.good, 0);
	assert_int_equal(ready, 1);
	assert_int_equal(pvcalls_front_error(front), -ENETDOWN);
	assert_int_equal(pvcalls_front_read(stream, &byte, 1), -ECONNRESET);
	assert_int_equal(pvcalls_front_write(stream, &byte, 1), -ECONNRESET);
	assert_int_equal(pvcalls_front_wait_socket(stream, PVCALLS_FRONT_READABLE, -1),
			 PVCALLS_FRONT_READABLE);
	assert_int_equal(pvcalls_front_socket(front, 4, &hanging), -ENETDOWN);
	pvcalls_front_release(stream);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opens_and_closes),
		cmocka_unit_test(test_open_failures),
		cmocka_unit_test(test_connect_failures),
		cmocka_unit_test(test_echo_at_every_order),
		cmocka_unit_test(test_wrap_at_every_offset),
		cmocka_unit_test(test_end_of_stream),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_backend_without_half_close),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_bad_indexes_end_the_socket),
		cmocka_unit_test(test_bad_response_ends_the_frontend),
		cmocka_unit_test(test_many_connects),
		cmocka_unit_test(test_release_while_connecting),
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_accepts_leave_slots),
		cmocka_unit_test(test_bind_is_refused),
		cmocka_unit_test(test_daemon_dies),
	};

	return cmocka_run_group_tests_name("frontend", tests, front_test_make_directory,
					   front_test_remove_directory);
}
