/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The library is told the addresses of its streams, at once or when it asks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_backend.h"
#include "front_test.h"

/* The own address of a stream: asked for, and told once. */
static void test_asks_local(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct sockaddr_in to = front_test_address(FAKE_ECHO);
	struct pvcalls_front_socket *socket;
	struct sockaddr_in local;
	struct tally tally = {0};

	(void)state;
	assert_int_equal(pvcalls_front_socket(front, 1, &socket), 0);
	assert_int_equal(pvcalls_front_ask_local(socket, tally_done, &tally), -EINVAL);
	assert_int_equal(pvcalls_front_connect_wait(socket, &to, SECONDS(5)), 0);
	assert_int_equal(pvcalls_front_names(socket, &local, NULL), 0);
	assert_int_equal(local.sin_port, 0);
	assert_int_equal(pvcalls_front_ask_local(socket, tally_done, &tally), 0);
	assert_int_equal(pvcalls_front_ask_local(socket, tally_done, &tally), -EBUSY);
	while (tally.finished < 1)
		assert_true(pvcalls_front_wait(front, SECONDS(5)) > 0);
	assert_int_equal(tally.good, 1);
	assert_int_equal(pvcalls_front_names(socket, &local, NULL), 0);
	assert_int_equal(ntohs(local.sin_port), FAKE_LOCAL_PORT);
	assert_int_equal(pvcalls_front_ask_local(socket, tally_done, &tally), -EALREADY);
	assert_int_equal(fake_backend_counts(fake).asked, 1);
	pvcalls_front_release(socket);
	front_test_settle(front);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

/* Who asked and has released the socket is not told any more; who has not hears of the end. */
static void test_asks_local_in_vain(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct sockaddr_in to = front_test_address(FAKE_ECHO);
	struct pvcalls_front_socket *socket[2];
	struct tally released = {0};
	struct tally ended = {0};
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		assert_int_equal(pvcalls_front_socket(front, 1, &socket[i]), 0);
		assert_int_equal(pvcalls_front_connect_wait(socket[i], &to, SECONDS(5)), 0);
	}
	assert_int_equal(pvcalls_front_ask_local(socket[0], tally_done, &released), 0);
	pvcalls_front_release(socket[0]);
	front_test_settle(front);
	assert_int_equal(released.finished, 0);
	fake_backend_die(fake);
	assert_int_equal(pvcalls_front_ask_local(socket[1], tally_done, &ended), 0);
	while (!pvcalls_front_error(front))
		pvcalls_front_wait(front, SECONDS(5));
	assert_int_equal(ended.finished, 1);
	assert_int_equal(ended.good, 0);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

/* A backend that does not know the stream any more can't answer: a stream's end is an answer. */
static void test_asks_local_of_an_ended_stream(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *socket = front_test_connect_to(front, 1, FAKE_RESET);
	struct tally tally = {0};

	(void)state;
	assert_int_equal(pvcalls_front_ask_local(socket, tally_done, &tally), 0);
	assert_int_equal(pvcalls_front_write(socket, "x", 1), 1);
	while (!tally.finished)
		assert_true(pvcalls_front_wait(front, SECONDS(5)) > 0);
	assert_int_equal(tally.good, 0);
	assert_int_equal(pvcalls_front_ask_local(socket, tally_done, &tally), -ENOTCONN);
	assert_int_equal(tally.finished, 1);
	pvcalls_front_release(socket);
	front_test_settle(front);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static void test_names_at_once(void **state)
{
	const struct fake_backend_options options = {.names_at_once = true};
	struct fake_backend *fake = fake_backend_start(directory, &options);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *socket = front_test_connect_to(front, 1, FAKE_ECHO);
	struct sockaddr_in local;

	(void)state;
	assert_int_equal(pvcalls_front_names(socket, &local, NULL), 0);
	assert_int_equal(ntohs(local.sin_port), FAKE_LOCAL_PORT);
	assert_int_equal(pvcalls_front_ask_local(socket, NULL, NULL), -EALREADY);
	pvcalls_front_release(socket);
	front_test_settle(front);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asks_local),
		cmocka_unit_test(test_asks_local_in_vain),
		cmocka_unit_test(test_asks_local_of_an_ended_stream),
		cmocka_unit_test(test_names_at_once),
	};

	return cmocka_run_group_tests_name("front_names", tests, front_test_make_directory,
					   front_test_remove_directory);
}
