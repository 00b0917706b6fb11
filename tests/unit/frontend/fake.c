/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ring/command_ring.h"
#include "ring/data_ring.h"
#include "ring/shared.h"
#include "transport/local_wire.h"

#define STREAMS       4096
#define CHARGEN_BYTES (1u << 20)
#define SLOW_NS       (100 * NS_PER_MS)

struct stream {
	struct stream *next;
	uint64_t id;
	uint64_t answer_ns; /* CONNECT: when to answer; 0: never */
	struct wire_request request;
	struct data_ring ring;
	uint32_t port;
	uint32_t sent;
	uint16_t mode;
	bool connected;
};

struct listener {
	struct listener *next;
	uint64_t id;
	uint16_t port;
	bool listening;
	struct wire_request accept[COMMAND_SLOTS];
	unsigned accepts;
	struct wire_request poll[COMMAND_SLOTS];
	unsigned polls;
	uint16_t offered[1024];
	unsigned offers;
};

struct fake {
	struct fake_options options;
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
	int bell;
	int guest_bell;
	struct command_ring command;
	uint32_t command_port;
	struct stream *streams;
	struct listener *listeners;
	struct fake_counts counts;
};

static void *page_of(struct fake *fake, uint32_t ref)
{
	assert(ref > 0 && ref < fake->memory_size / RING_PAGE_SIZE);
	return fake->memory + (size_t)ref * RING_PAGE_SIZE;
}

static void notify(struct fake *fake, uint32_t port)
{
	struct local_events *events = &fake->events->to_frontend;
	const uint64_t one = 1;

	__atomic_fetch_or(&events->word[port / 64], 1ull << port % 64, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&events->selector[port / 4096], 1ull << port / 64 % 64, __ATOMIC_SEQ_CST);
	if (__atomic_exchange_n(&events->asleep, 0, __ATOMIC_SEQ_CST))
		(void)!write(fake->guest_bell, &one, sizeof(one));
}

static void say(struct fake *fake, uint32_t kind, uint32_t value, const char *text, const int *fds,
		size_t count)
{
	struct local_message message = {.kind = kind, .value = value};

	snprintf(message.text, sizeof(message.text), "%s", text);
	(void)fd_send(fake->fd, &message,
		      offsetof(struct local_message, text) + strlen(message.text) + 1, fds, count);
}

static void answer(struct fake *fake, const struct wire_request *request, int ret, uint32_t pad)
{
	struct wire_response response = {.req_id = request->req_id,
					 .cmd = request->cmd,
					 .ret = ret,
					 .pad = pad,
					 .id = request->id};

	if (fake->options.bad_response)
		response.req_id ^= 0x40;
	command_ring_push(&fake->command, &response);
	if (command_ring_publish(&fake->command))
		notify(fake, fake->command_port);
}

static void attach_ring(struct fake *fake, struct stream *stream, uint32_t ref, uint32_t port)
{
	struct indexes_page *indexes = page_of(fake, ref);
	struct wire_names names = {.local_addr = htonl(INADDR_LOOPBACK),
				   .peer_addr = htonl(INADDR_LOOPBACK + 1),
				   .local_port = htons(1234),
				   .peer_port = htons(stream->mode)};
	uint32_t refs[DATA_REFS_MAX];
	uint32_t order;
	int count = data_ring_read_refs(indexes, DATA_ORDER_MAX, ref, refs, &order);
	int i;

	assert(count > 0);
	for (i = 1; i < count; i++)
		assert(refs[i] == refs[0] + (uint32_t)i);
	data_ring_attach(&stream->ring, indexes, page_of(fake, refs[0]), order);
	stream->port = port;
	if (!fake->options.no_names)
		data_ring_names(&stream->ring, &names);
	stream->connected = true;
}

static size_t span_copy(const struct ring_span *to, const struct ring_span *from, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i++) {
		size_t a = i < to->part[0].iov_len ? 0 : to->part[0].iov_len;
		size_t b = i < from->part[0].iov_len ? 0 : from->part[0].iov_len;

		((uint8_t *)to->part[a > 0].iov_base)[i - a] =
			((const uint8_t *)from->part[b > 0].iov_base)[i - b];
	}
	return bytes;
}

static bool serve_out(struct fake *fake, struct stream *stream)
{
	struct ring_span out;
	struct ring_span in;
	ssize_t bytes = data_ring_out_bytes(&stream->ring, SIZE_MAX, &out);
	bool wake = false;

	assert(bytes >= 0);
	if (bytes == 0 || stream->mode == FAKE_MUTE)
		return false;
	if (stream->mode == FAKE_RESET) {
		data_ring_in_end(&stream->ring, -ECONNRESET);
		data_ring_out_end(&stream->ring, -ECONNRESET);
		stream->mode = FAKE_MUTE;
		return true;
	}
	if (stream->mode == FAKE_ECHO || stream->mode == FAKE_SLOW) {
		ssize_t room = data_ring_in_room(&stream->ring, (size_t)bytes, &in);

		assert(room >= 0);
		if (room == 0)
			return false;
		bytes = (ssize_t)span_copy(&in, &out, (size_t)room);
		wake = data_ring_in_commit(&stream->ring, (size_t)bytes);
	}
	fake->counts.bytes += (uint64_t)bytes;
	return data_ring_out_commit(&stream->ring, (size_t)bytes) || wake;
}

static bool serve_chargen(struct stream *stream, const char *text, uint32_t total)
{
	struct ring_span in;
	ssize_t room = data_ring_in_room(&stream->ring, total - stream->sent, &in);
	size_t i;
	bool wake;

	assert(room >= 0);
	if (room == 0)
		return false;
	for (i = 0; i < (size_t)room; i++) {
		uint8_t *at = i < in.part[0].iov_len
				      ? (uint8_t *)in.part[0].iov_base + i
				      : (uint8_t *)in.part[1].iov_base + i - in.part[0].iov_len;

		*at = text ? (uint8_t)text[stream->sent + i]
			   : (uint8_t)((stream->sent + i) * 2654435761u >> 24);
	}
	stream->sent += (uint32_t)room;
	wake = data_ring_in_commit(&stream->ring, (size_t)room);
	if (stream->sent == total) {
		data_ring_in_end(&stream->ring, -ENOTCONN);
		wake = true;
	}
	return wake;
}

static void serve_stream(struct fake *fake, struct stream *stream)
{
	bool wake = false;

	if (!stream->connected)
		return;
	if (stream->mode == FAKE_CHARGEN && stream->sent < CHARGEN_BYTES)
		wake = serve_chargen(stream, NULL, CHARGEN_BYTES);
	if (stream->mode == FAKE_HELLO && stream->sent < 6)
		wake = serve_chargen(stream, "hello\n", 6);
	while (serve_out(fake, stream))
		wake = true;
	if (wake)
		notify(fake, stream->port);
}

static void break_ring(struct fake *fake, struct stream *stream)
{
	if (stream->mode == FAKE_BAD_IN)
		shared_store(&stream->ring.indexes->in_prod, stream->ring.size + 1);
	if (stream->mode == FAKE_BAD_OUT)
		shared_store(&stream->ring.indexes->out_cons, 5);
	notify(fake, stream->port);
}

static void finish_connect(struct fake *fake, struct stream *stream)
{
	const struct wire_request *request = &stream->request;

	stream->answer_ns = 0;
	if (stream->mode == FAKE_SLOW_REFUSE) {
		answer(fake, request, -ECONNREFUSED, 0);
		return;
	}
	attach_ring(fake, stream, request->u.connect.ref, request->u.connect.evtchn);
	fake->counts.open++;
	answer(fake, request, 0, 0);
	if (stream->mode == FAKE_BAD_IN || stream->mode == FAKE_BAD_OUT)
		break_ring(fake, stream);
}

static struct stream *new_stream(struct fake *fake, uint64_t id, uint16_t mode)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	assert(stream);
	stream->id = id;
	stream->mode = mode;
	stream->next = fake->streams;
	fake->streams = stream;
	return stream;
}

static void do_connect(struct fake *fake, const struct wire_request *request)
{
	uint16_t mode = (uint16_t)(request->u.connect.addr[2] << 8 | request->u.connect.addr[3]);
	struct stream *stream;

	fake->counts.connects++;
	if (mode >= FAKE_ERRNO) {
		answer(fake, request, -(mode - FAKE_ERRNO), 0);
		return;
	}
	stream = new_stream(fake, request->id, mode);
	stream->request = *request;
	if (mode == FAKE_SLOW || mode == FAKE_SLOW_REFUSE)
		stream->answer_ns = clock_monotonic_ns() + SLOW_NS;
	else if (mode != FAKE_HANG)
		finish_connect(fake, stream);
}

static void match_accepts(struct fake *fake, struct listener *listener)
{
	while (listener->offers > 0 && listener->accepts > 0) {
		struct wire_request request = listener->accept[0];
		struct stream *stream =
			new_stream(fake, request.u.accept.id_new, listener->offered[0]);

		memmove(listener->accept, listener->accept + 1,
			--listener->accepts * sizeof(request));
		memmove(listener->offered, listener->offered + 1,
			--listener->offers * sizeof(uint16_t));
		attach_ring(fake, stream, request.u.accept.ref, request.u.accept.evtchn);
		fake->counts.open++;
		answer(fake, &request, 0, 0);
	}
	while (listener->offers > 0 && listener->polls > 0)
		answer(fake, &listener->poll[--listener->polls], 0, 0);
}

static void do_bind(struct fake *fake, const struct wire_request *request)
{
	uint16_t port = (uint16_t)(request->u.bind.addr[2] << 8 | request->u.bind.addr[3]);
	struct listener *listener;

	fake->counts.binds++;
	if (port == 81) {
		answer(fake, request, -EACCES, 0);
		return;
	}
	listener = calloc(1, sizeof(*listener));
	assert(listener);
	listener->id = request->id;
	listener->port = port ? port : 40000;
	listener->next = fake->listeners;
	fake->listeners = listener;
	answer(fake, request, 0, 0);
}

static struct listener *listener_by_id(struct fake *fake, uint64_t id)
{
	struct listener *listener;

	for (listener = fake->listeners; listener; listener = listener->next)
		if (listener->id == id)
			return listener;
	return NULL;
}

static void do_listener(struct fake *fake, const struct wire_request *request)
{
	struct listener *listener = listener_by_id(fake, request->id);

	if (!listener) {
		answer(fake, request, -EINVAL, 0);
	} else if (request->cmd == WIRE_LISTEN) {
		fake->counts.listens++;
		listener->listening = true;
		answer(fake, request, 0, fake->options.no_names ? 0 : listener->port);
	} else if (request->cmd == WIRE_ACCEPT) {
		fake->counts.accepts++;
		listener->accept[listener->accepts++] = *request;
		match_accepts(fake, listener);
	} else {
		fake->counts.polls++;
		listener->poll[listener->polls++] = *request;
		match_accepts(fake, listener);
	}
}

static void release_listener(struct fake *fake, uint64_t id)
{
	struct listener **at = &fake->listeners;
	struct listener *listener;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	listener = *at;
	if (!listener)
		return;
	while (listener->accepts > 0)
		answer(fake, &listener->accept[--listener->accepts], -ECANCELED, 0);
	while (listener->polls > 0)
		answer(fake, &listener->poll[--listener->polls], -ECANCELED, 0);
	*at = listener->next;
	free(listener);
}

static void do_release(struct fake *fake, const struct wire_request *request)
{
	struct stream **at = &fake->streams;
	struct stream *stream;

	fake->counts.releases++;
	release_listener(fake, request->id);
	while (*at && (*at)->id != request->id)
		at = &(*at)->next;
	stream = *at;
	if (stream) {
		serve_stream(fake, stream);
		if (!stream->connected && (stream->mode == FAKE_HANG || stream->answer_ns))
			answer(fake, &stream->request, -ECANCELED, 0);
		fake->counts.open -= stream->connected;
		*at = stream->next;
		free(stream);
	}
	answer(fake, request, 0, 0);
}

static void do_request(struct fake *fake, const struct wire_request *request)
{
	switch (request->cmd) {
	case WIRE_SOCKET:
		fake->counts.sockets++;
		answer(fake, request, 0, 0);
		break;
	case WIRE_CONNECT:
		do_connect(fake, request);
		break;
	case WIRE_RELEASE:
		do_release(fake, request);
		break;
	case WIRE_BIND:
		do_bind(fake, request);
		break;
	default:
		do_listener(fake, request);
		break;
	}
}

static void serve(struct fake *fake)
{
	struct wire_request request;
	struct stream *stream;
	uint64_t now = clock_monotonic_ns();

	if (!fake->command.page)
		return;
	do {
		while (command_ring_take(&fake->command, &request) > 0)
			do_request(fake, &request);
	} while (command_ring_final_check(&fake->command));
	for (stream = fake->streams; stream; stream = stream->next) {
		if (stream->answer_ns && stream->answer_ns <= now)
			finish_connect(fake, stream);
		serve_stream(fake, stream);
	}
}

static void take_nodes(struct fake *fake, char *text)
{
	char *rest = NULL;
	char *line;
	uint32_t ref = 0;

	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		sscanf(line, "state=%u", &fake->counts.state);
		sscanf(line, "ring-ref=%u", &ref);
		sscanf(line, "port=%u", &fake->command_port);
	}
	if (fake->counts.state == 3) {
		command_ring_attach(&fake->command, page_of(fake, ref));
		if (!fake->options.never_connected)
			say(fake, LOCAL_NODES, 0, "state=4\n", NULL, 0);
	}
	if (fake->counts.state == 5) {
		fake->command.page = NULL;
		say(fake, LOCAL_NODES, 0, "state=5\n", NULL, 0);
	}
}

static void welcome(struct fake *fake, int memory)
{
	struct stat status;
	char nodes[128];
	int fds[3];

	fstat(memory, &status);
	fake->memory_size = (size_t)status.st_size;
	fake->memory = mmap(NULL, fake->memory_size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_NORESERVE, memory, 0);
	fds[0] = memfd_create("events", MFD_CLOEXEC);
	assert(ftruncate(fds[0], sizeof(*fake->events)) == 0);
	fake->events =
		mmap(NULL, sizeof(*fake->events), PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	fds[1] = fake->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fds[2] = fake->guest_bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	say(fake, LOCAL_WELCOME, 7, "", fds, 3);
	close(fds[0]);
	snprintf(nodes, sizeof(nodes),
		 "versions=%s\nmax-page-order=%u\nfunction-calls=1\nfeature-names=%d\nstate=2\n",
		 fake->options.versions ? fake->options.versions : "1",
		 fake->options.max_order ? fake->options.max_order : DATA_ORDER_MAX,
		 !fake->options.no_names);
	say(fake, LOCAL_NODES, 0, nodes, NULL, 0);
}

static void hang_up(struct fake *fake)
{
	fd_close(&fake->fd);
	fd_close(&fake->bell);
	fd_close(&fake->guest_bell);
	fake->command.page = NULL;
	if (fake->memory)
		munmap(fake->memory, fake->memory_size);
	if (fake->events)
		munmap(fake->events, sizeof(*fake->events));
	fake->memory = NULL;
	fake->events = NULL;
	while (fake->streams) {
		struct stream *stream = fake->streams;

		fake->streams = stream->next;
		free(stream);
	}
	while (fake->listeners) {
		struct listener *listener = fake->listeners;

		fake->listeners = listener->next;
		free(listener);
	}
}

static void take_message(struct fake *fake)
{
	struct local_message message;
	int fds[FDS_PER_MESSAGE];
	size_t count;
	ssize_t size = fd_receive(fake->fd, &message, sizeof(message), fds, &count);

	if (size <= 0) {
		hang_up(fake);
		return;
	}
	if (message.kind == LOCAL_HELLO && fake->options.refuse) {
		say(fake, LOCAL_REFUSED, fake->options.refuse, "not in a test", NULL, 0);
		hang_up(fake);
	} else if (message.kind == LOCAL_HELLO) {
		welcome(fake, fds[0]);
	} else if (message.kind == LOCAL_NODES) {
		take_nodes(fake, message.text);
	}
	while (count > 0)
		close(fds[--count]);
}

/* Takes the guest's event bits: the rings are all looked at anyway. */
static void clear_events(struct fake *fake)
{
	struct local_events *events = &fake->events->to_backend;
	uint64_t rings;
	size_t i;

	(void)!read(fake->bell, &rings, sizeof(rings));
	for (i = 0; i < LOCAL_PORTS / 4096; i++)
		__atomic_store_n(&events->selector[i], 0, __ATOMIC_SEQ_CST);
	for (i = 0; i < LOCAL_PORTS / 64; i++)
		if (events->word[i])
			__atomic_store_n(&events->word[i], 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&events->asleep, 1, __ATOMIC_SEQ_CST);
}

static void turn(struct fake *fake, struct pollfd polled[4])
{
	uint64_t rings;

	if (polled[0].revents)
		(void)!read(fake->control, &rings, sizeof(rings));
	if (fake->die) {
		fake->die = false;
		hang_up(fake);
	}
	if (polled[1].revents && fake->fd < 0)
		fake->fd = accept(fake->listen_fd, NULL, NULL);
	else if (fake->fd >= 0 && polled[2].revents)
		take_message(fake);
	if (fake->events)
		clear_events(fake);
	if (fake->fd >= 0)
		serve(fake);
}

static void *run(void *context)
{
	struct fake *fake = context;

	pthread_mutex_lock(&fake->lock);
	while (!fake->stop) {
		struct pollfd polled[4] = {
			{.fd = fake->control, .events = POLLIN},
			{.fd = fake->fd < 0 ? fake->listen_fd : -1, .events = POLLIN},
			{.fd = fake->fd, .events = POLLIN},
			{.fd = fake->events ? fake->bell : -1, .events = POLLIN}};

		pthread_mutex_unlock(&fake->lock);
		poll(polled, 4, 5);
		pthread_mutex_lock(&fake->lock);
		turn(fake, polled);
	}
	hang_up(fake);
	pthread_mutex_unlock(&fake->lock);
	return NULL;
}

struct fake *fake_start(const char *directory, const struct fake_options *options)
{
	struct fake *fake = calloc(1, sizeof(*fake));
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	assert(fake);
	if (options)
		fake->options = *options;
	snprintf(fake->path, sizeof(fake->path), "%s/" LOCAL_SOCKET_NAME, directory);
	memcpy(address.sun_path, fake->path, sizeof(address.sun_path));
	unlink(fake->path);
	fake->fd = fake->bell = fake->guest_bell = -1;
	fake->control = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fake->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert(bind(fake->listen_fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	assert(listen(fake->listen_fd, 8) == 0);
	pthread_mutex_init(&fake->lock, NULL);
	pthread_create(&fake->thread, NULL, run, fake);
	return fake;
}

static void wake(struct fake *fake)
{
	const uint64_t one = 1;

	(void)!write(fake->control, &one, sizeof(one));
}

void fake_stop(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	fake->stop = true;
	pthread_mutex_unlock(&fake->lock);
	wake(fake);
	pthread_join(fake->thread, NULL);
	close(fake->listen_fd);
	close(fake->control);
	unlink(fake->path);
	pthread_mutex_destroy(&fake->lock);
	free(fake);
}

void fake_die(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	fake->die = true;
	pthread_mutex_unlock(&fake->lock);
	wake(fake);
}

void fake_offer(struct fake *fake, uint16_t port, uint16_t mode)
{
	bool done = false;

	while (!done) {
		struct listener *listener;

		pthread_mutex_lock(&fake->lock);
		for (listener = fake->listeners; listener; listener = listener->next)
			if (listener->port == port && listener->listening)
				break;
		if (listener) {
			listener->offered[listener->offers++] = mode;
			match_accepts(fake, listener);
			done = true;
		}
		pthread_mutex_unlock(&fake->lock);
		if (!done)
			usleep(1000);
	}
}

struct fake_counts fake_counts(struct fake *fake)
{
	struct fake_counts counts;

	pthread_mutex_lock(&fake->lock);
	counts = fake->counts;
	pthread_mutex_unlock(&fake->lock);
	return counts;
}
