/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's sockets when something is short. The test is the program, too: the addresses of its
 * calls are in its own memory, and what they are answered is noted here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_backend.h"
#include "front_test.h"
#include "run/endpoints/endpoint_table.h"
#include "run/endpoints/reset_mark.h"
#include "run/trapped/trapped_bind.h"
#include "run/trapped/trapped_connect.h"

#define NOT_ANSWERED 1

static int connect_error; /* of the library's, at once; 0: as it is */
static int pair_error;    /* of socketpair(2); 0: as it is */
static int64_t answered;  /* to the call */

int __real_pvcalls_front_connect(struct pvcalls_front_socket *socket,
				 const struct sockaddr_in *address, pvcalls_front_done done,
				 void *context);
int __wrap_pvcalls_front_connect(struct pvcalls_front_socket *socket,
				 const struct sockaddr_in *address, pvcalls_front_done done,
				 void *context);
int __real_socketpair(int domain, int type, int protocol, int fds[2]);
int __wrap_socketpair(int domain, int type, int protocol, int fds[2]);
bool __wrap_trap_alive(struct trap *trap, uint64_t id);
int __wrap_trap_answer(struct trap *trap, uint64_t id, int64_t result);

int __wrap_pvcalls_front_connect(struct pvcalls_front_socket *socket,
				 const struct sockaddr_in *address, pvcalls_front_done done,
				 void *context)
{
	return connect_error ? connect_error
			     : __real_pvcalls_front_connect(socket, address, done, context);
}

int __wrap_socketpair(int domain, int type, int protocol, int fds[2])
{
	if (!pair_error)
		return __real_socketpair(domain, type, protocol, fds);
	errno = pair_error;
	return -1;
}

bool __wrap_trap_alive(struct trap *trap, uint64_t id)
{
	(void)trap;
	(void)id;
	return true;
}

int __wrap_trap_answer(struct trap *trap, uint64_t id, int64_t result)
{
	(void)trap;
	(void)id;
	answered = result;
	return 0;
}

/* A frontend with its backend, and an endpoint of which the program has one end. */
struct world {
	struct fake_backend *fake;
	struct endpoint_table table;
	struct endpoint *endpoint;
	int theirs;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct pvcalls_front_options options = {.size = sizeof(options),
						.runtime_dir = directory,
						.name = "test",
						.memory = 64u << 20};

	assert_non_null(world);
	world->fake = fake_backend_start(directory, NULL);
	assert_int_equal(pvcalls_front_open(&world->table.front, &options, NULL), 0);
	world->table.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	world->endpoint = endpoint_new(&world->table, true, &world->theirs);
	assert_non_null(world->endpoint);
	answered = NOT_ANSWERED;
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	connect_error = 0;
	pair_error = 0;
	endpoint_end_all(&world->table);
	pvcalls_front_close(world->table.front, 1000);
	fake_backend_stop(world->fake);
	close(world->table.epoll_fd);
	close(world->theirs);
	free(world);
	return 0;
}

/* The program's call with an address. */
static struct trapped_call call_with(const struct sockaddr_in *address, int number)
{
	return (struct trapped_call){.tid = getpid(),
				     .number = number,
				     .args = {0, (uint64_t)(uintptr_t)address, sizeof(*address)}};
}

static void test_a_connect_that_fails_at_once_leaves_nothing(void **state)
{
	struct world *world = *state;
	const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(FAKE_ECHO)};
	struct trapped_call call = call_with(&to, SYS_connect);

	connect_error = -EIO;
	trapped_connect(world->endpoint, &call, world->theirs);
	assert_int_equal(answered, -EIO);
	assert_int_equal(world->endpoint->state, ENDPOINT_NEW);
	assert_null(world->endpoint->remote);
}

/* What is bound is not lost by that. */
static void test_a_bound_socket_may_connect_again(void **state)
{
	struct world *world = *state;
	const struct sockaddr_in any = {.sin_family = AF_INET};
	const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(FAKE_ECHO)};
	struct trapped_call call = call_with(&any, SYS_bind);
	const struct pvcalls_front_socket *bound;

	trapped_bind(world->endpoint, &call, world->theirs);
	while (answered == NOT_ANSWERED)
		assert_true(pvcalls_front_wait(world->table.front, 5000) > 0);
	assert_int_equal(answered, 0);
	bound = world->endpoint->remote;
	assert_non_null(bound);
	connect_error = -EIO;
	call = call_with(&to, SYS_connect);
	trapped_connect(world->endpoint, &call, world->theirs);
	assert_int_equal(answered, -EIO);
	assert_int_equal(world->endpoint->state, ENDPOINT_BOUND);
	assert_ptr_equal(world->endpoint->remote, bound);
}

static void test_an_endpoint_that_cannot_be_renewed_stays(void **state)
{
	struct world *world = *state;
	uint64_t inode = world->endpoint->inode;
	int fresh = -1;

	endpoint_fail(world->endpoint, 0);
	pair_error = EMFILE;
	assert_int_equal(endpoint_renew(world->endpoint, true, &fresh), -EMFILE);
	assert_ptr_equal(endpoint_table_find(&world->table, inode), world->endpoint);
	assert_ptr_equal(world->table.failed[0], world->endpoint);
	pair_error = 0;
	assert_int_equal(endpoint_renew(world->endpoint, true, &fresh), 0);
	assert_null(endpoint_table_find(&world->table, inode));
	assert_null(world->table.failed[0]);
	world->endpoint->state = ENDPOINT_NEW;
	close(fresh);
}

/* A child writes as another thread of the program would: it is not us. */
static void child_writes(int fd, const char *text)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void take_program_bytes(struct world *world, const char *text)
{
	char bytes[16];

	assert_int_equal(read(world->endpoint->source.fd, bytes, sizeof(bytes)), strlen(text));
	assert_memory_equal(bytes, text, strlen(text));
}

static void test_the_reset_mark_is_behind_what_was_written(void **state)
{
	struct world *world = *state;
	char byte;

	child_writes(world->theirs, "one");
	reset_mark_set(world->endpoint, world->theirs);
	assert_int_equal(shutdown(world->theirs, SHUT_WR), 0);
	assert_false(reset_mark_reached(world->endpoint));
	take_program_bytes(world, "one");
	assert_true(reset_mark_reached(world->endpoint));
	endpoint_reset(world->endpoint);
	assert_int_equal(read(world->theirs, &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
}

static void test_a_peer_that_ends_in_order_takes_the_mark_back(void **state)
{
	struct world *world = *state;
	char byte;

	reset_mark_set(world->endpoint, world->theirs);
	assert_true(reset_mark_reached(world->endpoint));
	reset_mark_clear(world->endpoint);
	endpoint_close_end(world->endpoint);
	assert_int_equal(read(world->theirs, &byte, 1), 0);
}

/* Another thread has written between the mark and the end of its direction. */
static void test_bytes_behind_the_mark_are_the_programs(void **state)
{
	struct world *world = *state;

	child_writes(world->theirs, "one");
	reset_mark_set(world->endpoint, world->theirs);
	child_writes(world->theirs, "two");
	take_program_bytes(world, "one");
	assert_false(reset_mark_reached(world->endpoint));
	take_program_bytes(world, "two");
	assert_false(reset_mark_reached(world->endpoint));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_connect_that_fails_at_once_leaves_nothing),
		TEST(test_a_bound_socket_may_connect_again),
		TEST(test_an_endpoint_that_cannot_be_renewed_stays),
		TEST(test_the_reset_mark_is_behind_what_was_written),
		TEST(test_a_peer_that_ends_in_order_takes_the_mark_back),
		TEST(test_bytes_behind_the_mark_are_the_programs),
	};

	return cmocka_run_group_tests_name("endpoints", tests, front_test_make_directory,
					   front_test_remove_directory);
}
