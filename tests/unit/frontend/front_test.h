/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests of the library share: a frontend to the fake backend, and its calls' answers counted.
 * Header only; include cmocka before it.
 */
#ifndef TESTS_FRONTEND_FRONT_TEST_H
#define TESTS_FRONTEND_FRONT_TEST_H

#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>

#include <pvcalls/frontend.h>

#define SECONDS(n) ((n)*1000)

static char directory[] = "/tmp/pvcalls-test-XXXXXX";

static inline int front_test_make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static inline int front_test_remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static inline struct pvcalls_front_options front_test_options_here(void)
{
	return (struct pvcalls_front_options){.size = sizeof(struct pvcalls_front_options),
					      .runtime_dir = directory,
					      .name = "test",
					      .memory = 64u << 20,
					      .timeout_ms = 2000};
}

static inline struct pvcalls_front *front_test_open_here(void)
{
	struct pvcalls_front_options options = front_test_options_here();
	struct pvcalls_front *front;

	assert_int_equal(pvcalls_front_open(&front, &options, NULL), 0);
	return front;
}

static inline struct sockaddr_in front_test_address(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline struct pvcalls_front_socket *front_test_connect_to(struct pvcalls_front *front,
								 uint32_t order, uint16_t port)
{
	struct pvcalls_front_socket *socket;
	struct sockaddr_in to = front_test_address(port);

	assert_int_equal(pvcalls_front_socket(front, order, &socket), 0);
	assert_int_equal(pvcalls_front_connect_wait(socket, &to, SECONDS(5)), 0);
	return socket;
}

static inline void front_test_settle(struct pvcalls_front *front)
{
	while (pvcalls_front_releasing(front) > 0)
		assert_true(pvcalls_front_wait(front, SECONDS(5)) > 0);
}

struct tally {
	unsigned finished;
	unsigned good;
	struct pvcalls_front_socket *accepted[64];
};

static inline void tally_done(struct pvcalls_front_socket *socket, int result, void *context)
{
	struct tally *tally = context;

	if (!result && tally->good < 64)
		tally->accepted[tally->good] = socket;
	tally->good += !result;
	tally->finished++;
}

#endif
