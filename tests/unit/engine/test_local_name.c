/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a guest, and the trail, are told the own address of a stream. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/calls/close_socket.h"
#include "engine/connections/polled.h"
#include "engine/lifecycle/attach.h"
#include "guest_calls.h"

#define RING 8u /* indexes page of the connection */
#define DATA 16u
#define PORT (1 + RING) /* its event channel */

#define ALL_POLICY                                                         \
	"version: 1\nname: open\nmatch: {name: guest}\ndefault: allow\n"   \
	"floor: {allow: [{on: [connect, bind], to: {net: [127.0.0.0/8]}}," \
	" {on: bind, to: {net: [0.0.0.0/32]}}]}\n"

struct host_end {
	int fd;
	struct sockaddr_in name; /* of the guest's end, as the host sees it */
};

static struct engine_guest *open_guest(const struct engine_attach_args *features, bool read_local)
{
	struct engine_guest *guest = engine_guest_open(ALL_POLICY, GUEST_SOCKETS);

	guest->engine->start.read_local = read_local;
	engine_guest_attach_with(guest, features);
	guest_make_ring(guest, RING, 1, DATA);
	return guest;
}

static int setup(void **state)
{
	const struct engine_attach_args features = {
		.names = 1, .names_on_demand = 1, .reuse = 1, .cancel = 1};

	*state = open_guest(&features, false);
	return 0;
}

static int setup_names_alone(void **state)
{
	const struct engine_attach_args features = {.names = 1};

	*state = open_guest(&features, false);
	return 0;
}

static int setup_linux(void **state)
{
	const struct engine_attach_args features = {.names = 0};

	*state = open_guest(&features, false);
	return 0;
}

static int setup_always(void **state)
{
	const struct engine_attach_args features = {.names = 0};

	*state = open_guest(&features, true);
	return 0;
}

static int teardown(void **state)
{
	engine_guest_close(*state);
	return 0;
}

/* Connects socket 1, which exists. */
static struct host_end connect_first(struct engine_guest *guest)
{
	uint16_t port = 0;
	int listener = host_listen(&port);
	struct host_end end;
	socklen_t size = sizeof(end.name);

	assert_int_equal(ask_connect(guest, 1, port, RING), 0);
	end.fd = accept(listener, (struct sockaddr *)&end.name, &size);
	assert_true(end.fd >= 0);
	close(listener);
	return end;
}

static struct host_end connected(struct engine_guest *guest)
{
	assert_int_equal(ask_socket(guest, 1), 0);
	return connect_first(guest);
}

static bool event_pending(struct engine_guest *guest)
{
	return guest->events->to_frontend.word[PORT / 64] >> (PORT % 64) & 1;
}

static void ask_local(struct engine_guest *guest)
{
	struct indexes_page *page = guest_page(guest, RING);

	memset(&guest->events->to_frontend, 0, sizeof(guest->events->to_frontend));
	page->local_wanted = 1;
	guest_ring(guest, PORT);
	engine_guest_turn(guest);
}

static void assert_known(struct engine_guest *guest, const struct host_end *end)
{
	const struct indexes_page *page = guest_page(guest, RING);

	assert_int_equal(page->local_known, 1);
	assert_int_equal(page->names.local_port, end->name.sin_port);
	assert_int_equal(page->names.local_addr, end->name.sin_addr.s_addr);
}

static void assert_unknown(struct engine_guest *guest)
{
	const struct indexes_page *page = guest_page(guest, RING);

	assert_int_equal(page->local_known, 0);
	assert_int_equal(page->names.local_port, 0);
}

static void assert_row(struct engine_guest *guest, uint32_t op, uint16_t port)
{
	const struct audit_record *record = last_record(guest, op);

	assert_non_null(record);
	assert_int_equal(record->local.family, port ? AF_INET : 0);
	assert_int_equal(record->local.port, port);
}

static void told_when_asked(void **state)
{
	struct engine_guest *guest = *state;
	const struct indexes_page *page = guest_page(guest, RING);
	struct host_end end = connected(guest);

	assert_unknown(guest);
	assert_int_not_equal(page->names.peer_port, 0);
	assert_row(guest, PVCALLS_OP_CONNECT, 0);
	ask_local(guest);
	assert_known(guest, &end);
	assert_true(event_pending(guest));
	assert_int_equal(ask_release(guest, 1), 0);
	assert_row(guest, PVCALLS_OP_RELEASE, ntohs(end.name.sin_port));
	close(end.fd);
}

static void told_once(void **state)
{
	struct engine_guest *guest = *state;
	struct indexes_page *page = guest_page(guest, RING);
	struct host_end end = connected(guest);

	ask_local(guest);
	page->local_known = 0;
	ask_local(guest);
	assert_int_equal(page->local_known, 0);
	assert_false(event_pending(guest));
	close(end.fd);
}

static void asked_before_the_answer(void **state)
{
	struct engine_guest *guest = *state;
	struct indexes_page *page = guest_page(guest, RING);
	struct host_end end;

	page->local_wanted = 1;
	end = connected(guest);
	assert_known(guest, &end);
	close(end.fd);
}

/* A connection that is polled has its event masked. */
static void asked_while_polled(void **state)
{
	struct engine_guest *guest = *state;
	struct indexes_page *page = guest_page(guest, RING);
	struct host_end end = connected(guest);
	char byte;

	page->out_prod = 1;
	guest_ring(guest, PORT);
	engine_guest_turn(guest);
	assert_int_equal(recv(end.fd, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(guest->engine->connections.polled_count, 1);
	assert_false(polled_have_work(&guest->engine->connections));
	page->local_wanted = 1;
	assert_true(polled_have_work(&guest->engine->connections));
	engine_guest_turn(guest);
	assert_known(guest, &end);
	close(end.fd);
}

/* Pages that stay mapped say nothing of the connection before. */
static void asked_on_pages_used_again(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request release = call_request(WIRE_RELEASE, 1);
	struct host_end end = connected(guest);

	ask_local(guest);
	release.u.release.reuse = 1;
	assert_int_equal(ask(guest, &release), 0);
	close(end.fd);
	guest_make_ring(guest, RING, 1, DATA);
	end = connected(guest);
	assert_unknown(guest);
	ask_local(guest);
	assert_known(guest, &end);
	close(end.fd);
}

/* Nobody could answer any more: a killed socket is gone, one that was reset may be so soon. */
static void told_at_the_end_of_both_directions(void **state)
{
	struct engine_guest *guest = *state;
	const struct indexes_page *page = guest_page(guest, RING);
	struct host_end end = connected(guest);
	struct closed_socket closed;

	socket_reset(end.fd);
	engine_guest_turn(guest);
	assert_int_equal(page->out_error, -ECONNRESET);
	assert_known(guest, &end);
	assert_int_equal(ask_release(guest, 1), 0);
	guest_make_ring(guest, RING, 1, DATA);
	end = connected(guest);
	close_socket(&guest->engine->calls, socket_table_find(guest->engine->calls.sockets, 1),
		     AUDIT_CLOSE_OPERATOR, &closed);
	assert_int_equal(page->out_error, -ECONNRESET);
	assert_known(guest, &end);
	assert_int_equal(closed.local.port, ntohs(end.name.sin_port));
	close(end.fd);
}

static void known_if_it_was_bound(void **state)
{
	struct engine_guest *guest = *state;
	struct host_end end;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_ANY, 0), 0);
	end = connect_first(guest);
	assert_known(guest, &end);
	assert_row(guest, PVCALLS_OP_CONNECT, ntohs(end.name.sin_port));
	assert_int_equal(last_record(guest, PVCALLS_OP_CONNECT)->local.addr[0], 127);
	close(end.fd);
}

static void forgotten_when_it_failed(void **state)
{
	struct engine_guest *guest = *state;
	struct host_end end;
	uint16_t port = 0;
	int listener = host_listen(&port);

	close(listener);
	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), 0);
	assert_int_equal(ask_connect(guest, 1, port, RING), -ECONNREFUSED);
	end = connect_first(guest);
	assert_unknown(guest);
	assert_row(guest, PVCALLS_OP_CONNECT, 0);
	close(end.fd);
}

/* A peer of a listener of socket 1, accepted as socket 2. */
static struct host_end accepted(struct engine_guest *guest, uint32_t address)
{
	struct host_end end = {.fd = -1};
	socklen_t size = sizeof(end.name);

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, address, 0), 0);
	assert_int_equal(ask_listen(guest, 1), 0);
	end.fd = host_connect(socket_table_find(guest->engine->calls.sockets, 1)->local.port, 1);
	assert_int_equal(ask_accept(guest, 1, 2, RING), 0);
	assert_int_equal(getpeername(end.fd, (struct sockaddr *)&end.name, &size), 0);
	return end;
}

static void known_if_its_listener_has_one_address(void **state)
{
	struct engine_guest *guest = *state;
	struct host_end end = accepted(guest, INADDR_LOOPBACK);

	assert_known(guest, &end);
	assert_row(guest, PVCALLS_OP_ACCEPT, ntohs(end.name.sin_port));
	close(end.fd);
}

/* The row of the accept says which listener it was; but a peer on loopback was looked at. */
static void asked_if_its_listener_has_all_addresses(void **state)
{
	struct engine_guest *guest = *state;
	struct host_end end = accepted(guest, INADDR_ANY);

	assert_unknown(guest);
	assert_row(guest, PVCALLS_OP_ACCEPT, ntohs(end.name.sin_port));
	assert_int_equal(last_record(guest, PVCALLS_OP_ACCEPT)->local.addr[0], 127);
	ask_local(guest);
	assert_known(guest, &end);
	close(end.fd);
}

static void told_at_once_to_who_has_names_alone(void **state)
{
	struct engine_guest *guest = *state;
	struct host_end end = connected(guest);

	assert_known(guest, &end);
	assert_row(guest, PVCALLS_OP_CONNECT, ntohs(end.name.sin_port));
	close(end.fd);
}

static void not_told_to_who_has_no_names(void **state)
{
	struct engine_guest *guest = *state;
	struct host_end end = connected(guest);

	ask_local(guest);
	assert_unknown(guest);
	assert_row(guest, PVCALLS_OP_CONNECT, 0);
	close(end.fd);
}

static void recorded_always(void **state)
{
	struct engine_guest *guest = *state;
	struct host_end end = connected(guest);

	assert_unknown(guest);
	assert_row(guest, PVCALLS_OP_CONNECT, ntohs(end.name.sin_port));
	close(end.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(told_when_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(asked_before_the_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(asked_while_polled, setup, teardown),
		cmocka_unit_test_setup_teardown(asked_on_pages_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(told_at_the_end_of_both_directions, setup,
						teardown),
		cmocka_unit_test_setup_teardown(known_if_it_was_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(forgotten_when_it_failed, setup, teardown),
		cmocka_unit_test_setup_teardown(known_if_its_listener_has_one_address, setup,
						teardown),
		cmocka_unit_test_setup_teardown(asked_if_its_listener_has_all_addresses, setup,
						teardown),
		cmocka_unit_test_setup_teardown(told_at_once_to_who_has_names_alone,
						setup_names_alone, teardown),
		cmocka_unit_test_setup_teardown(not_told_to_who_has_no_names, setup_linux,
						teardown),
		cmocka_unit_test_setup_teardown(recorded_always, setup_always, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
