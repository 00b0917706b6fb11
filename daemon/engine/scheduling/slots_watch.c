/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/scheduling/slots_watch.h"

#include <stdio.h>

#include "base/assert.h"
#include "engine/calls/calls.h"

/* Appends "N what" to text. */
static void slots_watch_add(char *text, size_t size, uint32_t count, const char *what)
{
	size_t used = 0;

	while (text[used])
		used++;
	if (count)
		snprintf(text + used, size - used, "%s%u %s", used ? ", " : "", count, what);
}

void slots_watch_describe(const struct calls *calls, char *text, size_t size)
{
	uint32_t count[CALL_OP_UNKNOWN + 1] = {0};
	struct pending_link *link = calls->in_slots;
	uint32_t storing = 0;
	uint32_t op;

	ASSERT(size > 1);
	for (; link; link = pending_list_next(link)) {
		storing += link->call->awaits_commit;
		count[link->call->call.op] += !link->call->awaits_commit;
	}
	text[0] = '\0';
	for (op = 0; op <= CALL_OP_UNKNOWN; op++)
		slots_watch_add(text, size, count[op], call_operations[op].name);
	slots_watch_add(text, size, storing, "done but not on disk");
	slots_watch_add(text, size, calls->collects_taken - calls->collects_answered, "collect");
	slots_watch_add(text, size, calls->counters.lost_slots, "lost to closed listeners");
	if (!text[0])
		snprintf(text, size, "-");
}

/* It has been full for long. Told now, or when the last time is long ago if it still is then. */
static void slots_watch_expired(struct loop_timer *timer)
{
	struct slots_watch *watch = timer->owner;
	struct loop *loop = watch->calls->loop;
	uint64_t now_ns = loop_now_ns(loop);

	/* Without memory for the timer this one is not told. */
	if (watch->told && now_ns - watch->told_ns < SLOTS_WATCH_TELL_NS) {
		(void)loop_arm(loop, timer, watch->told_ns + SLOTS_WATCH_TELL_NS,
			       slots_watch_expired, watch);
		return;
	}
	watch->told = true;
	watch->told_ns = now_ns;
	slots_watch_describe(watch->calls, watch->text, sizeof(watch->text));
}

/* Gives a connect this time from when it was asked for. Without memory it keeps what it has. */
static void slots_watch_limit(struct pending_call *pending, uint64_t ns)
{
	uint64_t age_ns = loop_now_ns(pending->calls->loop) - pending->call.taken_ns;

	(void)pending_call_expire_after(pending, age_ns < ns ? ns - age_ns : 0);
}

/* The connect under way that has this serial, or 0: the oldest; NULL: there is none. */
static struct pending_call *slots_watch_connect(const struct calls *calls, uint64_t serial)
{
	struct pending_link *link = calls->in_slots;

	for (; link; link = pending_list_next(link)) {
		const struct call *call = &link->call->call;

		if (call->op == PVCALLS_OP_CONNECT && call->state == CALL_RUNNING &&
		    (!serial || call->serial == serial))
			return link->call;
	}
	return NULL;
}

/* The oldest connect has less time while the ring is full, and what it had when it isn't. */
static void slots_watch_hurry(struct slots_watch *watch, bool full)
{
	struct pending_call *connect = NULL;

	if (full)
		connect = slots_watch_connect(watch->calls, 0);
	else if (watch->hurried)
		connect = slots_watch_connect(watch->calls, watch->hurried);
	watch->hurried = full && connect ? connect->call.serial : 0;
	if (connect)
		slots_watch_limit(connect, full ? SLOTS_WATCH_CONNECT_NS : CALLS_CONNECT_NS);
}

void slots_watch_look(struct slots_watch *watch)
{
	struct calls *calls = watch->calls;
	bool full = calls->ring.req_cons - calls->ring.rsp_prod == COMMAND_SLOTS;

	if (full == watch->full)
		return;
	watch->full = full;
	slots_watch_hurry(watch, full);
	if (!full)
		loop_disarm(calls->loop, &watch->timer);
	else if (loop_arm(calls->loop, &watch->timer,
			  loop_now_ns(calls->loop) + SLOTS_WATCH_FULL_NS, slots_watch_expired,
			  watch) < 0)
		watch->full = false; /* no memory for the timer: it is looked at again */
}

void slots_watch_reset(struct slots_watch *watch)
{
	loop_disarm(watch->calls->loop, &watch->timer);
	*watch = (struct slots_watch){.calls = watch->calls};
}
