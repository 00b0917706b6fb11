/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The library without memory. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <pvcalls/frontend.h>

#include "fake_backend.h"
#include "front_test.h"

static _Thread_local bool no_memory; /* not of the backend, which is a thread */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
	return no_memory ? NULL : __real_calloc(count, size);
}

/* A socket with as many calls as there is memory for. */
static struct pvcalls_front_socket *front_memory_use_calls_up(struct pvcalls_front *front)
{
	const struct sockaddr_in any = {.sin_family = AF_INET};
	struct pvcalls_front_socket *socket;
	int error;

	assert_int_equal(pvcalls_front_socket(front, 4, &socket), 0);
	assert_int_equal(pvcalls_front_bind(socket, &any, NULL, NULL), 0);
	no_memory = true;
	do
		error = pvcalls_front_poll(socket, NULL, NULL);
	while (!error);
	assert_int_equal(error, -ENOMEM);
	return socket;
}

/* The backend has a socket's ring until it answers RELEASE, so that must go out. */
static void test_release_needs_no_memory(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct pvcalls_front_options options = {.size = sizeof(options),
						.runtime_dir = directory,
						.name = "test",
						.memory = 64u << 20};
	const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(FAKE_MUTE)};
	struct pvcalls_front_socket *socket;
	struct pvcalls_front_socket *busy;
	struct pvcalls_front *front;

	(void)state;
	assert_int_equal(pvcalls_front_open(&front, &options, NULL), 0);
	assert_int_equal(pvcalls_front_socket(front, 4, &socket), 0);
	assert_int_equal(pvcalls_front_connect_wait(socket, &to, 5000), 0);
	busy = front_memory_use_calls_up(front);
	pvcalls_front_release(socket);
	pvcalls_front_release(busy);
	assert_int_equal(pvcalls_front_releasing(front), 2);
	while (pvcalls_front_releasing(front) > 0)
		assert_true(pvcalls_front_wait(front, 5000) > 0);
	assert_int_equal(fake_backend_counts(fake).releases, 2);
	no_memory = false;
	pvcalls_front_close(front, 1000);
	fake_backend_stop(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_release_needs_no_memory),
	};

	return cmocka_run_group_tests_name("front-memory", tests, front_test_make_directory,
					   front_test_remove_directory);
}
