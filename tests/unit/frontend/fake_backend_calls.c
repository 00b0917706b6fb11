/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_backend_calls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ring/shared.h"

#define CHARGEN_BYTES (1u << 20)
#define SLOW_NS       (100 * NS_PER_MS)

void *fake_backend_page(struct fake_backend *fake, uint32_t ref)
{
	assert(ref > 0 && ref < fake->memory_size / RING_PAGE_SIZE);
	return fake->memory + (size_t)ref * RING_PAGE_SIZE;
}

static void fake_backend_notify(struct fake_backend *fake, uint32_t port)
{
	struct local_events *events = &fake->events->to_frontend;
	const uint64_t one = 1;

	__atomic_fetch_or(&events->word[port / 64], 1ull << port % 64, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&events->selector[port / 4096], 1ull << port / 64 % 64, __ATOMIC_SEQ_CST);
	if (__atomic_exchange_n(&events->asleep, 0, __ATOMIC_SEQ_CST))
		(void)!write(fake->guest_eventfd, &one, sizeof(one));
}

static void fake_backend_push(struct fake_backend *fake, const struct wire_response *response)
{
	command_ring_push(&fake->command, response);
	if (command_ring_publish(&fake->command))
		fake_backend_notify(fake, fake->command_port);
}

/* Tells of parked calls that are done, as long as there are COLLECTs. */
static void fake_backend_tell(struct fake_backend *fake)
{
	uint32_t i;

	for (i = 0; i < FAKE_PARKED && fake->collect_count > 0; i++) {
		struct parked *parked = &fake->parked[i];

		if (!parked->waits || !parked->done)
			continue;
		parked->waits = false;
		parked->outcome.req_id = fake->collects[0];
		memmove(fake->collects, fake->collects + 1,
			--fake->collect_count * sizeof(fake->collects[0]));
		fake_backend_push(fake, &parked->outcome);
	}
}

/* Byte by byte: what a request is of is no matter here. */
static bool fake_backend_same(const void *one, const void *other)
{
	return memcmp(one, other, sizeof(struct wire_request)) == 0;
}

static void fake_backend_answer(struct fake_backend *fake, const struct wire_request *request,
				int ret, uint32_t pad)
{
	struct wire_response response = {.req_id = request->req_id,
					 .cmd = request->cmd,
					 .ret = ret,
					 .pad = pad,
					 .id = request->id};
	uint32_t i;

	for (i = 0; i < FAKE_PARKED; i++) {
		struct parked *parked = &fake->parked[i];

		if (!parked->waits || parked->done || !fake_backend_same(&parked->request, request))
			continue;
		parked->done = true;
		parked->outcome = (struct wire_response){
			.cmd = WIRE_COLLECT, .ret = ret, .pad = pad, .id = parked->ticket};
		fake_backend_tell(fake);
		return;
	}
	if (fake->options.bad_response)
		response.req_id ^= 0x40;
	fake_backend_push(fake, &response);
}

/* The call waits: it is parked, if the fake does that. */
static void fake_backend_park(struct fake_backend *fake, const struct wire_request *request)
{
	struct wire_response response = {.req_id = request->req_id,
					 .cmd = request->cmd,
					 .ret = -EINPROGRESS,
					 .id = request->id};
	uint32_t i = 0;

	if (!fake->options.parks)
		return;
	while (fake->parked[i].waits)
		assert(++i < FAKE_PARKED);
	fake->parked[i] = (struct parked){.request = *request, .waits = true};
	if (!fake->options.bad_ticket)
		fake->parked[i].ticket = i + PARKED_MAX * fake->tickets++;
	response.pad = fake->parked[i].ticket;
	fake_backend_push(fake, &response);
}

static void fake_backend_tell_names(struct stream *stream, bool local)
{
	const struct wire_names names = {.local_addr = local ? htonl(INADDR_LOOPBACK) : 0,
					 .peer_addr = htonl(INADDR_LOOPBACK + 1),
					 .local_port = local ? htons(FAKE_LOCAL_PORT) : 0,
					 .peer_port = htons(stream->mode)};

	stream->local_told = local;
	data_ring_names(&stream->ring, &names, local);
}

static void fake_backend_attach_ring(struct fake_backend *fake, struct stream *stream, uint32_t ref,
				     uint32_t port)
{
	struct indexes_page *indexes = fake_backend_page(fake, ref);
	uint32_t refs[DATA_REFS_MAX];
	uint32_t order;
	int count = data_ring_read_refs(indexes, DATA_ORDER_MAX, ref, refs, &order);
	int i;

	assert(count > 0);
	for (i = 1; i < count; i++)
		assert(refs[i] == refs[0] + (uint32_t)i);
	data_ring_attach(&stream->ring, indexes, fake_backend_page(fake, refs[0]), order);
	stream->ring.half_close = !fake->options.no_half_close;
	stream->port = port;
	if (!fake->options.no_names)
		fake_backend_tell_names(stream, fake->options.names_at_once);
	stream->connected = true;
}

static size_t fake_backend_span_copy(const struct ring_span *to, const struct ring_span *from,
				     size_t bytes)
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

static bool fake_backend_serve_out(struct fake_backend *fake, struct stream *stream)
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
	if (stream->mode == FAKE_ECHO || stream->mode == FAKE_SLOW || stream->mode == FAKE_HELD) {
		ssize_t room = data_ring_in_room(&stream->ring, (size_t)bytes, &in);

		assert(room >= 0);
		if (room == 0)
			return false;
		bytes = (ssize_t)fake_backend_span_copy(&in, &out, (size_t)room);
		wake = data_ring_in_commit(&stream->ring, (size_t)bytes);
	}
	fake->counts.bytes += (uint64_t)bytes;
	stream->taken += (uint64_t)bytes;
	return data_ring_out_commit(&stream->ring, (size_t)bytes) || wake;
}

static bool fake_backend_serve_chargen(struct stream *stream, const char *text, uint32_t total)
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

/* The guest writes no more, and all of it was taken. Returns whether the guest is to be told. */
static bool fake_backend_serve_end(struct fake_backend *fake, struct stream *stream)
{
	if (stream->ring.in_ended || (stream->mode != FAKE_ECHO && stream->mode != FAKE_ANSWER))
		return false;
	if (!stream->text[0]) {
		fake->counts.ends++;
		snprintf(stream->text, sizeof(stream->text), "%llu\n",
			 (unsigned long long)stream->taken);
	}
	if (stream->mode == FAKE_ANSWER)
		return fake_backend_serve_chargen(stream, stream->text,
						  (uint32_t)strlen(stream->text));
	data_ring_in_end(&stream->ring, -ENOTCONN);
	return true;
}

static void fake_backend_serve_stream(struct fake_backend *fake, struct stream *stream)
{
	bool wake = false;

	if (!stream->connected)
		return;
	if (stream->mode == FAKE_CHARGEN && stream->sent < CHARGEN_BYTES)
		wake = fake_backend_serve_chargen(stream, NULL, CHARGEN_BYTES);
	if (stream->mode == FAKE_HELLO && stream->sent < 6)
		wake = fake_backend_serve_chargen(stream, "hello\n", 6);
	if (data_ring_out_closing(&stream->ring))
		data_ring_out_close(&stream->ring);
	if (!stream->local_told && stream->mode != FAKE_RESET &&
	    data_ring_local_wanted(&stream->ring)) {
		fake->counts.asked++;
		fake_backend_tell_names(stream, true);
		wake = true;
	}
	while (fake_backend_serve_out(fake, stream))
		wake = true;
	if (data_ring_out_drained(&stream->ring))
		wake |= fake_backend_serve_end(fake, stream);
	if (wake)
		fake_backend_notify(fake, stream->port);
}

static void fake_backend_break_ring(struct fake_backend *fake, struct stream *stream)
{
	if (stream->mode == FAKE_BAD_IN)
		shared_store(&stream->ring.indexes->in_prod, stream->ring.size + 1);
	if (stream->mode == FAKE_BAD_OUT)
		shared_store(&stream->ring.indexes->out_cons, 5);
	fake_backend_notify(fake, stream->port);
}

static void fake_backend_finish_connect(struct fake_backend *fake, struct stream *stream)
{
	const struct wire_request *request = &stream->request;

	stream->answer_ns = 0;
	stream->held = false;
	if (stream->mode == FAKE_HELD_REFUSE) {
		fake_backend_answer(fake, request, -ECONNREFUSED, 0);
		return;
	}
	fake_backend_attach_ring(fake, stream, request->u.connect.ref, request->u.connect.evtchn);
	fake->counts.open++;
	fake_backend_answer(fake, request, 0, 0);
	if (stream->mode == FAKE_BAD_IN || stream->mode == FAKE_BAD_OUT)
		fake_backend_break_ring(fake, stream);
}

static void fake_backend_let_go(struct fake_backend *fake)
{
	struct stream *stream;

	for (stream = fake->streams; stream; stream = stream->next)
		if (stream->held)
			fake_backend_finish_connect(fake, stream);
}

static struct stream *fake_backend_new_stream(struct fake_backend *fake, uint64_t id, uint16_t mode)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	assert(stream);
	stream->id = id;
	stream->mode = mode;
	stream->next = fake->streams;
	fake->streams = stream;
	return stream;
}

static void fake_backend_do_connect(struct fake_backend *fake, const struct wire_request *request)
{
	uint16_t mode = (uint16_t)(request->u.connect.addr[2] << 8 | request->u.connect.addr[3]);
	struct stream *stream;

	fake->counts.connects++;
	if (mode >= FAKE_ERRNO) {
		fake_backend_answer(fake, request, -(mode - FAKE_ERRNO), 0);
		return;
	}
	if (mode == FAKE_GO) {
		fake_backend_let_go(fake);
		fake_backend_answer(fake, request, -ECONNREFUSED, 0);
		return;
	}
	stream = fake_backend_new_stream(fake, request->id, mode);
	stream->request = *request;
	stream->held = mode == FAKE_HELD || mode == FAKE_HELD_REFUSE;
	if (mode == FAKE_SLOW)
		stream->answer_ns = clock_monotonic_ns() + SLOW_NS;
	else if (!stream->held && mode != FAKE_HANG)
		fake_backend_finish_connect(fake, stream);
	if (!stream->connected)
		fake_backend_park(fake, request);
}

void fake_backend_match_accepts(struct fake_backend *fake, struct listener *listener)
{
	while (listener->offers > 0 && listener->accepts > 0) {
		struct wire_request request = listener->accept[0];
		struct stream *stream = fake_backend_new_stream(fake, request.u.accept.id_new,
								listener->offered[0]);

		memmove(listener->accept, listener->accept + 1,
			--listener->accepts * sizeof(request));
		memmove(listener->offered, listener->offered + 1,
			--listener->offers * sizeof(uint16_t));
		fake_backend_attach_ring(fake, stream, request.u.accept.ref,
					 request.u.accept.evtchn);
		fake->counts.open++;
		fake_backend_answer(fake, &request, 0, 0);
	}
	while (listener->offers > 0 && listener->polls > 0)
		fake_backend_answer(fake, &listener->poll[--listener->polls], 0, 0);
}

static void fake_backend_do_bind(struct fake_backend *fake, const struct wire_request *request)
{
	uint16_t port = (uint16_t)(request->u.bind.addr[2] << 8 | request->u.bind.addr[3]);
	struct listener *listener;

	fake->counts.binds++;
	if (port == 81) {
		fake_backend_answer(fake, request, -EACCES, 0);
		return;
	}
	listener = calloc(1, sizeof(*listener));
	assert(listener);
	listener->id = request->id;
	listener->port = port ? port : 40000;
	listener->next = fake->listeners;
	fake->listeners = listener;
	fake_backend_answer(fake, request, 0, 0);
}

static struct listener *fake_backend_listener_by_id(struct fake_backend *fake, uint64_t id)
{
	struct listener *listener;

	for (listener = fake->listeners; listener; listener = listener->next)
		if (listener->id == id)
			return listener;
	return NULL;
}

static void fake_backend_do_listener(struct fake_backend *fake, const struct wire_request *request)
{
	struct listener *listener = fake_backend_listener_by_id(fake, request->id);

	if (!listener) {
		fake_backend_answer(fake, request, -EINVAL, 0);
	} else if (request->cmd == WIRE_LISTEN) {
		fake->counts.listens++;
		listener->listening = true;
		fake_backend_answer(fake, request, 0, fake->options.no_names ? 0 : listener->port);
	} else if (request->cmd == WIRE_ACCEPT) {
		fake->counts.accepts++;
		assert(listener->accepts < FAKE_PARKED);
		listener->accept[listener->accepts++] = *request;
		if (!listener->offers)
			fake_backend_park(fake, request);
		fake_backend_match_accepts(fake, listener);
	} else {
		fake->counts.polls++;
		listener->poll[listener->polls++] = *request;
		fake_backend_match_accepts(fake, listener);
	}
}

static void fake_backend_release_listener(struct fake_backend *fake, uint64_t id)
{
	struct listener **at = &fake->listeners;
	struct listener *listener;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	listener = *at;
	if (!listener)
		return;
	while (listener->accepts > 0)
		fake_backend_answer(fake, &listener->accept[--listener->accepts], -ECANCELED, 0);
	while (listener->polls > 0)
		fake_backend_answer(fake, &listener->poll[--listener->polls], -ECANCELED, 0);
	*at = listener->next;
	free(listener);
}

static void fake_backend_do_release(struct fake_backend *fake, const struct wire_request *request)
{
	struct stream **at = &fake->streams;
	struct stream *stream;

	fake->counts.releases++;
	fake_backend_release_listener(fake, request->id);
	while (*at && (*at)->id != request->id)
		at = &(*at)->next;
	stream = *at;
	if (stream) {
		fake_backend_serve_stream(fake, stream);
		if (!stream->connected &&
		    (stream->mode == FAKE_HANG || stream->answer_ns || stream->held))
			fake_backend_answer(fake, &stream->request, -ECANCELED, 0);
		fake->counts.open -= stream->connected;
		*at = stream->next;
		free(stream);
	}
	fake_backend_answer(fake, request, 0, 0);
}

static void fake_backend_do_request(struct fake_backend *fake, const struct wire_request *request)
{
	switch (request->cmd) {
	case WIRE_SOCKET:
		fake->counts.sockets++;
		fake_backend_answer(fake, request, 0, 0);
		break;
	case WIRE_CONNECT:
		fake_backend_do_connect(fake, request);
		break;
	case WIRE_RELEASE:
		fake_backend_do_release(fake, request);
		break;
	case WIRE_BIND:
		fake_backend_do_bind(fake, request);
		break;
	case WIRE_COLLECT:
		assert(fake->options.parks && fake->collect_count < COMMAND_SLOTS);
		fake->collects[fake->collect_count++] = request->req_id;
		fake_backend_tell(fake);
		break;
	default:
		fake_backend_do_listener(fake, request);
		break;
	}
}

void fake_backend_serve(struct fake_backend *fake)
{
	struct wire_request request;
	struct stream *stream;
	uint64_t now = clock_monotonic_ns();

	if (!fake->command.page)
		return;
	do {
		while (command_ring_take(&fake->command, &request) > 0)
			fake_backend_do_request(fake, &request);
	} while (command_ring_final_check(&fake->command));
	if (fake->command.req_cons - fake->command.rsp_prod > fake->counts.most_in_ring)
		fake->counts.most_in_ring = fake->command.req_cons - fake->command.rsp_prod;
	for (stream = fake->streams; stream; stream = stream->next) {
		if (stream->answer_ns && stream->answer_ns <= now)
			fake_backend_finish_connect(fake, stream);
		fake_backend_serve_stream(fake, stream);
	}
}
void fake_backend_free_guest(struct fake_backend *fake)
{
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
