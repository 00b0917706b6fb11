/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plain TCP: the server that every client of the benchmark talks to, and the client that the
 * library is compared with. The client is an ordinary program, so it is also what runs inside
 * pvcalls-run, pasta and the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define EVENTS  64
#define BACKLOG 1024
#define ACCEPTS 16 /* in a row: the connections that are there wait meanwhile */
#define SAMPLE  64u

static const char usage[] =
	"plain serve ADDRESS PORT 1 | plain out|in|rtt|connect|dial ADDRESS PORT AMOUNT "
	"[in-flight=N] [destinations=N] [byte=1] [sample=1] [streams=N] [idle=N] [hold=1]";

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

/* Serves a request to its end. */
static void plain_serve_bytes(int fd, const struct load_request *request)
{
	uint64_t hash;
	uint8_t byte;

	switch (request->kind) {
	case LOAD_SINK:
		hash = request->sample ? plain_sip(fd, request->bytes)
				       : plain_drink(fd, request->bytes);
		plain_send_all(fd, &hash, sizeof(hash));
		break;
	case LOAD_SOURCE:
		plain_pour(fd, request->bytes);
		break;
	case LOAD_ECHO:
		for (uint64_t i = 0; i < request->bytes && recv(fd, &byte, 1, 0) == 1; i++)
			send(fd, &byte, 1, MSG_NOSIGNAL);
		break;
	default:
		break;
	}
}

/* In a process of its own, which ends with it. */
static void plain_serve_apart(int fd, const struct load_request *request)
{
	if (fork() != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(LOAD_SECONDS);
	plain_serve_bytes(fd, request);
	_exit(0);
}

/* Nothing else happens while a request is served, as in iperf3, unless it wants to be apart. */
static void plain_serve_request(int fd, uint8_t kind)
{
	struct load_request request = {.kind = kind};

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	plain_no_delay(fd);
	if (!plain_receive_all(fd, (uint8_t *)&request + 1, sizeof(request) - 1))
		return;
	if (request.apart)
		plain_serve_apart(fd, &request);
	else
		plain_serve_bytes(fd, &request);
}

/* A connection has its first byte, or its end: only its client closes it first. */
static void plain_serve_connection(int fd, int epoll)
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
	/* Closing alone leaves it watched, if a process that serves it still has it open. */
	epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
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
	signal(SIGCHLD, SIG_IGN); /* nobody waits for who serves a request apart */
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
				plain_serve_connection(events[i].data.fd, epoll);
		}
	}
}

/* --- the client --- */

static void plain_ask(int fd, enum load_kind kind, const struct load_work *work)
{
	struct load_request request = {.kind = (uint8_t)kind,
				       .sample = work->sample,
				       .apart = work->streams > 1,
				       .bytes = work->amount / work->streams};

	if (!plain_send_all(fd, &request, sizeof(request)))
		load_fail("send");
}

static void plain_run_out(const struct load_work *work)
{
	uint64_t wanted = work->sample ? work->amount : load_hash_of(work->amount);
	uint64_t hash = 0;
	int fd = plain_dial(&work->server);
	struct load_start start;

	load_hold(work);
	plain_ask(fd, LOAD_SINK, work);
	start = load_start_now();
	if (!plain_pour(fd, work->amount) || !plain_receive_all(fd, &hash, sizeof(hash)))
		load_fail("the connection broke");
	load_say_bulk(work->amount, &start, hash == wanted);
	load_hold(work);
	close(fd);
}

static void plain_run_in(const struct load_work *work)
{
	uint64_t wanted = work->sample ? work->amount : load_hash_of(work->amount);
	int fd = plain_dial(&work->server);
	struct load_start start;
	uint64_t hash;

	load_hold(work);
	start = load_start_now();
	plain_ask(fd, LOAD_SOURCE, work);
	hash = work->sample ? plain_sip(fd, work->amount) : plain_drink(fd, work->amount);
	load_say_bulk(work->amount, &start, hash == wanted);
	load_hold(work);
	close(fd);
}

/* One of several streams at once. */
struct plain_stream {
	int fd;
	uint64_t done;
	struct load_hash hash; /* of what came in */
};

/* Moves a chunk of a stream, if it can be moved now; returns how many bytes that were. */
static size_t plain_stream_step(struct plain_stream *stream, uint64_t share, bool out)
{
	size_t most = share - stream->done < LOAD_CHUNK ? share - stream->done : LOAD_CHUNK;
	ssize_t moved;

	if (most == 0)
		return 0;
	if (out)
		moved = send(stream->fd, load_bytes(stream->done), most,
			     MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		moved = recv(stream->fd, buffer, most, MSG_DONTWAIT);
	if (moved < 0 && errno == EAGAIN)
		return 0;
	if (moved <= 0)
		load_fail("a connection broke");
	if (!out)
		load_hash_feed(&stream->hash, buffer, (size_t)moved);
	stream->done += (uint64_t)moved;
	return (size_t)moved;
}

static void plain_streams_wait(const struct plain_stream *streams, uint32_t count, uint64_t share,
			       bool out)
{
	struct pollfd polled[LOAD_STREAMS];

	for (uint32_t i = 0; i < count; i++)
		polled[i] = (struct pollfd){.fd = streams[i].done < share ? streams[i].fd : -1,
					    .events = out ? POLLOUT : POLLIN};
	poll(polled, count, -1);
}

/* Whether all bytes of a stream came, unchanged, to whoever was to have them. */
static bool plain_stream_sound(struct plain_stream *stream, uint64_t wanted, bool out)
{
	uint64_t hash;

	if (!out)
		return load_hash_end(&stream->hash) == wanted;
	return plain_receive_all(stream->fd, &hash, sizeof(hash)) && hash == wanted;
}

static void plain_run_streams(const struct load_work *work, bool out)
{
	struct plain_stream streams[LOAD_STREAMS] = {0};
	const uint64_t share = work->amount / work->streams;
	const uint64_t wanted = load_hash_of(share);
	struct load_start start;
	bool sound = true;

	for (uint32_t i = 0; i < work->streams; i++)
		streams[i].fd = plain_dial(&work->server);
	load_hold(work);
	start = load_start_now();
	for (uint32_t i = 0; i < work->streams; i++)
		plain_ask(streams[i].fd, out ? LOAD_SINK : LOAD_SOURCE, work);
	for (uint64_t done = 0; done < work->amount;) {
		size_t moved = 0;

		for (uint32_t i = 0; i < work->streams; i++)
			moved += plain_stream_step(&streams[i], share, out);
		if (moved == 0)
			plain_streams_wait(streams, work->streams, share, out);
		done += moved;
	}
	for (uint32_t i = 0; i < work->streams; i++)
		sound &= plain_stream_sound(&streams[i], wanted, out);
	load_say_bulk(work->amount, &start, sound);
	load_hold(work);
}

/* Connections that have had a byte there and back, and nothing since; the end closes them. */
static void plain_dial_idle(const struct load_work *work)
{
	for (uint32_t i = 0; i < work->idle; i++) {
		struct sockaddr_in address = load_destination(work, i);
		int fd = plain_dial(&address);
		uint8_t byte = LOAD_BYTE;

		if (!plain_send_all(fd, &byte, 1) || !plain_receive_all(fd, &byte, 1))
			load_fail("an idle connection broke");
	}
}

static void plain_run_rtt(const struct load_work *work)
{
	struct load_times times;
	int fd = plain_dial(&work->server);
	bool sound = true;

	load_times_start(&times, work->amount);
	plain_dial_idle(work);
	load_hold(work);
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
	load_hold(work);
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
	else if (work.streams > 1)
		plain_run_streams(&work, strcmp(work.verb, "out") == 0);
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
