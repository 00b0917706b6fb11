/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls by chance: what a guest, its peers, its policy, the operator and the trail do is drawn from
 * a seed, and after each step the engine is asked whether all still fits together.
 *
 * usage: test_random_calls [SEED [STEPS]]   (or PVCALLS_TEST_SEED; without: some fixed seeds)
 *
 * The guest is honest in what it writes into its rings and wrong in what it asks for: names that
 * are taken or unknown, calls in states that have none. A plugin delays, denies, rewrites and fails
 * by chance. What must hold, besides engine_invariants.h:
 *
 *   - a response is to a request that was not answered yet, and says what it was to;
 *   - every call has one record, with the operation and the result that the guest was told;
 *   - once everything is released every request is answered, but for an ACCEPT whose listener went
 *     first under a frontend that can't bear that;
 *   - after detaching nothing is left: no socket, no descriptor, no slot of the trail's queue.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "engine/lifecycle/attach.h"
#include "engine_invariants.h"
#include "own_network.h"
#include "random_run.h"

#define STEPS            1500u           /* of a seed */
#define ROUND_STEPS      250u            /* between attaching and detaching */
#define LOST_MOST        20u             /* ring slots; then the guest attaches anew */
#define FINISH_NS        (10 * NS_PER_S) /* longer than anything waits */
#define LINGERING_ONE_IN 8u              /* rounds in which a RELEASE has no room for a copy */

/* Descriptors of this process; the one for looking is not counted. */
static int random_count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	ASSERT(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static void random_check_descriptors(struct random_run *run)
{
	int expected = run->descriptors + (int)engine_invariants_descriptors(run->guest->engine);
	int found = random_count_descriptors();
	uint32_t i;

	for (i = 0; i < RANDOM_PEERS; i++)
		expected += run->peers[i] >= 0;
	/* Sockets that linger have one each; how many there are only their bytes tell. */
	if (lingering_bytes(run->guest->engine->calls.lingering))
		ASSERT(found >= expected);
	else
		ASSERT(found == expected);
}

static void random_check(struct random_run *run)
{
	const struct calls *calls = &run->guest->engine->calls;

	ASSERT(calls->attached);
	engine_invariants_check(run->guest->engine,
				run->stalled ? drain_ready(run->guest->drain) : 0);
	if (!run->stalled)
		ASSERT(run->ledger.recorded ==
		       calls->serial - run->ledger.serials - call_ledger_under_way(&run->ledger));
	if (!random_below(run, 8))
		random_check_descriptors(run);
}

static void random_step(struct random_run *run)
{
	uint32_t draw = random_below(run, 100);

	if (draw < 45)
		random_ask(run);
	else if (draw < 60)
		random_peer(run);
	else if (draw < 72)
		random_move_bytes(run);
	else if (draw < 84)
		random_pass_time(run);
	else if (draw < 86)
		random_kill(run);
	else if (draw < 89)
		random_policy(run);
	else if (draw < 91)
		random_stall(run);
	else if (draw < 92)
		connections_sweep(&run->guest->engine->connections);
	else
		guest_ring(run->guest, random_below(run, 20));
	if (random_below(run, 4)) {
		random_turn(run);
		random_check(run);
	}
}

/* All room for copies is used by a socket that nobody reads. */
static void random_fill_lingering(struct random_run *run)
{
	struct ring_span span = {.parts = 1};
	int ends[2];

	run->filler = -1;
	if (random_below(run, LINGERING_ONE_IN))
		return;
	ASSERT(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
	span.part[0].iov_len = LINGERING_BYTES_MAX;
	span.part[0].iov_base = calloc(1, LINGERING_BYTES_MAX);
	ASSERT(!lingering_add(run->guest->engine->calls.lingering, ends[0], &span,
			      LINGERING_BYTES_MAX));
	free(span.part[0].iov_base);
	run->filler = ends[1];
}

static void random_begin_round(struct random_run *run)
{
	uint32_t i;

	for (i = 0; i < RANDOM_RINGS; i++)
		run->rings[i].use = RING_FREE;
	run->kills = 0;
	call_ledger_begin(&run->ledger);
	random_policy(run);
	run->guest->engine->calls.sync = random_below(run, 2);
	engine_guest_attach(run->guest, random_below(run, 2));
	run->descriptors = random_count_descriptors();
	random_fill_lingering(run);
	run->descriptors += run->filler >= 0; /* the other end lingers */
}

/* Everything is released; then every request is answered, but for those that can't be. */
static void random_finish(struct random_run *run)
{
	const struct calls *calls = &run->guest->engine->calls;
	uint64_t until = clock_monotonic_ns() + FINISH_NS;
	struct wire_request request;
	uint64_t id;

	for (id = 0; id < RANDOM_NAMES; id++) {
		random_turn(run);
		request = call_request(WIRE_RELEASE, id);
		random_push(run, &request, 0);
	}
	while (run->ledger.open > calls->counters.lost_slots) {
		ASSERT(clock_monotonic_ns() < until);
		random_pass_time(run);
	}
	random_check(run);
	ASSERT(!socket_table_count(calls->sockets));
}

static void random_count_killed(void *owner, struct guest_socket *socket)
{
	uint32_t *killed = owner;

	*killed += socket->state == SOCKET_KILLED;
}

/* Sockets that the guest has not released since they were killed. */
static uint32_t random_killed(struct random_run *run)
{
	uint32_t killed = 0;

	socket_table_each(run->guest->engine->calls.sockets, random_count_killed, &killed);
	return killed;
}

/* Sockets that detaching will close, and record so; the others go with the calls that hold them. */
static uint32_t random_sockets_to_close(struct random_run *run)
{
	struct calls *calls = &run->guest->engine->calls;
	uint32_t count = socket_table_count(calls->sockets) - random_killed(run);
	const struct pending_call *pending;
	uint32_t i;

	for (i = 0; (pending = pending_call_at(calls, i)); i++) {
		if (pending->in_use && pending->socket)
			count -= pending->reserved || pending->call.op == PVCALLS_OP_SOCKET ||
				 pending->call.op == PVCALLS_OP_RELEASE;
	}
	return count;
}

static void random_end_round(struct random_run *run)
{
	struct engine *engine = run->guest->engine;
	uint32_t killed;
	uint32_t closes;

	run->stalled = false;
	random_store(run);
	random_turn(run); /* what had no room before */
	if (random_below(run, 2)) {
		random_peers_close(run);
		random_finish(run);
	}
	call_ledger_forget(&run->ledger, guest_untaken(run->guest));
	killed = random_killed(run);
	ASSERT(killed <= run->kills);
	closes = random_sockets_to_close(run);
	engine_detach(engine, AUDIT_CLOSE_GUEST_GONE);
	random_store(run);
	/* The record of a kill is that of the guest's RELEASE, too, if that came. */
	call_ledger_account(&run->ledger, closes + killed);
	random_peers_close(run);
	if (run->filler >= 0)
		close(run->filler);
	while (lingering_bytes(engine->calls.lingering))
		loop_turn(engine->loop, NS_PER_MS);
	engine_invariants_check_detached(engine);
	ASSERT(random_count_descriptors() == run->descriptors - (run->filler >= 0));
}

/* A listener whose backlog is full: who connects waits until he gives up. */
static void random_fill_backlog(struct random_run *run)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint32_t i;

	run->busy_listener = host_listen(&run->busy_port);
	ASSERT(run->busy_listener >= 0 && !listen(run->busy_listener, 0));
	to.sin_port = htons(run->busy_port);
	for (i = 0; i < sizeof(run->backlog) / sizeof(run->backlog[0]); i++) {
		run->backlog[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(run->backlog[i], (struct sockaddr *)&to, sizeof(to));
	}
}

static void random_open(struct random_run *run)
{
	int bytes = RANDOM_SOCKET_BYTES;
	uint32_t i;

	run->state = run->seed;
	for (i = 0; i < RANDOM_PEERS; i++)
		run->peers[i] = -1;
	run->listener = host_listen(&run->port);
	ASSERT(run->listener >= 0);
	/* Accepted sockets have the same: their peers' streams stall. */
	setsockopt(run->listener, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	ASSERT(!fcntl(run->listener, F_SETFL, O_NONBLOCK));
	random_fill_backlog(run);
	run->guest = engine_guest_open(OPEN_POLICY, GUEST_SOCKETS);
	call_ledger_create(&run->ledger, &run->guest->engine->calls);
}

static void random_close(struct random_run *run)
{
	uint32_t i;

	engine_guest_close(run->guest);
	close(run->listener);
	close(run->busy_listener);
	for (i = 0; i < sizeof(run->backlog) / sizeof(run->backlog[0]); i++)
		close(run->backlog[i]);
	call_ledger_free(&run->ledger);
}

static void random_run(uint64_t seed, uint32_t steps)
{
	struct random_run run = {.seed = seed};
	uint64_t began_ns = clock_monotonic_ns();
	uint32_t step;
	uint32_t i;

	fprintf(stderr, "test_random_calls: seed %llu, %u steps: ", (unsigned long long)seed,
		steps);
	random_open(&run);
	for (step = 0; step < steps; step += i) {
		random_begin_round(&run);
		for (i = 0;
		     i < ROUND_STEPS && run.guest->engine->calls.counters.lost_slots < LOST_MOST;
		     i++)
			random_step(&run);
		random_end_round(&run);
	}
	random_close(&run);
	fprintf(stderr, "%llu calls, %llu ms\n", (unsigned long long)run.calls,
		(unsigned long long)((clock_monotonic_ns() - began_ns) / NS_PER_MS));
}

int main(int argc, char **argv)
{
	static const uint64_t seeds[] = {1, 2, 3, 4, 5, 6};
	const char *chosen = argc > 1 ? argv[1] : getenv("PVCALLS_TEST_SEED");
	uint32_t steps = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : STEPS;
	size_t i;

	if (own_network_enter() < 0)
		fprintf(stderr, "test_random_calls: in the host's network: it needs no other\n");
	if (chosen)
		random_run(strtoull(chosen, NULL, 0), steps);
	for (i = 0; !chosen && i < sizeof(seeds) / sizeof(seeds[0]); i++)
		random_run(seeds[i], steps);
	return 0;
}
