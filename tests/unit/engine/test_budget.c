/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a call may cost, counted: system calls of the engine for a connection that is made, carries
 * a byte each way and is closed, with a policy and the trail, and readings of the clock.
 *
 * The engine runs its own turns in a thread that is held in each system call. When it goes to
 * sleep, and only then, the guest and its peers take their next step: so each figure is the same in
 * every run. Polling before a sleep is off, since how long that goes on is the clock's to say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "guest_calls.h"
#include "system_calls.h"

#define RING(n)   (8u + (n))      /* indexes page of connection n */
#define DATA(n)   (24u + 2 * (n)) /* its data pages, order 1 */
#define MOST      16u             /* connections in flight */
#define ROUNDS    32u             /* that are counted */
#define UNCOUNTED 4u              /* before them: what is made once */

/* The budget. */
#define CALLS_PER_CONNECTION  7u  /* system calls, with MOST in flight */
#define ALONE_CALLS           26u /* with one in flight, wake-ups included */
#define READINGS_PER_TURN     2u  /* of the clock, in a turn and what comes until the next */
#define CALLS_IN_A_TURN_LEAST (2 * MOST)

static const char policy[] =
	"version: 1\nname: budget\nmatch: {name: guest}\ndefault: deny\n"
	"floor: {allow: [{on: connect, to: {net: [127.0.0.0/8]}}]}\n"
	"chain:\n"
	"  - {plugin: random-verdict, seed: 1, on: [connect], verdicts: [allow]}\n";

int __real_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);

static uint64_t clock_readings;

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
	clock_readings++;
	return __real_clock_gettime(id, now);
}

int __real_getrusage(int who, struct rusage *usage);
int __wrap_getrusage(int who, struct rusage *usage);

/* Each held call is a sleep, which is not to look like one of the plugin's (hook_time.h). */
int __wrap_getrusage(int who, struct rusage *usage)
{
	int result = __real_getrusage(who, usage);

	usage->ru_nvcsw = 0;
	return result;
}

/* What the guest or its peers do next, when the engine has nothing left to do. */
enum step {
	STEP_CALL,    /* the guest makes its sockets and connects them */
	STEP_SPEAK,   /* all are connected: it writes a byte into each */
	STEP_ECHO,    /* the peers take the byte and send it back */
	STEP_RELEASE, /* it has all bytes back, and releases the sockets */
	STEP_CLOSE,   /* it has its answers; the peers close, the trail is stored */
	STEPS,
};

struct budget {
	struct engine_guest *guest;
	struct system_calls counts; /* those that count: without the set-up and the end */
	struct system_calls all;
	uint32_t in_flight;
	enum step step;
	uint32_t rounds;
	uint32_t rows; /* of the trail */
	uint16_t port;
	int listener;
	int peer[MOST];
	const char *trouble; /* what went wrong, for the test to say once the engine has ended */

	/* the worst of the turns that are counted, written by the engine's thread */
	uint64_t readings_most;
	uint64_t readings_at_work_most; /* in the turn itself, where it serves calls */
	uint64_t calls_in_a_turn_most;
	uint64_t turns;
	uint64_t readings;
};

/* --- the guest and its peers: each returns whether its time had come --- */

/* Wakes the engine as a guest does that has rung ports. */
static void budget_wake(struct budget *budget)
{
	if (__atomic_exchange_n(&budget->guest->events->to_backend.asleep, 0, __ATOMIC_SEQ_CST))
		(void)eventfd_write(budget->guest->engine->transport->fd, 1);
}

/* The guest is about to sleep: it asks for an event with its next answer, and for one of any ring.
 */
static void budget_guest_sleeps(struct budget *budget)
{
	struct local_events *events = &budget->guest->events->to_frontend;

	guest_command_page(budget->guest)->rsp_event = budget->guest->rsp_cons + 1;
	memset(events->selector, 0, sizeof(events->selector));
	memset(events->word, 0, sizeof(events->word));
	events->asleep = 1;
}

static bool budget_call(struct budget *budget)
{
	uint32_t n;

	for (n = 0; n < budget->in_flight; n++) {
		struct wire_request make = call_request(WIRE_SOCKET, n);
		struct wire_request connect = connect_request(n, budget->port, RING(n));

		make.u.socket.domain = AF_INET;
		make.u.socket.type = SOCK_STREAM;
		guest_make_ring(budget->guest, RING(n), 1, DATA(n));
		guest_push(budget->guest, &make);
		guest_push(budget->guest, &connect);
	}
	return true;
}

/* Takes as many answers as the guest waits for, if all are there. */
static bool budget_answers(struct budget *budget, uint32_t count)
{
	struct wire_response response;

	if (guest_command_page(budget->guest)->rsp_prod - budget->guest->rsp_cons < count)
		return false;
	while (guest_collect(budget->guest, &response))
		if (response.ret) {
			fprintf(stderr, "call %u of socket %llu: %d\n", response.cmd,
				(unsigned long long)response.id, response.ret);
			budget->trouble = "a call failed";
		}
	return true;
}

static bool budget_speak(struct budget *budget)
{
	uint32_t n;

	if (!budget_answers(budget, 2 * budget->in_flight))
		return false;
	for (n = 0; n < budget->in_flight; n++) {
		struct indexes_page *page = guest_page(budget->guest, RING(n));

		page->out_prod++;
		guest_ring(budget->guest, 1 + RING(n));
	}
	return true;
}

static bool budget_echo(struct budget *budget)
{
	char byte;
	uint32_t n;

	for (n = 0; n < budget->in_flight; n++) {
		int fd = accept4(budget->listener, NULL, NULL, SOCK_CLOEXEC);

		budget->peer[n] = fd;
		if (recv(fd, &byte, 1, 0) != 1 || send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
			budget->trouble = "a byte did not reach the peer";
	}
	return true;
}

static bool budget_release(struct budget *budget)
{
	uint32_t n;

	for (n = 0; n < budget->in_flight; n++) {
		const struct indexes_page *page = guest_page(budget->guest, RING(n));

		if (!page->in_prod)
			return false;
	}
	for (n = 0; n < budget->in_flight; n++) {
		struct indexes_page *page = guest_page(budget->guest, RING(n));
		struct wire_request request = call_request(WIRE_RELEASE, n);

		page->in_cons = page->in_prod;
		request.u.release.reuse = 1;
		guest_push(budget->guest, &request);
	}
	return true;
}

static bool budget_close(struct budget *budget)
{
	uint32_t n;

	if (!budget_answers(budget, budget->in_flight))
		return false;
	for (n = 0; n < budget->in_flight; n++)
		close(budget->peer[n]);
	budget->rows += engine_guest_store(budget->guest);
	budget->rounds++;
	return true;
}

static bool (*const budget_steps[STEPS])(struct budget *budget) = {
	[STEP_CALL] = budget_call,       [STEP_SPEAK] = budget_speak, [STEP_ECHO] = budget_echo,
	[STEP_RELEASE] = budget_release, [STEP_CLOSE] = budget_close,
};

/* The engine is about to sleep. */
static void budget_go_on(struct budget *budget)
{
	if (budget->guest->engine->stop || !budget_steps[budget->step](budget))
		return;
	budget->step = (budget->step + 1) % STEPS;
	if (budget->step == STEP_CALL && budget->rounds == UNCOUNTED)
		memset(&budget->all, 0, sizeof(budget->all));
	if (budget->trouble || budget->rounds == UNCOUNTED + ROUNDS) {
		budget->counts = budget->all;
		budget->guest->engine->stop = true;
	}
	budget_guest_sleeps(budget);
	budget_wake(budget);
}

/* --- the engine --- */

static bool budget_is_sleep(const struct seccomp_data *call)
{
#ifdef SYS_epoll_wait
	if (call->nr == SYS_epoll_wait)
		return (int)call->args[3] < 0;
#endif
	return call->nr == SYS_epoll_pwait2 ||
	       (call->nr == SYS_epoll_pwait && (int)call->args[3] < 0);
}

static void budget_seen(void *owner, const struct seccomp_data *call)
{
	if (budget_is_sleep(call))
		budget_go_on(owner);
}

static uint64_t budget_more(uint64_t most, uint64_t value)
{
	return value > most ? value : most;
}

/* The engine's main loop, with an eye on the clock. */
static void budget_engine(void *owner)
{
	struct budget *budget = owner;
	struct engine *engine = budget->guest->engine;

	while (!engine->stop) {
		bool counted = budget->rounds >= UNCOUNTED;
		uint64_t readings = clock_readings;
		uint64_t taken = engine->calls.counters.taken;
		bool busy = engine_turn(engine);
		uint64_t at_work = clock_readings - readings;

		turn_wait(&engine->turn, busy);
		if (!counted)
			continue;
		budget->readings_at_work_most = budget_more(budget->readings_at_work_most, at_work);
		budget->readings_most =
			budget_more(budget->readings_most, clock_readings - readings);
		budget->calls_in_a_turn_most = budget_more(budget->calls_in_a_turn_most,
							   engine->calls.counters.taken - taken);
		budget->readings += clock_readings - readings;
		budget->turns++;
	}
}

/* The turn looks at the ports; this only ends the sleep. */
static void budget_guest_rang(struct loop_source *source, uint32_t events)
{
	(void)source;
	(void)events;
}

static void budget_open(struct budget *budget)
{
	struct engine *engine;

	budget->listener = host_listen(&budget->port);
	assert_true(budget->listener >= 0);
	budget->guest = engine_guest_open(policy, 2 * MOST);
	engine = budget->guest->engine;
	/* A turn is long by what it is held in its system calls. */
	engine->turn.wall_clock.scale.ns_per_tick_q32 = 0;
	assert_int_equal(loop_add(engine->loop, &engine->transport_source, engine->transport->fd,
				  EPOLLIN, budget_guest_rang, engine),
			 0);
	engine_guest_attach(budget->guest, true);
}

/* --- figures --- */

static void budget_print(const struct budget *budget)
{
	const double connections = ROUNDS * budget->in_flight;
	uint32_t number;

	fprintf(stderr, "%u in flight: %.2f system calls for a connection:", budget->in_flight,
		system_calls_sum(&budget->counts) / connections);
	for (number = 0; number < SYSTEM_CALLS_MAX; number++) {
		const char *name = system_calls_name(number);

		if (!budget->counts.of[number])
			continue;
		if (name)
			fprintf(stderr, " %s %.2f", name, budget->counts.of[number] / connections);
		else
			fprintf(stderr, " %u: %.2f", number,
				budget->counts.of[number] / connections);
	}
	fprintf(stderr, "; %.2f readings of the clock for a turn, %.2f for a call\n",
		(double)budget->readings / (double)budget->turns,
		(double)budget->readings / connections / 3);
}

/* Makes connections, so many at a time, and counts. */
static void budget_measure(struct budget *budget, uint32_t in_flight)
{
	int error;

	memset(budget, 0, sizeof(*budget));
	budget->in_flight = in_flight;
	budget_open(budget);
	error = system_calls_count(&budget->all, budget_engine, budget_seen, budget);
	engine_guest_close(budget->guest);
	close(budget->listener);
	if (error) {
		fprintf(stderr, "system calls can't be counted here: %s\n", strerror(-error));
		skip();
	}
	if (budget->trouble)
		fail_msg("%s", budget->trouble);
	budget_print(budget);
	assert_int_equal(budget->rounds, UNCOUNTED + ROUNDS);
	assert_int_equal(budget->rows, 3 * in_flight * budget->rounds);
}

static void test_system_calls_of_a_connection(void **state)
{
	struct budget budget;

	(void)state;
	budget_measure(&budget, MOST);
	assert_in_range(system_calls_sum(&budget.counts), ROUNDS * MOST,
			CALLS_PER_CONNECTION * ROUNDS * MOST);
}

/* None in the turn itself, however many calls it serves, takes and ends: those come between two. */
static void test_readings_of_the_clock(void **state)
{
	struct budget budget;

	(void)state;
	budget_measure(&budget, MOST);
	assert_in_range(budget.calls_in_a_turn_most, CALLS_IN_A_TURN_LEAST, UINT64_MAX);
	assert_int_equal(budget.readings_at_work_most, 0);
	assert_in_range(budget.readings_most, 1, READINGS_PER_TURN);
}

/* Alone a connection pays for each wake-up itself; what it pays besides is no more than in a crowd.
 */
static void test_a_connection_alone(void **state)
{
	struct budget budget;

	(void)state;
	budget_measure(&budget, 1);
	assert_in_range(budget.readings_most, 1, READINGS_PER_TURN);
	assert_in_range(system_calls_sum(&budget.counts), ROUNDS, ALONE_CALLS * ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_system_calls_of_a_connection),
		cmocka_unit_test(test_readings_of_the_clock),
		cmocka_unit_test(test_a_connection_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
