/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listeners of a guest: bind, listen, accept, poll, and their ends. */
#include <errno.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/lifecycle/attach.h"
#include "guest_calls.h"

#define RING(n) (8u + (n))      /* indexes page of connection n */
#define DATA(n) (24u + 2 * (n)) /* its data pages, order 1 */

static int open_guest(void **state, bool names)
{
	struct engine_guest *guest = engine_guest_open(OPEN_POLICY, GUEST_SOCKETS);
	uint32_t n;

	engine_guest_attach(guest, names);
	for (n = 0; n < 8; n++)
		guest_make_ring(guest, RING(n), 1, DATA(n));
	*state = guest;
	return 0;
}

static int setup(void **state)
{
	return open_guest(state, true);
}

static int setup_linux(void **state)
{
	return open_guest(state, false);
}

static int teardown(void **state)
{
	engine_guest_close(*state);
	return 0;
}

/* A listening socket of the guest on loopback; returns its port. */
static uint16_t listening(struct engine_guest *guest, uint64_t id)
{
	struct guest_socket *socket;

	assert_int_equal(ask_socket(guest, id), 0);
	assert_int_equal(ask_bind(guest, id, INADDR_LOOPBACK, 0), 0);
	assert_int_equal(ask_listen(guest, id), 0);
	socket = socket_table_find(guest->engine->calls.sockets, id);
	return socket->local.port;
}

static void test_stock_frontends_see_no_extension(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request request = call_request(WIRE_LISTEN, 1);
	struct indexes_page *page = guest_page(guest, RING(0));
	struct wire_response response;
	uint16_t port;
	int fd;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), 0);
	guest_push(guest, &request);
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.pad, 0);
	port = socket_table_find(guest->engine->calls.sockets, 1)->local.port;
	fd = host_connect(port, 1);
	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), 0);
	assert_int_equal(page->names.peer_addr, 0);
	close(fd);
}

/* Several in flight on several listeners: each listener's oldest gets its first connection. */
static void test_accepts_in_flight(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t first = listening(guest, 1);
	uint16_t second = listening(guest, 2);
	const struct audit_record *record;
	int fds[4];

	assert_int_equal(ask_accept(guest, 1, 11, RING(0)), NO_ANSWER);
	assert_int_equal(ask_accept(guest, 1, 12, RING(1)), NO_ANSWER);
	assert_int_equal(ask_accept(guest, 2, 21, RING(2)), NO_ANSWER);
	assert_int_equal(ask_accept(guest, 2, 22, RING(3)), NO_ANSWER);
	fds[0] = host_connect(second, 5);
	engine_guest_turn(guest);
	assert_non_null(socket_table_find(guest->engine->calls.sockets, 21));
	assert_int_equal(socket_table_find(guest->engine->calls.sockets, 11)->state,
			 SOCKET_RESERVED);
	fds[1] = host_connect(first, 6);
	fds[2] = host_connect(first, 7);
	engine_guest_turn(guest);
	assert_int_equal(socket_table_find(guest->engine->calls.sockets, 11)->peer.addr[3], 6);
	assert_int_equal(socket_table_find(guest->engine->calls.sockets, 12)->peer.addr[3], 7);
	fds[3] = host_connect(second, 8);
	engine_guest_turn(guest);
	record = last_record(guest, PVCALLS_OP_ACCEPT);
	assert_int_equal(record->peer.addr[3], 8);
	assert_int_equal(record->parent,
			 socket_table_find(guest->engine->calls.sockets, 2)->number);
	assert_int_equal(record->socket,
			 socket_table_find(guest->engine->calls.sockets, 22)->number);
	while (guest->rsp_cons != guest_command_page(guest)->rsp_prod)
		guest->rsp_cons++;
	close(fds[0]);
	close(fds[1]);
	close(fds[2]);
	close(fds[3]);
}

/* What a plugin takes for now, a limit by the second for one, is when the peer came. */
static void test_accept_that_waited_is_decided_at_the_time_of_its_peer(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest, 1);
	struct wire_response response;
	struct pending_call *pending;
	uint64_t came_ns;
	int fd;

	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), NO_ANSWER);
	pending = pending_call_oldest(socket_table_find(guest->engine->calls.sockets, 1),
				      PVCALLS_OP_ACCEPT, CALL_PREPARED);
	assert_non_null(pending);
	came_ns = clock_monotonic_ns();
	assert_true(pending->call.taken_ns < came_ns);
	fd = host_connect(port, 1);
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.ret, 0);
	assert_true(pending->view.monotonic_ns >= came_ns);
	close(fd);
}

/* The trail dates it so, too, and an ACCEPT for which nobody came by its own end. */
static void test_accepts_are_dated_by_what_came_of_them(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest, 1);
	const struct audit_record *record;
	struct wire_response response;
	uint64_t ns;
	int fd;

	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), NO_ANSWER);
	assert_int_equal(ask_accept(guest, 1, 3, RING(1)), NO_ANSWER);
	loop_turn(guest->engine->loop, 20 * NS_PER_MS);
	ns = clock_wall_ns() - WALL_CLOCK_AGE_NS;
	fd = host_connect(port, 1);
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	record = last_record(guest, PVCALLS_OP_ACCEPT);
	assert_in_range(record->wall_ns, ns, clock_wall_ns());
	assert_in_range(record->total_ns, record->decision_ns, clock_wall_ns() - ns);
	ns = clock_wall_ns() - WALL_CLOCK_AGE_NS;
	assert_int_equal(ask_release(guest, 1), -ECANCELED); /* the ACCEPT */
	record = last_record(guest, PVCALLS_OP_ACCEPT);
	assert_int_equal(record->result, -ECANCELED);
	assert_in_range(record->wall_ns, ns, clock_wall_ns());
	assert_true(record->total_ns >= 20 * NS_PER_MS);
	close(fd);
}

static bool has_option(int fd, int level, int name)
{
	socklen_t size = sizeof(int);
	int value = 0;

	assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

/* The protocol has no socket options, so the engine sets them: here by way of the listener. */
static void test_accepted_sockets_are_tuned(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest, 1);
	const struct guest_socket *socket;
	int fd = host_connect(port, 1);

	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), 0);
	socket = socket_table_find(guest->engine->calls.sockets, 2);
	assert_true(has_option(socket->fd, IPPROTO_TCP, TCP_NODELAY));
	assert_true(has_option(socket->fd, SOL_SOCKET, SO_KEEPALIVE));
	close(fd);
}

/* Refuses the first two peers and lets the next two in: that is what this seed draws. */
#define REFUSING_TWO \
	OPEN_POLICY  \
	"chain:\n"   \
	"  - {plugin: random-verdict, seed: 5, on: [accept], verdicts: [deny, allow]}\n"

/* A refused peer is not the last in the backlog: whoever waits behind it gets the next. */
static void test_a_refused_peer_holds_nobody_up(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest, 1);
	struct wire_response response;
	uint32_t refused = 0;
	int fds[4];
	int i;

	assert_int_equal(ask_accept(guest, 1, 11, RING(0)), NO_ANSWER);
	assert_int_equal(ask_accept(guest, 1, 12, RING(1)), NO_ANSWER);
	engine_guest_policy(guest, REFUSING_TWO);
	for (i = 0; i < 4; i++)
		fds[i] = host_connect(port, 1);
	engine_guest_turn(guest);
	for (i = 0; i < 2; i++) {
		assert_true(guest_collect(guest, &response));
		assert_int_equal(response.ret, 0);
	}
	engine_guest_store(guest);
	for (i = 0; i < (int)guest->record_count; i++)
		refused += guest->records[i].op == PVCALLS_OP_ACCEPT && guest->records[i].result;
	assert_int_equal(refused, 2);
	for (i = 0; i < 4; i++)
		close(fds[i]);
}

#define REFUSING_ALL \
	OPEN_POLICY  \
	"chain:\n"   \
	"  - {plugin: random-verdict, seed: 1, on: [accept], verdicts: [deny]}\n"
#define CROWD (3 * CALLS_REFUSED_PER_TURN)

static uint32_t refused_peers(struct engine_guest *guest)
{
	uint32_t refused = 0;
	uint32_t i;

	engine_guest_store(guest);
	assert_true(guest->record_count <= GUEST_RECORDS);
	for (i = 0; i < guest->record_count; i++)
		refused += guest->records[i].op == PVCALLS_OP_ACCEPT && guest->records[i].result;
	return refused;
}

/* What an engine leaves that dies while ACCEPTs wait: each is a row, and none of them a peer's. */
static void test_accepts_that_wait_outlive_their_engine(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest, 1);
	struct audit_record record;
	uint64_t began_ns = clock_wall_ns() - WALL_CLOCK_AGE_NS;
	uint64_t dies_ns;
	uint32_t cursor = 0;
	uint32_t waited = 0;
	int fd;

	engine_guest_policy(guest, REFUSING_ALL);
	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), NO_ANSWER);
	assert_int_equal(ask_accept(guest, 1, 3, RING(1)), NO_ANSWER);
	fd = host_connect(port, 1);
	engine_guest_turn(guest);
	engine_guest_store(guest);
	assert_int_equal(last_record(guest, PVCALLS_OP_ACCEPT)->verdict, VERDICT_DENY);
	dies_ns = clock_wall_ns();
	while (drain_leftover(guest->drain, &cursor, &record)) {
		assert_int_equal(record.op, PVCALLS_OP_ACCEPT);
		assert_int_equal(record.verdict, VERDICT_NONE);
		assert_int_equal(record.peer.family, 0);
		assert_int_equal(record.local.port, port);
		assert_string_equal(record.reason, "the engine ended while it waited");
		assert_true(record.wall_ns >= dies_ns);
		assert_in_range(record.wall_ns - record.total_ns, began_ns, dies_ns);
		waited++;
	}
	assert_int_equal(waited, 2);
	close(fd);
}

/* The request that waits on is one for which nobody has come, whoever came before. */
static void test_a_refused_peer_is_forgotten(void **state)
{
	static const struct pvcalls_endpoint none = {0};
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest, 1);
	const struct audit_record *record;
	uint64_t socket;
	int fd;

	engine_guest_policy(guest, REFUSING_ALL);
	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), NO_ANSWER);
	fd = host_connect(port, 7);
	engine_guest_turn(guest);
	record = last_record(guest, PVCALLS_OP_ACCEPT);
	assert_int_equal(record->result, -EACCES);
	assert_int_equal(record->peer.addr[3], 7);
	assert_int_not_equal(record->decision_ns, 0);
	socket = record->socket;
	assert_int_equal(ask_release(guest, 1), -ECANCELED); /* the ACCEPT */
	record = last_record(guest, PVCALLS_OP_ACCEPT);
	assert_int_equal(record->result, -ECANCELED);
	assert_memory_equal(&record->peer, &none, sizeof(none));
	assert_memory_equal(&record->requested, &none, sizeof(none));
	assert_memory_equal(&record->effective, &none, sizeof(none));
	assert_int_equal(record->decision_ns, 0);
	assert_int_not_equal(record->socket, socket);
	close(fd);
}

/* However many peers are refused, what else there is to do has its turn, and they have theirs. */
static void test_a_refused_crowd_is_served_in_turns(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request listen = call_request(WIRE_LISTEN, 1);
	struct wire_response response;
	int fds[CROWD];
	uint32_t i;
	uint16_t port;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), 0);
	listen.u.listen.backlog = CROWD;
	assert_int_equal(ask(guest, &listen), 0);
	port = socket_table_find(guest->engine->calls.sockets, 1)->local.port;
	engine_guest_policy(guest, REFUSING_ALL);
	assert_int_equal(ask_accept(guest, 1, 11, RING(0)), NO_ANSWER);
	assert_int_equal(ask_accept(guest, 1, 12, RING(1)), NO_ANSWER);
	for (i = 0; i < CROWD; i++)
		fds[i] = host_connect(port, 1);
	assert_true(loop_turn(guest->engine->loop, NS_PER_S) > 0);
	assert_int_equal(refused_peers(guest), 2 * CALLS_REFUSED_PER_TURN);
	engine_guest_turn(guest);
	assert_int_equal(refused_peers(guest), CROWD);
	assert_false(engine_turn(guest->engine));
	assert_false(guest_collect(guest, &response));
	for (i = 0; i < CROWD; i++)
		close(fds[i]);
}

#define CROWDED 6u /* listeners, with a full share of refused peers each */

/* However many listeners have a crowd, a turn takes no more peers than it may. */
static void test_crowds_at_many_listeners_are_served_in_turns(void **state)
{
	struct engine_guest *guest = *state;
	int fds[CROWDED * CALLS_REFUSED_PER_TURN];
	uint16_t ports[CROWDED];
	uint32_t i;

	_Static_assert(CROWDED * CALLS_REFUSED_PER_TURN > CALLS_PEERS_PER_TURN, "too many");
	for (i = 0; i < CROWDED; i++) {
		ports[i] = listening(guest, 1 + i);
		assert_int_equal(ask_accept(guest, 1 + i, 20 + i, RING(i)), NO_ANSWER);
	}
	engine_guest_store(guest);
	guest->record_count = 0;
	engine_guest_policy(guest, REFUSING_ALL);
	for (i = 0; i < CROWDED * CALLS_REFUSED_PER_TURN; i++)
		fds[i] = host_connect(ports[i % CROWDED], 1);
	assert_true(loop_turn(guest->engine->loop, NS_PER_S) > 0);
	assert_int_equal(refused_peers(guest), CALLS_PEERS_PER_TURN);
	assert_true(guest->engine->calls.due_first);
	engine_turn(guest->engine);
	assert_int_equal(refused_peers(guest), CROWDED * CALLS_REFUSED_PER_TURN);
	for (i = 0; i < CROWDED * CALLS_REFUSED_PER_TURN; i++)
		close(fds[i]);
}

/* Some time before a peer comes; its connection is no older than that. */
static void test_age_of_an_accepted_socket(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest, 1);
	uint64_t asked_ns = clock_monotonic_ns();
	struct wire_response response;
	uint64_t waited_ns;
	int fd;

	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), NO_ANSWER);
	loop_turn(guest->engine->loop, 20 * NS_PER_MS);
	waited_ns = clock_monotonic_ns() - asked_ns;
	fd = host_connect(port, 1);
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(ask_release(guest, 2), 0);
	assert_true(last_record(guest, PVCALLS_OP_RELEASE)->duration_ns <
		    clock_monotonic_ns() - asked_ns - waited_ns);
	close(fd);
}

/* Someone with the right to do so has destroyed it (SOCK_DESTROY of sock_diag(7), ss -K). */
static void test_a_destroyed_listener(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_response response;

	listening(guest, 1);
	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), NO_ANSWER);
	shutdown(socket_table_find(guest->engine->calls.sockets, 1)->fd, SHUT_RD);
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.ret, -EINVAL);
	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), -EINVAL);
	assert_null(socket_table_find(guest->engine->calls.sockets, 2));
	assert_int_equal(ask_release(guest, 1), 0);
}

static void test_accept_needs_a_new_name(void **state)
{
	struct engine_guest *guest = *state;

	listening(guest, 1);
	assert_int_equal(ask_accept(guest, 1, 1, RING(0)), -EEXIST);
}

static void test_accept_with_a_bad_ring_is_answered(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest, 1);
	int fd = host_connect(port, 1);
	char byte;

	assert_int_equal(ask_accept(guest, 1, 2, GUEST_PAGES + 1), -EINVAL);
	assert_null(socket_table_find(guest->engine->calls.sockets, 2));
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(ask_release(guest, 2), 0);
	close(fd);
}

static void test_poll_waits_for_a_connection(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest, 1);
	struct wire_response response;
	int fd;

	assert_int_equal(ask_poll(guest, 1), NO_ANSWER);
	fd = host_connect(port, 1);
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.cmd, WIRE_POLL);
	assert_int_equal(response.ret, 0);
	assert_int_equal(ask_poll(guest, 1), 0);
	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), 0);
	assert_int_equal(ask_poll(guest, 1), NO_ANSWER);
	close(fd);
}

/* An ACCEPT that goes on for another reason is no connection. */
static void test_poll_is_answered_by_connections_only(void **state)
{
	struct engine_guest *guest = *state;
	struct calls *calls = &guest->engine->calls;
	struct wire_response response;
	uint32_t taken[AUDIT_QUEUE_SLOTS];
	uint32_t count = 0;

	listening(guest, 1);
	assert_int_equal(ask_poll(guest, 1), NO_ANSWER);
	while (audit_queue_take(calls->queue, &taken[count]))
		count++;
	/* The trail has room for the ACCEPT, not for a peer; then the writer makes some. */
	audit_queue_untake(calls->queue, taken[--count]);
	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), NO_ANSWER);
	assert_true(calls->starved);
	engine_guest_store(guest);
	engine_guest_turn(guest);
	assert_false(calls->starved);
	assert_false(guest_collect(guest, &response));
	while (count)
		audit_queue_untake(calls->queue, taken[--count]);
}

/* Ours: the ACCEPT is answered, and the POLL comes before the RELEASE. */
static void test_release_of_a_busy_listener(void **state)
{
	struct engine_guest *guest = *state;
	const struct audit_record *record;
	struct wire_response response;

	listening(guest, 1);
	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), NO_ANSWER);
	assert_int_equal(ask_poll(guest, 1), NO_ANSWER);
	assert_int_equal(ask_release(guest, 1), -ECANCELED); /* the ACCEPT */
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.cmd, WIRE_POLL);
	assert_int_equal(response.ret, 0);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.cmd, WIRE_RELEASE);
	assert_false(guest_collect(guest, &response));
	record = last_record(guest, PVCALLS_OP_ACCEPT);
	assert_int_equal(record->result, -ECANCELED);
	assert_int_equal(record->verdict, VERDICT_NONE);
	assert_int_equal(record->cancelled, 1);
	assert_string_equal(record->reason, "its socket was released");
	record = last_record(guest, PVCALLS_OP_POLL);
	assert_int_equal(record->result, 0);
	assert_int_equal(record->verdict, VERDICT_ALLOW);
	assert_int_equal(record->cancelled, 1);
	assert_int_equal(last_record(guest, PVCALLS_OP_RELEASE)->cancelled, 0);
	assert_int_equal(guest->engine->calls.counters.cancelled, 2);
	assert_int_equal(guest->engine->calls.counters.denied, 0);
}

/* Linux: an answer to the ACCEPT would wedge it, so its ring slot is lost, and only that. */
static void test_release_of_a_busy_listener_linux(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_response response;
	uint32_t i;

	listening(guest, 1);
	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), NO_ANSWER);
	assert_int_equal(ask_release(guest, 1), 0);
	assert_false(guest_collect(guest, &response));
	assert_int_equal(guest->engine->calls.counters.lost_slots, 1);
	for (i = 0; i < 100; i++)
		assert_int_equal(ask_release(guest, 1), 0);
	assert_int_equal(last_record(guest, PVCALLS_OP_RELEASE)->result, 0);
	/* A ring that is attached anew has all of its slots. */
	engine_detach(guest->engine, AUDIT_CLOSE_GUEST_GONE);
	engine_guest_attach(guest, false);
	assert_int_equal(guest->engine->calls.counters.lost_slots, 0);
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define LINUX(name) cmocka_unit_test_setup_teardown(name, setup_linux, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINUX(test_stock_frontends_see_no_extension),
		TEST(test_accepts_in_flight),
		TEST(test_accept_that_waited_is_decided_at_the_time_of_its_peer),
		TEST(test_accepts_are_dated_by_what_came_of_them),
		TEST(test_accepts_that_wait_outlive_their_engine),
		TEST(test_accepted_sockets_are_tuned),
		TEST(test_a_refused_peer_holds_nobody_up),
		TEST(test_a_refused_peer_is_forgotten),
		TEST(test_a_refused_crowd_is_served_in_turns),
		TEST(test_crowds_at_many_listeners_are_served_in_turns),
		TEST(test_age_of_an_accepted_socket),
		TEST(test_a_destroyed_listener),
		TEST(test_accept_needs_a_new_name),
		TEST(test_accept_with_a_bad_ring_is_answered),
		TEST(test_poll_waits_for_a_connection),
		TEST(test_poll_is_answered_by_connections_only),
		TEST(test_release_of_a_busy_listener),
		LINUX(test_release_of_a_busy_listener_linux),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
