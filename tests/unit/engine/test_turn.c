/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What comes between two turns, by a clock of the test's: what a turn did before does not count as
 * polling, nor as sleep, however long it took.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "guest_calls.h"

#define WORK_NS (10 * NS_PER_MS) /* longer than anything is polled for */
#define TICK_NS 1000u            /* between two readings of the clock */
#define STUCK_S 20               /* a wait that does not end ends the test */

static uint64_t now_ns = NS_PER_S;
static unsigned int readings;
static unsigned int ring_at; /* at this reading there is work */
static int bell = -1;

int __wrap_clock_gettime(clockid_t id, struct timespec *now);

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
	(void)id;
	if (++readings == ring_at)
		(void)eventfd_write(bell, 1);
	now_ns += TICK_NS;
	now->tv_sec = (time_t)(now_ns / NS_PER_S);
	now->tv_nsec = (long)(now_ns % NS_PER_S);
	return 0;
}

static void bell_rang(struct loop_source *source, uint32_t events)
{
	eventfd_t rings;

	(void)source;
	(void)events;
	(void)eventfd_read(bell, &rings);
}

static int setup(void **state)
{
	static struct loop_source source;
	struct engine_guest *guest = engine_guest_open(OPEN_POLICY, GUEST_SOCKETS);

	engine_guest_attach(guest, true);
	bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	source = (struct loop_source){.owner = NULL};
	assert_int_equal(loop_add(guest->engine->loop, &source, bell, EPOLLIN, bell_rang, NULL), 0);
	engine_guest_turn(guest);
	busy_poll_calibrate(&guest->engine->turn.poll, TURN_POLL_NS_MIN, TURN_POLL_NS_MAX);
	*state = guest;
	alarm(STUCK_S);
	return 0;
}

static int teardown(void **state)
{
	alarm(0);
	engine_guest_close(*state);
	close(bell);
	return 0;
}

/* A turn that took long is over; work is there, or comes with the n-th reading of the clock. */
static void wait_after_work(struct engine_guest *guest, unsigned int n)
{
	assert_true(loop_turn(guest->engine->loop, 0) >= 0);
	now_ns += WORK_NS;
	ring_at = readings + n;
	if (!n)
		(void)eventfd_write(bell, 1);
	assert_int_equal(turn_wait(&guest->engine->turn, false), 0);
	assert_true(readings >= ring_at);
}

static void test_a_short_sleep_after_long_work_is_short(void **state)
{
	struct engine_guest *guest = *state;
	const struct busy_poll *poll = &guest->engine->turn.poll;

	assert_int_equal(poll->ns, 0);
	wait_after_work(guest, 0);
	assert_int_equal(poll->ns, poll->first_ns);
}

static void test_polling_after_long_work_has_its_time(void **state)
{
	struct engine_guest *guest = *state;
	struct busy_poll *poll = &guest->engine->turn.poll;

	poll->ns = poll->max_ns;
	wait_after_work(guest, 4); /* after some rounds in vain */
	assert_int_equal(poll->ns, poll->max_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_short_sleep_after_long_work_is_short, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_polling_after_long_work_has_its_time, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
