/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that wait, and those that go on beside them. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <pvcalls/frontend.h>

#include "fake_backend.h"
#include "front_test.h"

#define LISTENERS 14 /* first ports of which are 100 */
#define DARK      100
#define SHARE     20 /* slots for ACCEPTs */
#define CROWD     26 /* listeners, more than that */

static struct pvcalls_front_socket *front_test_listen_on(struct pvcalls_front *front, uint16_t port)
{
	struct pvcalls_front_socket *socket;
	struct sockaddr_in at = front_test_address(port);

	assert_int_equal(pvcalls_front_socket(front, 1, &socket), 0);
	assert_int_equal(pvcalls_front_bind_wait(socket, &at, SECONDS(5)), 0);
	assert_int_equal(pvcalls_front_listen_wait(socket, 16, SECONDS(5)), 0);
	return socket;
}

static void front_test_await(struct pvcalls_front *front, const struct tally *tally, unsigned good)
{
	while (tally->good < good)
		assert_true(pvcalls_front_wait(front, SECONDS(5)) > 0);
}

/* However many ACCEPTs those have who came first, who comes last gets one, too. */
static void test_each_listener_gets_an_accept(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *listeners[LISTENERS];
	struct tally tally = {0};
	uint16_t i;
	int ahead;

	(void)state;
	for (i = 0; i < LISTENERS; i++) {
		listeners[i] = front_test_listen_on(front, 100 + i);
		for (ahead = 0; ahead < 6; ahead++)
			assert_int_equal(pvcalls_front_accept(listeners[i], 1, tally_done, &tally),
					 0);
	}
	for (i = LISTENERS; i-- > 0;) {
		fake_backend_offer(fake, 100 + i, FAKE_ECHO);
		front_test_await(front, &tally, LISTENERS - i);
	}
	for (i = 0; i < LISTENERS; i++)
		pvcalls_front_release(listeners[i]);
	front_test_settle(front);
	assert_int_equal(tally.finished, LISTENERS);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

/* A listener that asks again as soon as it has got a connection. */
struct asker {
	struct pvcalls_front_socket *listener;
	const struct asker *first; /* of all */
	unsigned peers;
	unsigned first_had; /* peers when this one got its first */
	bool closed;
};

static void asker_done(struct pvcalls_front_socket *socket, int result, void *context)
{
	struct asker *asker = context;

	(void)socket;
	if (asker->closed)
		return;
	assert_int_equal(result, 0);
	if (asker->peers++ == 0)
		asker->first_had = asker->first->peers;
	assert_int_equal(pvcalls_front_accept(asker->listener, 1, asker_done, asker), 0);
}

/* More listeners than slots: however many come to the first ones, the last ones get theirs. */
static void test_listeners_take_turns(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct asker askers[CROWD] = {0};
	uint16_t i;

	(void)state;
	for (i = 0; i < CROWD; i++) {
		askers[i].listener = front_test_listen_on(front, 100 + i);
		askers[i].first = askers;
		assert_int_equal(
			pvcalls_front_accept(askers[i].listener, 1, asker_done, &askers[i]), 0);
	}
	for (i = 0; i < CROWD; i++)
		fake_backend_offer(fake, 100, FAKE_ECHO);
	for (i = CROWD; i-- > SHARE;)
		fake_backend_offer(fake, 100 + i, FAKE_ECHO);
	for (i = SHARE; i < CROWD; i++) {
		while (!askers[i].peers)
			assert_true(pvcalls_front_wait(front, SECONDS(5)) > 0);
		/* None of the first one's later peers came before. */
		assert_int_equal(askers[i].first_had, 1);
	}
	for (i = 0; i < CROWD; i++) {
		askers[i].closed = true;
		pvcalls_front_release(askers[i].listener);
	}
	front_test_settle(front);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

/* Who connects to where nobody answers can listen, accept and close meanwhile. */
static void test_waiting_connects_leave_slots(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct sockaddr_in to = front_test_address(FAKE_HANG);
	struct pvcalls_front_socket *dark[DARK];
	struct pvcalls_front_socket *listener;
	struct tally tally = {0};
	uint16_t i;

	(void)state;
	for (i = 0; i < DARK; i++) {
		assert_int_equal(pvcalls_front_socket(front, 1, &dark[i]), 0);
		assert_int_equal(pvcalls_front_connect(dark[i], &to, tally_done, &tally), 0);
	}
	for (i = 0; i < 4; i++) {
		listener = front_test_listen_on(front, 100 + i);
		assert_int_equal(pvcalls_front_accept(listener, 1, tally_done, &tally), 0);
	}
	for (i = 0; i < 4; i++) {
		fake_backend_offer(fake, 103 - i, FAKE_ECHO);
		front_test_await(front, &tally, i + 1);
	}
	for (i = 0; i < DARK; i++)
		pvcalls_front_release(dark[i]);
	front_test_settle(front);
	assert_int_equal(tally.finished, 4);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

/* Nor do listeners that nobody comes to keep anybody from connecting. */
static void test_listeners_leave_slots(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *listener;
	struct tally tally = {0};
	uint16_t i;

	(void)state;
	for (i = 0; i < 2 * CROWD; i++) {
		listener = front_test_listen_on(front, 100 + i);
		assert_int_equal(pvcalls_front_accept(listener, 1, tally_done, &tally), 0);
	}
	for (i = 0; i < 8; i++)
		pvcalls_front_release(front_test_connect_to(front, 1, FAKE_ECHO));
	front_test_settle(front);
	assert_int_equal(tally.finished, 0);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static struct fake_backend *front_test_start_parking(void)
{
	return fake_backend_start(directory, &(struct fake_backend_options){.parks = true});
}

/* What waits is out of the ring: each of 40 listeners has its ACCEPTs, each connect its outcome. */
static void test_parked_calls(void **state)
{
	struct fake_backend *fake = front_test_start_parking();
	struct pvcalls_front *front = front_test_open_here();
	struct sockaddr_in to = front_test_address(FAKE_HELD);
	struct pvcalls_front_socket *listeners[40];
	struct pvcalls_front_socket *held[DARK];
	struct tally accepts = {0};
	struct tally connects = {0};
	uint16_t i;

	(void)state;
	for (i = 0; i < 40; i++) {
		listeners[i] = front_test_listen_on(front, 100 + i);
		assert_int_equal(pvcalls_front_accept(listeners[i], 1, tally_done, &accepts), 0);
		assert_int_equal(pvcalls_front_accept(listeners[i], 1, tally_done, &accepts), 0);
	}
	for (i = 0; i < DARK; i++) {
		assert_int_equal(pvcalls_front_socket(front, 1, &held[i]), 0);
		assert_int_equal(pvcalls_front_connect(held[i], &to, tally_done, &connects), 0);
	}
	pvcalls_front_release(front_test_connect_to(front, 4, FAKE_ECHO));
	for (i = 0; i < 80; i++)
		fake_backend_offer(fake, 100 + i % 40, FAKE_ECHO);
	front_test_await(front, &accepts, 80);
	assert_int_equal(connects.finished, 0);
	pvcalls_front_release(held[0]);
	front_test_settle(front);
	to = front_test_address(FAKE_GO);
	assert_int_equal(pvcalls_front_socket(front, 1, &held[0]), 0);
	assert_int_equal(pvcalls_front_connect_wait(held[0], &to, SECONDS(5)), -ECONNREFUSED);
	front_test_await(front, &connects, DARK - 1);
	assert_true(fake_backend_counts(fake).most_in_ring < 24);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

/* A listener that goes and a backend that dies end parked calls, too. */
static void test_parked_calls_end(void **state)
{
	struct fake_backend *fake = front_test_start_parking();
	struct pvcalls_front *front = front_test_open_here();
	struct pvcalls_front_socket *listener = front_test_listen_on(front, 100);
	struct sockaddr_in to = front_test_address(FAKE_HANG);
	struct pvcalls_front_socket *dark[DARK];
	struct tally accepts = {0};
	struct tally connects = {0};
	int i;

	(void)state;
	for (i = 0; i < DARK; i++) {
		assert_int_equal(pvcalls_front_accept(listener, 1, tally_done, &accepts), 0);
		assert_int_equal(pvcalls_front_socket(front, 1, &dark[i]), 0);
		assert_int_equal(pvcalls_front_connect(dark[i], &to, tally_done, &connects), 0);
	}
	assert_int_equal(pvcalls_front_accept_wait(listener, 1, 20, &dark[0]), -ETIMEDOUT);
	pvcalls_front_release(listener);
	front_test_settle(front);
	assert_int_equal(accepts.finished, 0);
	fake_backend_die(fake);
	while (connects.finished < DARK)
		pvcalls_front_wait(front, SECONDS(5));
	assert_int_equal(connects.good, 0);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

static void test_a_ticket_twice_ends_the_frontend(void **state)
{
	struct fake_backend *fake = fake_backend_start(
		directory, &(struct fake_backend_options){.parks = true, .bad_ticket = true});
	struct pvcalls_front *front = front_test_open_here();
	struct sockaddr_in to = front_test_address(FAKE_HANG);
	struct pvcalls_front_socket *socket;
	struct tally tally = {0};
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		assert_int_equal(pvcalls_front_socket(front, 1, &socket), 0);
		assert_int_equal(pvcalls_front_connect(socket, &to, tally_done, &tally), 0);
	}
	while (tally.finished < 2)
		pvcalls_front_wait(front, SECONDS(5));
	assert_int_equal(tally.good, 0);
	assert_int_equal(pvcalls_front_error(front), -EPROTO);
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_listener_gets_an_accept),
		cmocka_unit_test(test_listeners_take_turns),
		cmocka_unit_test(test_waiting_connects_leave_slots),
		cmocka_unit_test(test_listeners_leave_slots),
		cmocka_unit_test(test_parked_calls),
		cmocka_unit_test(test_parked_calls_end),
		cmocka_unit_test(test_a_ticket_twice_ends_the_frontend),
	};

	return cmocka_run_group_tests_name("call_queue", tests, front_test_make_directory,
					   front_test_remove_directory);
}
