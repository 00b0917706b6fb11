/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same work as plain.c, through libpvcalls-frontend. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pvcalls/frontend.h>

#include "load.h"

static const char usage[] =
	"ring out|in|rtt|connect|denied ADDRESS PORT AMOUNT runtime-dir=DIR name=GUEST [order=N] "
	"[in-flight=N] [destinations=N] [byte=1] [streams=N] [idle=N] [dark=N] [listeners=N] "
	"[hold=1]";

static struct pvcalls_front *front;

static void ring_fail(const char *what, ssize_t result)
{
	errno = result < 0 ? (int)-result : EPIPE;
	load_fail(what);
}

/* The n-th connection. */
static struct pvcalls_front_socket *ring_dial(const struct load_work *work, uint64_t n)
{
	struct sockaddr_in address = load_destination(work, n);
	struct pvcalls_front_socket *socket;
	int error = pvcalls_front_socket(front, work->order, &socket);

	if (!error)
		error = pvcalls_front_connect_wait(socket, &address, -1);
	if (error)
		ring_fail("connect", error);
	return socket;
}

/* Ends sockets and waits until the backend has taken all that was written. */
static void ring_hang_up(struct pvcalls_front_socket *const *sockets, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		pvcalls_front_release(sockets[i]);
	while (pvcalls_front_releasing(front) > 0)
		if (pvcalls_front_wait(front, -1) < 0)
			ring_fail("release", pvcalls_front_error(front));
}

static void ring_send_all(struct pvcalls_front_socket *socket, const void *bytes, size_t size)
{
	const char *next = bytes;

	while (size > 0) {
		ssize_t sent = pvcalls_front_write(socket, next, size);

		if (sent == -EAGAIN)
			pvcalls_front_wait_socket(socket, PVCALLS_FRONT_WRITABLE, -1);
		else if (sent < 0)
			ring_fail("write", sent);
		else {
			next += sent;
			size -= (size_t)sent;
		}
	}
}

static void ring_receive_all(struct pvcalls_front_socket *socket, void *bytes, size_t size)
{
	char *next = bytes;

	while (size > 0) {
		ssize_t got = pvcalls_front_read(socket, next, size);

		if (got == -EAGAIN)
			pvcalls_front_wait_socket(socket, PVCALLS_FRONT_READABLE, -1);
		else if (got <= 0)
			ring_fail("read", got);
		else {
			next += got;
			size -= (size_t)got;
		}
	}
}

static void ring_ask(struct pvcalls_front_socket *socket, enum load_kind kind,
		     const struct load_work *work)
{
	struct load_request request = {.kind = (uint8_t)kind,
				       .apart = work->streams > 1,
				       .bytes = work->amount / work->streams};

	ring_send_all(socket, &request, sizeof(request));
}

static void ring_run_out(const struct load_work *work)
{
	uint64_t wanted = load_hash_of(work->amount);
	struct pvcalls_front_socket *socket = ring_dial(work, 0);
	struct load_start start;
	uint64_t hash = 0;

	load_hold(work);
	ring_ask(socket, LOAD_SINK, work);
	start = load_start_now();
	for (uint64_t done = 0; done < work->amount;) {
		uint64_t left = work->amount - done;
		size_t part = left < LOAD_CHUNK ? left : LOAD_CHUNK;

		ring_send_all(socket, load_bytes(done), part);
		done += part;
	}
	ring_receive_all(socket, &hash, sizeof(hash));
	load_say_bulk(work->amount, &start, hash == wanted);
	load_hold(work);
	ring_hang_up(&socket, 1);
}

/* Hashes the bytes where they lie: at most a chunk, so that the backend soon gets room again. */
static size_t ring_hash_in_place(struct pvcalls_front_socket *socket, struct load_hash *hash)
{
	struct iovec span[2];
	ssize_t bytes = pvcalls_front_readable(socket, span);
	size_t taken;

	if (bytes == -EAGAIN)
		return 0;
	if (bytes <= 0)
		ring_fail("read", bytes);
	taken = span[0].iov_len < LOAD_CHUNK ? span[0].iov_len : LOAD_CHUNK;
	load_hash_feed(hash, span[0].iov_base, taken);
	pvcalls_front_consume(socket, taken);
	return taken;
}

static void ring_run_in(const struct load_work *work)
{
	uint64_t wanted = load_hash_of(work->amount);
	struct pvcalls_front_socket *socket = ring_dial(work, 0);
	struct load_start start;
	struct load_hash hash;

	load_hash_start(&hash);
	load_hold(work);
	start = load_start_now();
	ring_ask(socket, LOAD_SOURCE, work);
	for (uint64_t done = 0; done < work->amount;) {
		size_t got = ring_hash_in_place(socket, &hash);

		if (got == 0)
			pvcalls_front_wait_socket(socket, PVCALLS_FRONT_READABLE, -1);
		done += got;
	}
	load_say_bulk(work->amount, &start, load_hash_end(&hash) == wanted);
	load_hold(work);
	ring_hang_up(&socket, 1);
}

/* One of several streams at once. */
struct ring_stream {
	struct pvcalls_front_socket *socket;
	uint64_t done;
	struct load_hash hash; /* of what came in */
};

/* Moves a chunk of a stream, if it can be moved now; returns how many bytes that were. */
static size_t ring_stream_step(struct ring_stream *stream, uint64_t share, bool out)
{
	size_t most = share - stream->done < LOAD_CHUNK ? share - stream->done : LOAD_CHUNK;
	ssize_t moved;

	if (most == 0)
		return 0;
	if (out)
		moved = pvcalls_front_write(stream->socket, load_bytes(stream->done), most);
	else
		moved = (ssize_t)ring_hash_in_place(stream->socket, &stream->hash);
	if (moved == -EAGAIN)
		return 0;
	if (moved < 0)
		ring_fail("write", moved);
	stream->done += (uint64_t)moved;
	return (size_t)moved;
}

/* Whether all bytes of a stream came, unchanged, to whoever was to have them. */
static bool ring_stream_sound(struct ring_stream *stream, uint64_t wanted, bool out)
{
	uint64_t hash = 0;

	if (!out)
		return load_hash_end(&stream->hash) == wanted;
	ring_receive_all(stream->socket, &hash, sizeof(hash));
	return hash == wanted;
}

static void ring_run_streams(const struct load_work *work, bool out)
{
	struct pvcalls_front_socket *sockets[LOAD_STREAMS];
	struct ring_stream streams[LOAD_STREAMS] = {0};
	const uint64_t share = work->amount / work->streams;
	const uint64_t wanted = load_hash_of(share);
	struct load_start start;
	bool sound = true;

	for (uint32_t i = 0; i < work->streams; i++)
		sockets[i] = streams[i].socket = ring_dial(work, i);
	load_hold(work);
	start = load_start_now();
	for (uint32_t i = 0; i < work->streams; i++)
		ring_ask(sockets[i], out ? LOAD_SINK : LOAD_SOURCE, work);
	for (uint64_t done = 0; done < work->amount;) {
		size_t moved = 0;

		for (uint32_t i = 0; i < work->streams; i++)
			moved += ring_stream_step(&streams[i], share, out);
		if (moved == 0 && pvcalls_front_wait(front, -1) < 0)
			ring_fail("wait", pvcalls_front_error(front));
		done += moved;
	}
	for (uint32_t i = 0; i < work->streams; i++)
		sound &= ring_stream_sound(&streams[i], wanted, out);
	load_say_bulk(work->amount, &start, sound);
	load_hold(work);
	ring_hang_up(sockets, work->streams);
}

/* Connections that have had a byte there and back, and nothing since; returns an array of them. */
static struct pvcalls_front_socket **ring_dial_idle(const struct load_work *work)
{
	struct pvcalls_front_socket **sockets =
		calloc(work->idle + 1, sizeof(struct pvcalls_front_socket *));

	if (!sockets)
		load_fail("no memory for the idle connections");
	for (uint32_t i = 0; i < work->idle; i++) {
		uint8_t byte = LOAD_BYTE;

		sockets[i] = ring_dial(work, i);
		ring_send_all(sockets[i], &byte, 1);
		ring_receive_all(sockets[i], &byte, 1);
	}
	return sockets;
}

static void ring_run_rtt(const struct load_work *work)
{
	struct pvcalls_front_socket *socket = ring_dial(work, 0);
	struct pvcalls_front_socket **idle = ring_dial_idle(work);
	struct load_times times;
	bool sound = true;

	load_times_start(&times, work->amount);
	load_hold(work);
	ring_ask(socket, LOAD_ECHO, work);
	while (times.count < work->amount) {
		uint64_t start = load_now_ns();
		uint8_t byte = (uint8_t)times.count;
		uint8_t back = 0;

		ring_send_all(socket, &byte, 1);
		ring_receive_all(socket, &back, 1);
		sound &= back == byte;
		times.ns[times.count++] = load_now_ns() - start;
	}
	load_say_times(&times, sound);
	load_hold(work);
	ring_hang_up(&socket, 1);
	ring_hang_up(idle, work->idle);
	free(idle);
}

/* Connections in flight. */
struct crowd {
	const struct load_work *work;
	uint64_t started;
	uint64_t finished;
	uint64_t failed;
	struct pvcalls_front_socket *last; /* always has a byte, as the plain client's last one */
	int wanted;                        /* what connect must be answered */
};

static void ring_connected(struct pvcalls_front_socket *socket, int result, void *context);

static void ring_crowd_start(struct crowd *crowd)
{
	struct sockaddr_in address = load_destination(crowd->work, crowd->started++);
	struct pvcalls_front_socket *socket;
	int error = pvcalls_front_socket(front, crowd->work->order, &socket);

	if (!error && crowd->started == crowd->work->amount)
		crowd->last = socket;
	if (!error)
		error = pvcalls_front_connect(socket, &address, ring_connected, crowd);
	if (error)
		ring_fail("connect", error);
}

static void ring_crowd_end(struct crowd *crowd, struct pvcalls_front_socket *socket)
{
	pvcalls_front_release(socket);
	crowd->finished++;
	if (crowd->started < crowd->work->amount)
		ring_crowd_start(crowd);
}

static void ring_byte_came(struct pvcalls_front_socket *socket, void *owner)
{
	struct crowd *crowd = owner;
	uint8_t back = 0;
	ssize_t got = pvcalls_front_read(socket, &back, 1);

	if (got == -EAGAIN)
		return;
	crowd->failed += got != 1 || back != LOAD_BYTE;
	ring_crowd_end(crowd, socket);
}

static void ring_connected(struct pvcalls_front_socket *socket, int result, void *context)
{
	struct crowd *crowd = context;
	const uint8_t byte = LOAD_BYTE;

	crowd->failed += result != crowd->wanted;
	if (result == 0 && (crowd->work->byte || socket == crowd->last)) {
		pvcalls_front_watch(socket, ring_byte_came, crowd);
		pvcalls_front_write(socket, &byte, 1);
		return;
	}
	ring_crowd_end(crowd, socket);
}

static void ring_ended_early(struct pvcalls_front_socket *socket, int result, void *context)
{
	(void)socket;
	(void)context;
	ring_fail("what was to wait has ended", result);
}

static void ring_listen(void)
{
	const struct sockaddr_in any = {.sin_family = AF_INET,
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct pvcalls_front_socket *socket;
	int error = pvcalls_front_socket(front, 1, &socket);

	if (!error)
		error = pvcalls_front_bind_wait(socket, &any, -1);
	if (!error)
		error = pvcalls_front_listen_wait(socket, 1, -1);
	if (!error)
		error = pvcalls_front_accept(socket, 1, ring_ended_early, NULL);
	if (error)
		ring_fail("listen", error);
}

/* Connects and listeners that wait until the end. */
static void ring_wait_for_nobody(const struct load_work *work)
{
	struct sockaddr_in dark = work->server;
	struct pvcalls_front_socket *socket;

	dark.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	dark.sin_port = htons((uint16_t)(ntohs(dark.sin_port) + 1));
	for (uint32_t i = 0; i < work->listeners; i++)
		ring_listen();
	for (uint32_t i = 0; i < work->dark; i++) {
		int error = pvcalls_front_socket(front, 1, &socket);

		if (!error)
			error = pvcalls_front_connect(socket, &dark, ring_ended_early, NULL);
		if (error)
			ring_fail("connect", error);
	}
	if (!work->dark)
		return;
	/* Connects go out in their order: when this one is answered, all others were asked for. */
	socket = ring_dial(work, 0);
	ring_hang_up(&socket, 1);
}

static void ring_run_connect(const struct load_work *work, int wanted)
{
	struct crowd crowd = {.work = work, .wanted = wanted};
	uint64_t start;

	ring_wait_for_nobody(work);
	load_hold(work);
	start = load_now_ns();
	pvcalls_front_cork(front);
	while (crowd.started < work->in_flight && crowd.started < work->amount)
		ring_crowd_start(&crowd);
	pvcalls_front_uncork(front);
	while (crowd.finished < work->amount || pvcalls_front_releasing(front) > 0)
		if (pvcalls_front_wait(front, -1) < 0)
			ring_fail("wait", pvcalls_front_error(front));
	load_say_connects(crowd.finished, crowd.failed, load_now_ns() - start);
	load_hold(work);
}

int main(int argc, char **argv)
{
	const struct load_work work = load_parse(argc, argv, usage);
	const struct pvcalls_front_options options = {
		.size = sizeof(options), .runtime_dir = work.runtime_dir, .name = work.name};
	char why[PVCALLS_FRONT_WHY_MAX];

	if (pvcalls_front_open(&front, &options, why) < 0) {
		errno = 0;
		load_fail(why);
	}
	if (work.streams > 1)
		ring_run_streams(&work, strcmp(work.verb, "out") == 0);
	else if (strcmp(work.verb, "out") == 0)
		ring_run_out(&work);
	else if (strcmp(work.verb, "in") == 0)
		ring_run_in(&work);
	else if (strcmp(work.verb, "rtt") == 0)
		ring_run_rtt(&work);
	else if (strcmp(work.verb, "connect") == 0)
		ring_run_connect(&work, 0);
	else if (strcmp(work.verb, "denied") == 0)
		ring_run_connect(&work, -EACCES);
	else
		load_fail(usage);
	pvcalls_front_close(front, 5000);
	return 0;
}
