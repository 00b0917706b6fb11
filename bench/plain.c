/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plain TCP: the server that every client of the benchmark talks to, and the client that the
 * library is compared with. The client is an ordinary program, so it is also what runs inside
 * pvcalls-run, pasta and the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define EVENTS  64
#define BACKLOG 1024
#define ACCEPTS 16 /* in a row: the connections that are there wait meanwhile */
#define SAMPLE  64u

static const char usage[] =
	"plain serve ADDRESS PORT 1 | plain out|in|rtt|connect|dial ADDRESS PORT AMOUNT "
	"[in-flight=N] [destinations=N] [byte=1] [sample=1]";

static uint8_t buffer[LOAD_CHUNK];

static void plain_no_delay(int fd)
{
	const int on = 1;

	/* Both sides of a comparison send at once. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int plain_dial(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		load_fail("connect");
	plain_no_delay(fd);
	return fd;
}

static bool plain_send_all(int fd, const void *bytes, size_t size)
{
	const char *next = bytes;

	while (size > 0) {
		ssize_t sent = send(fd, next, size, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		next += sent;
		size -= (size_t)sent;
	}
	return true;
}

static bool plain_receive_all(int fd, void *bytes, size_t size)
{
	return size == 0 || recv(fd, bytes, size, MSG_WAITALL) == (ssize_t)size;
}

/* Sends bytes of the pattern. */
static bool plain_pour(int fd, uint64_t bytes)
{
	for (uint64_t done = 0; done < bytes;) {
		uint64_t part = bytes - done < LOAD_CHUNK ? bytes - done : LOAD_CHUNK;

		if (!plain_send_all(fd, load_bytes(done), part))
			return false;
		done += part;
	}
	return true;
}

/* Whether the first and the last of some bytes are those of the pattern at this offset. */
static bool plain_sample(const uint8_t *bytes, size_t size, uint64_t offset)
{
	size_t part = size < SAMPLE ? size : SAMPLE;
	size_t last = size - part;

	return memcmp(bytes, load_bytes(offset), part) == 0 &&
	       memcmp(bytes + last, load_bytes(offset + last), part) == 0;
}

/* Receives bytes and looks at some of each chunk; how many came, or 0 if one was wrong. */
static uint64_t plain_sip(int fd, uint64_t bytes)
{
	uint64_t done = 0;

	while (done < bytes) {
		size_t most = bytes - done < LOAD_CHUNK ? bytes - done : LOAD_CHUNK;
		ssize_t got = recv(fd, buffer, most, 0);

		if (got <= 0 || !plain_sample(buffer, (size_t)got, done))
			return 0;
		done += (uint64_t)got;
	}
	return done;
}

/* Receives bytes; their hash, or 0 if they did not all come. */
static uint64_t plain_drink(int fd, uint64_t bytes)
{
	struct load_hash hash;

	load_hash_start(&hash);
	while (bytes > 0) {
		size_t most = bytes < LOAD_CHUNK ? bytes : LOAD_CHUNK;
		ssize_t got = recv(fd, buffer, most, 0);

		if (got <= 0)
			return 0;
		load_hash_feed(&hash, buffer, (size_t)got);
		bytes -= (uint64_t)got;
	}
	return load_hash_end(&hash);
}

/* --- the server --- */

/* Serves a request to its end; nothing else happens meanwhile, as in iperf3. */
static void plain_serve_request(int fd, uint8_t kind)
{
	struct load_request request = {.kind = kind};
	uint64_t hash;
	uint8_t byte;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	plain_no_delay(fd);
	if (!plain_receive_all(fd, (uint8_t *)&request + 1, sizeof(request) - 1))
		return;
	switch (kind) {
	case LOAD_SINK:
		hash = request.sample ? plain_sip(fd, request.bytes)
				      : plain_drink(fd, request.bytes);
		plain_send_all(fd, &hash, sizeof(hash));
		break;
	case LOAD_SOURCE:
		plain_pour(fd, request.bytes);
		break;
	case LOAD_ECHO:
		while (request.bytes-- > 0 && recv(fd, &byte, 1, 0) == 1)
			send(fd, &byte, 1, MSG_NOSIGNAL);
		break;
	default:
		break;
	}
}

/* A connection has its first byte, or its end: only its client closes it first. */
static void plain_serve_connection(int fd)
{
	uint8_t kind;
	ssize_t got = recv(fd, &kind, 1, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got == 1 && kind == LOAD_BYTE) {
		send(fd, &kind, 1, MSG_NOSIGNAL);
		return;
	}
	if (got == 1)
		plain_serve_request(fd, kind);
	close(fd);
}

static void plain_accept_some(int listener, int epoll)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};

	for (int i = 0; i < ACCEPTS; i++) {
		event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (event.data.fd < 0)
			return;
		epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
	}
}

static void plain_serve(const struct load_work *work)
{
	const int on = 1;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
	struct epoll_event events[EVENTS];

	alarm(0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (const struct sockaddr *)&work->server, sizeof(work->server)) < 0 ||
	    listen(listener, BACKLOG) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
		load_fail("the server can't listen");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener)
				plain_accept_some(listener, epoll);
			else
				plain_serve_connection(events[i].data.fd);
		}
	}
}

/* --- the client --- */

static void plain_ask(int fd, enum load_kind kind, const struct load_work *work)
{
	struct load_request request = {
		.kind = (uint8_t)kind, .sample = work->sample, .bytes = work->amount};

	if (!plain_send_all(fd, &request, sizeof(request)))
		load_fail("send");
}

static void plain_run_out(const struct load_work *work)
{
	uint64_t wanted = work->sample ? work->amount : load_hash_of(work->amount);
	uint64_t hash = 0;
	int fd = plain_dial(&work->server);
	uint64_t start;

	plain_ask(fd, LOAD_SINK, work);
	start = load_now_ns();
	if (!plain_pour(fd, work->amount) || !plain_receive_all(fd, &hash, sizeof(hash)))
		load_fail("the connection broke");
	load_say_bulk(work->amount, load_now_ns() - start, hash == wanted);
	close(fd);
}

static void plain_run_in(const struct load_work *work)
{
	uint64_t wanted = work->sample ? work->amount : load_hash_of(work->amount);
	int fd = plain_dial(&work->server);
	uint64_t start;
	uint64_t hash;

	start = load_now_ns();
	plain_ask(fd, LOAD_SOURCE, work);
	hash = work->sample ? plain_sip(fd, work->amount) : plain_drink(fd, work->amount);
	load_say_bulk(work->amount, load_now_ns() - start, hash == wanted);
	close(fd);
}

static void plain_run_rtt(const struct load_work *work)
{
	struct load_times times;
	int fd = plain_dial(&work->server);
	bool sound = true;

	load_times_start(&times, work->amount);
	plain_ask(fd, LOAD_ECHO, work);
	while (times.count < work->amount) {
		uint64_t start = load_now_ns();
		uint8_t byte = (uint8_t)times.count;
		uint8_t back = 0;

		if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &back, 1, 0) != 1)
			load_fail("the connection broke");
		sound &= back == byte;
		times.ns[times.count++] = load_now_ns() - start;
	}
	load_say_times(&times, sound);
	close(fd);
}

/*
 * One connection after the other, as most programs make them: without epoll or a byte. The last one
 * has a byte, so that the server has taken and ended the others before the time is over.
 */
static void plain_run_dial(const struct load_work *work)
{
	uint64_t start = load_now_ns();
	uint64_t failed = 0;

	for (uint64_t i = 0; i < work->amount; i++) {
		struct sockaddr_in address = load_destination(work, i);
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		uint8_t byte = LOAD_BYTE;

		if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
			load_fail("connect");
		if (i + 1 == work->amount)
			failed += !plain_send_all(fd, &byte, 1) || !plain_receive_all(fd, &byte, 1);
		close(fd);
	}
	load_say_connects(work->amount, failed, load_now_ns() - start);
}

/* Connections in flight: each is connected, sends its byte if asked to, and is closed. */
struct crowd {
	const struct load_work *work;
	int epoll;
	int last; /* the last one that was started: it always has a byte, see plain_run_dial() */
	uint64_t started;
	uint64_t finished;
	uint64_t failed;
};

static void plain_crowd_start(struct crowd *crowd)
{
	struct sockaddr_in address = load_destination(crowd->work, crowd->started++);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};

	if (fd < 0)
		load_fail("socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS)
		load_fail("connect");
	if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		load_fail("epoll_ctl");
	if (crowd->started == crowd->work->amount)
		crowd->last = fd;
}

/* Returns whether the connection is over. */
static bool plain_crowd_step(struct crowd *crowd, const struct epoll_event *event)
{
	struct epoll_event next = {.events = EPOLLIN, .data.fd = event->data.fd};
	const bool talks = crowd->work->byte || event->data.fd == crowd->last;
	const uint8_t byte = LOAD_BYTE;
	uint8_t back = 0;
	socklen_t size = sizeof(int);
	int error = 0;

	if (event->events & EPOLLIN) {
		crowd->failed += recv(event->data.fd, &back, 1, 0) != 1 || back != byte;
		return true;
	}
	getsockopt(event->data.fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (!error && talks && send(event->data.fd, &byte, 1, MSG_NOSIGNAL) == 1 &&
	    epoll_ctl(crowd->epoll, EPOLL_CTL_MOD, event->data.fd, &next) == 0)
		return false;
	crowd->failed += error || talks;
	return true;
}

static void plain_run_connect(const struct load_work *work)
{
	struct crowd crowd = {.work = work, .epoll = epoll_create1(EPOLL_CLOEXEC), .last = -1};
	struct epoll_event events[EVENTS];
	uint64_t start = load_now_ns();

	while (crowd.started < work->in_flight && crowd.started < work->amount)
		plain_crowd_start(&crowd);
	while (crowd.finished < work->amount) {
		int count = epoll_wait(crowd.epoll, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			if (!plain_crowd_step(&crowd, &events[i]))
				continue;
			close(events[i].data.fd);
			crowd.finished++;
			if (crowd.started < work->amount)
				plain_crowd_start(&crowd);
		}
	}
	load_say_connects(crowd.finished, crowd.failed, load_now_ns() - start);
}

int main(int argc, char **argv)
{
	const struct load_work work = load_parse(argc, argv, usage);

	load_bytes(0); /* made now, not while somebody measures */
	if (strcmp(work.verb, "serve") == 0)
		plain_serve(&work);
	else if (strcmp(work.verb, "out") == 0)
		plain_run_out(&work);
	else if (strcmp(work.verb, "in") == 0)
		plain_run_in(&work);
	else if (strcmp(work.verb, "rtt") == 0)
		plain_run_rtt(&work);
	else if (strcmp(work.verb, "connect") == 0)
		plain_run_connect(&work);
	else if (strcmp(work.verb, "dial") == 0)
		plain_run_dial(&work);
	else
		load_fail(usage);
	return 0;
}
