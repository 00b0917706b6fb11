/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one way of every call: taken, prepared, decided, delayed, running, done.
 *
 * Theory of operation. serve_call() takes a call from the stage where it stands through those that
 * follow, until it waits or is done; it is called when the request was taken from the ring, and
 * again with each event that the call has waited for (a timer, the socket, a free slot). It is the
 * only place that knows the order of the stages. What the call needs while it waits it holds
 * (pending_call.h), so nothing has to be looked up or checked anew when it goes on, with one
 * exception: the host may have changed, so after a wait the host rules look again.
 *
 * A call that waits ends early only here, in serve_cancel_call(): when its socket is released or
 * killed, or the guest is gone. So each call has exactly one record and one response (or none where
 * the protocol wants none).
 */
#include "engine/calls/serve.h"

#include <errno.h>

#include "base/assert.h"
#include "engine/calls/call_decision.h"
#include "engine/calls/call_record.h"
#include "engine/calls/call_steps.h"
#include "engine/calls/calls.h"
#include "engine/calls/due_listeners.h"
#include "engine/calls/parking.h"
#include "engine/connections/connection.h"
#include "ipc/audit_record.h"
#include "ring/command_ring.h"

/* Writes the response, or leaves it out where the guest would be wedged by one. */
static void serve_answer(struct pending_call *pending, bool silently)
{
	struct calls *calls = pending->calls;
	struct wire_response response = call_response(&pending->call, pending->result);
	uint32_t rsp_prod = calls->ring.rsp_prod;

	pending_list_remove(&pending->wait);
	pending->awaits_commit = false;
	response.pad = pending->extra;
	if (calls->attached && pending->is_parked) {
		ASSERT(!silently);
		parking_tell(pending);
		return;
	}
	if (calls->attached && silently) {
		recovery_log_unanswered(calls->recovery_log, pending->number);
		if (++calls->counters.lost_slots == CALLS_LOST_SLOTS_WARN)
			log_warning(calls->log,
				    "the guest has released %u listeners with an accept in flight; "
				    "Linux frontends lose a ring slot with each and stop at %u: "
				    "restart the guest",
				    calls->counters.lost_slots, COMMAND_SLOTS);
	} else if (calls->attached) {
		recovery_log_answering(calls->recovery_log, pending->number, rsp_prod);
		command_ring_push(&calls->ring, &response);
		recovery_log_answered(calls->recovery_log, pending->number, rsp_prod);
		calls->responses_due = true;
	}
	pending_call_free(pending);
}

/* Done: the outcome goes into the record, then the guest is answered, or when that is on disk. */
static void serve_finish(struct pending_call *pending, int result, bool silently)
{
	struct calls *calls = pending->calls;

	pending_call_let_go(pending);
	loop_disarm(calls->loop, &pending->timer);
	if (pending->spare_slot != PENDING_CALL_NO_SLOT)
		audit_queue_untake(calls->queue, pending->spare_slot);
	pending->spare_slot = PENDING_CALL_NO_SLOT;
	pending->result = result;
	call_record_outcome(pending, result);
	call_advance(&pending->call, CALL_DONE);
	if (!calls->sync || silently) {
		serve_answer(pending, silently);
		return;
	}
	pending->awaits_commit = true;
	pending_list_add(&calls->storing, &pending->wait);
	audit_queue_await(calls->queue);
}

/* The protocol itself refuses a call that holds nothing. */
static void serve_refuse(struct pending_call *pending, int error, const char *reason)
{
	pending->calls->counters.malformed++;
	call_refuse(pending, reason);
	serve_finish(pending, error, false);
}

static void serve_cancel_id(struct calls *calls, uint64_t id);

/*
 * Has the policy decide a prepared call, or the protocol if what it waits for can't come. Returns 0
 * if it may go on, CALL_WAITS, or the negative errno that it is answered.
 */
static int serve_decide(struct pending_call *pending, const struct call_steps *steps)
{
	int result;

	for (;;) {
		result = steps->await ? steps->await(pending) : 0;
		if (result == CALL_WAITS) {
			call_record_waiting(pending);
			return result;
		}
		if (result) {
			call_refuse(pending, "there is nothing to wait for any more");
			return result;
		}
		call_decide(pending);
		if (decision_permits(&pending->decision))
			return 0;
		result = pending->decision.error;
		ASSERT(result < 0 && !call_operations[pending->call.op].always_runs);
		if (!steps->refused)
			return result;
		call_record_outcome(pending, result);
		steps->refused(pending);
		call_advance(&pending->call, CALL_PREPARED);
	}
}

/* Takes a call from where it stands until it waits or is done; events are what it waited for. */
static void serve_call(struct pending_call *pending, uint32_t events)
{
	struct call *call = &pending->call;
	const struct call_steps *steps = call_steps[call->op];
	int result = 0;

	ASSERT(pending->in_use && call->state != CALL_DONE);

	/*
	 * Taken. The socket must be in a state for the call, and what the call will need is held
	 * from here on. A release is the end of all else on its socket, which comes first.
	 */
	if (call->state == CALL_TAKEN) {
		if (steps->ends_others)
			serve_cancel_id(pending->calls, call->id);
		result = steps->prepare(pending);
		if (result) {
			serve_refuse(pending, result, "the socket is not in a state for this call");
			return;
		}
		call_advance(call, CALL_PREPARED);
	}

	/*
	 * Prepared. The policy is asked, and its decision is in the record before anything is
	 * executed. An ACCEPT waits for the peer that the policy is asked about, and for the next
	 * one after each that is refused.
	 */
	if (call->state == CALL_PREPARED) {
		result = serve_decide(pending, steps);
		if (result == CALL_WAITS)
			return;
		if (result)
			goto done;
	}

	/* Decided. A plugin may have the call wait. */
	if (call->state == CALL_DECIDED && pending->decision.delay_ns) {
		result = pending_call_expire_after(pending, pending->decision.delay_ns);
		if (result)
			goto done;
		call_advance(call, CALL_DELAYED);
		return;
	}

	/* Delayed. The host may have changed meanwhile: its rules look again. */
	if (call->state == CALL_DELAYED && !call_decide_again(pending)) {
		result = pending->decision.error;
		goto done;
	}

	/* Running. What can't be finished at once waits, and goes on here. */
	if (call->state == CALL_RUNNING) {
		result = steps->resume(pending, events);
	} else {
		call_advance(call, CALL_RUNNING);
		result = steps->execute(pending);
	}
	if (result == CALL_WAITS)
		return;
done:
	if (result < 0 && steps->undo)
		steps->undo(pending, result);
	serve_finish(pending, result, false);
}

/*
 * Ends a call that waits, since its socket goes for this reason. An ACCEPT whose listener goes is
 * not answered if the frontend is Linux': the answer would wedge it (section 3.6 of the protocol).
 * A RELEASE has done what it was to do then, for another reason; every other call is cancelled.
 */
static void serve_cancel_call(struct pending_call *pending, bool listener_goes,
			      uint32_t close_reason)
{
	const struct call_steps *steps = call_steps[pending->call.op];
	bool silently =
		pending->call.op == PVCALLS_OP_ACCEPT && listener_goes && !pending->calls->cancel;

	ASSERT(pending->in_use && !pending->awaits_commit && pending->call.state != CALL_TAKEN);
	if (pending->call.state == CALL_PREPARED)
		call_leave_undecided(pending, close_reason);
	pending->cancelled = pending->call.op != PVCALLS_OP_RELEASE;
	if (!pending->cancelled)
		pending->close_reason = close_reason;
	if (steps->undo)
		steps->undo(pending, -ECANCELED);
	serve_finish(pending, steps->cancelled, silently);
}

/* Nobody waits at a socket that somebody holds, who may take it along: so the holder goes last. */
void serve_cancel(struct calls *calls, struct guest_socket *socket, uint32_t close_reason)
{
	struct pending_call *holder = socket->holder;

	ASSERT(calls_of(socket) == calls && !(holder && socket->waiting));
	while (socket->waiting)
		serve_cancel_call(socket->waiting->call, true, close_reason);
	if (holder)
		serve_cancel_call(holder, holder->socket == socket, close_reason);
}

static void serve_cancel_list(struct pending_link *link, uint32_t close_reason)
{
	struct pending_link *next;

	for (; link; link = next) {
		next = pending_list_next(link);
		if (!link->call->awaits_commit)
			serve_cancel_call(link->call, true, close_reason);
	}
}

void serve_cancel_all(struct calls *calls, uint32_t close_reason)
{
	serve_cancel_list(calls->parked, close_reason);
	serve_cancel_list(calls->in_slots, close_reason);
}

/* A RELEASE of this socket has come. One before it goes on; this one will be refused. */
static void serve_cancel_id(struct calls *calls, uint64_t id)
{
	struct guest_socket *socket = socket_table_find(calls->sockets, id);

	if (socket && !(socket->holder && socket->holder->call.op == PVCALLS_OP_RELEASE))
		serve_cancel(calls, socket, AUDIT_CLOSE_RELEASED);
}

/*
 * The oldest ACCEPTs of a listener get connections. One whose peer was refused is not the oldest
 * any more, and the next one goes on.
 */
static void serve_accepts(struct guest_socket *listener)
{
	struct pending_call *pending;
	struct pending_call *before = NULL;

	while ((pending = pending_call_oldest(listener, PVCALLS_OP_ACCEPT, CALL_PREPARED)) &&
	       pending != before) {
		serve_call(pending, 0);
		/* If it is the oldest still, there is no other connection, or no room, or it is to
		 * wait for the next turn. */
		before = pending;
	}
}

/* A connection came to a listener: whoever polls is told, and ACCEPTs get theirs. */
static void serve_listener(struct guest_socket *listener, uint32_t events)
{
	struct pending_call *pending;

	while ((pending = pending_call_oldest(listener, PVCALLS_OP_POLL, CALL_RUNNING)))
		serve_call(pending, events);
	serve_accepts(listener);
}

static void serve_all_accepts(struct calls *calls)
{
	struct pending_call *pending;
	uint32_t i;

	for (i = 0; (pending = pending_call_at(calls, i)); i++)
		if (pending->in_use && pending->call.op == PVCALLS_OP_ACCEPT &&
		    pending->call.state == CALL_PREPARED)
			serve_accepts(pending->socket);
}

void serve_left_accepts(struct calls *calls)
{
	const struct guest_socket *last = calls->due_last;
	struct guest_socket *listener;

	/* Each that was due, once; or as many as there is time for. */
	while ((listener = due_listeners_take(calls))) {
		serve_accepts(listener);
		if (listener == last || calls->peers >= CALLS_PEERS_PER_TURN)
			return;
	}
}

static void serve_socket_ready(struct loop_source *source, uint32_t events)
{
	struct guest_socket *socket = source->owner;

	switch (socket->state) {
	case SOCKET_CONNECTING:
		ASSERT(socket->holder && socket->holder->call.op == PVCALLS_OP_CONNECT);
		serve_call(socket->holder, events);
		/* The edge is told once: what came with it belongs to the stream. */
		if (socket->state == SOCKET_STREAM)
			connection_event(socket->connection, events);
		break;
	case SOCKET_LISTENING:
		serve_listener(socket, events);
		break;
	case SOCKET_STREAM:
		connection_event(socket->connection, events);
		break;
	case SOCKET_NEW:
	case SOCKET_RESERVED:
	case SOCKET_BOUND:
	case SOCKET_REFUSED:
	case SOCKET_KILLED:
		ASSERT_UNREACHABLE(); /* not watched */
	}
}

static void serve_call_expired(struct loop_timer *timer)
{
	struct pending_call *pending = timer->owner;

	pending->expired = true;
	serve_call(pending, 0);
}

static void serve_accept_retry(struct loop_timer *timer)
{
	serve_all_accepts(timer->owner);
}

int serve_init(struct calls *calls, struct connections *connections, struct loop *loop,
	       const struct log *log, struct recovery_log *recovery_log,
	       const struct pvcalls_guest *guest)
{
	connections_init(connections, loop, log, recovery_log, serve_socket_ready);
	calls->loop = loop;
	calls->log = log;
	calls->guest = guest;
	calls->connections = connections;
	calls->recovery_log = recovery_log;
	calls->call_expired = serve_call_expired;
	calls->accept_retry = serve_accept_retry;
	ticks_measure(&calls->scale);
	return pending_calls_open(calls);
}

/*
 * A RELEASE of a socket that was killed: the record of that tells of its end already. Returns
 * whether it was one.
 */
static bool serve_release_of_killed(struct pending_call *pending)
{
	struct calls *calls = pending->calls;
	struct guest_socket *socket = socket_table_find(calls->sockets, pending->call.id);

	if (pending->call.op != PVCALLS_OP_RELEASE || !socket || socket->state != SOCKET_KILLED)
		return false;
	socket_table_remove(calls->sockets, socket);
	audit_queue_untake(calls->queue, pending->call.slot);
	call_advance(&pending->call, CALL_DONE);
	serve_answer(pending, false);
	return true;
}

/* A request was taken from the ring, with a slot of the trail for it. */
static void serve_request(struct calls *calls, const struct wire_request *request, uint32_t slot)
{
	struct pending_call *pending = pending_call_new(calls);

	recovery_log_taken(calls->recovery_log, pending->number, request, calls->ring.req_cons);
	call_decode(&pending->call, request);
	pending->call.slot = slot;
	calls->counters.taken++;
	if (serve_release_of_killed(pending))
		return;
	call_record_number(pending);
	if (pending->call.invalid)
		serve_refuse(pending, pending->call.invalid, "malformed request");
	else
		serve_call(pending, 0);
}

void serve_ring(struct calls *calls)
{
	const struct protocol_violation *violation = &calls->connections->violation;
	struct wire_request request;
	uint32_t left = CALLS_PER_TURN;

	calls->ring_due = false;
	while (left-- && !violation->text[0]) {
		uint32_t slot;
		int got;

		if (!call_record_take_slot(calls, &slot)) {
			calls->counters.stalls++;
			return;
		}
		got = command_ring_take(&calls->ring, &request);
		if (got > 0 && !(calls->parks && request.cmd == WIRE_COLLECT)) {
			serve_request(calls, &request, slot);
			continue;
		}
		audit_queue_untake(calls->queue, slot);
		if (got > 0) {
			parking_collect(calls, &request);
			continue;
		}
		if (got < 0)
			protocol_violation_set(&calls->connections->violation,
					       "the command ring's producer index is impossible");
		return;
	}
	calls->ring_due = true;
}

/* The record in this slot is on disk: whose answer waited for it is answered. */
static void serve_stored(void *owner, uint32_t slot)
{
	struct calls *calls = owner;
	struct pending_link *link = calls->storing;

	while (link && link->call->call.slot != slot)
		link = pending_list_next(link);
	if (link)
		serve_answer(link->call, false);
}

uint32_t serve_reap(struct calls *calls)
{
	return audit_queue_reap(calls->queue, serve_stored, calls);
}

bool serve_kept(struct calls *calls)
{
	if (!audit_queue_kept(calls->queue))
		return false;
	serve_reap(calls);
	audit_queue_flush(calls->queue, true);
	if (!audit_queue_kept(calls->queue))
		return false;
	audit_queue_await(calls->queue);
	return true;
}

void serve_commits(struct calls *calls)
{
	serve_kept(calls);
	if (!calls->starved && !calls->sync)
		return;
	serve_reap(calls);
	/* Slots may be free without that: those of calls that were cancelled, or that the record of
	 * a killed socket has collected. */
	if (calls->starved && audit_queue_has_room(calls->queue)) {
		calls->starved = false;
		calls->ring_due = true;
		serve_all_accepts(calls);
	}
	/* The writer tells of one commit and not of those that follow, so each is asked for. */
	if (calls->starved || calls->sync)
		audit_queue_await(calls->queue);
}

void serve_releases(struct calls *calls)
{
	struct pending_link *link = calls->draining;
	struct pending_link *next;

	for (; link; link = next) {
		const struct pending_call *pending = link->call;

		next = pending_list_next(link);
		if (pending->socket->connection->moved_turn == calls->connections->turn)
			serve_call(link->call, 0);
	}
}
