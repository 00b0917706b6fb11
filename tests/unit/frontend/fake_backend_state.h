/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the fake backend is made of: its thread (fake_backend.c) and its calls
 * (fake_backend_calls.c). */
#ifndef TESTS_FRONTEND_FAKE_BACKEND_STATE_H
#define TESTS_FRONTEND_FAKE_BACKEND_STATE_H

#include <pthread.h>

#include "fake_backend.h"
#include "ring/command_ring.h"
#include "ring/data_ring.h"
#include "transport/local_wire.h"

#define FAKE_PARKED 512u

struct stream {
	struct stream *next;
	uint64_t id;
	uint64_t answer_ns; /* CONNECT: when to answer; 0: never */
	struct wire_request request;
	struct data_ring ring;
	uint32_t port;
	uint32_t sent;
	uint64_t taken;
	char text[24]; /* ANSWER */
	uint16_t mode;
	bool connected;
	bool local_told;
	bool held; /* CONNECT is answered when one to FAKE_GO comes */
};

struct listener {
	struct listener *next;
	uint64_t id;
	uint16_t port;
	bool listening;
	struct wire_request accept[FAKE_PARKED];
	unsigned accepts;
	struct wire_request poll[COMMAND_SLOTS];
	unsigned polls;
	uint16_t offered[1024];
	unsigned offers;
};

/* A call that was answered "later". */
struct parked {
	struct wire_request request;
	struct wire_response outcome;
	uint32_t ticket;
	bool waits;
	bool done;
};

struct fake_backend {
	struct fake_backend_options options;
	pthread_t thread;
	pthread_mutex_t lock;
	char path[108];
	int listen_fd;
	int fd;
	int control; /* wakes the thread */
	bool stop;
	bool die;
	uint8_t *memory;
	size_t memory_size;
	struct local_event_page *events;
	int eventfd;
	int guest_eventfd;
	struct command_ring command;
	uint32_t command_port;
	struct stream *streams;
	struct listener *listeners;
	struct parked parked[FAKE_PARKED];
	uint32_t tickets;
	uint32_t collects[COMMAND_SLOTS]; /* req_id of each, oldest first */
	uint32_t collect_count;
	struct fake_backend_counts counts;
};

#endif
