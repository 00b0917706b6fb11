/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the queues into the store.
 *
 * Theory of operation. A transaction takes a share of each queue, by the records' times, and all
 * events that wait; when it is committed, slots are freed and answers sent, and only then. An error
 * anywhere closes the store and sets every queue back to its last commit; opening it again reads
 * the places from the database, so that it does not matter whether the failed commit has reached
 * the disk after all.
 */
#include "audit/auditd/writer_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit/auditd/writer_control.h"
#include "audit/auditd/writer_state.h"
#include "audit/queue/audit_queue.h"
#include "base/assert.h"
#include "base/clock.h"

#define WRITER_ROWS_MAX  16384u /* rows of one transaction, shared by the queues */
#define WRITER_QUEUE_MAX 2048u  /* rows of one queue: it gets slots back while it fills others */
#define WRITER_QUEUE_MIN 64u
#define WRITER_RETRY_NS  NS_PER_S /* between attempts to open the store after an error */

/* The writer of a daemon that was killed stores what its engines leave, then goes: so long it is
 * waited for, looking again so often. */
#define WRITER_PREDECESSOR_NS (5 * NS_PER_S)
#define WRITER_LOOK_NS        (50 * NS_PER_MS)

/* Tells the supervisor, once, that rows wait; and closes the store. */
static void writer_store_trouble(struct writer *writer, int error, const struct fault *fault)
{
	store_close(writer->store);
	writer->store = NULL;
	writer->verify = error == -EIO || error == -EBADMSG;
	writer->retry_ns = clock_monotonic_ns() + WRITER_RETRY_NS;
	for (struct writer_queue *queue = writer->queues; queue; queue = queue->next) {
		drain_undo(queue->drain);
		queue->entered = false;
		queue->wrapped_up = false;
	}
	writer->link_entered = false;
	if (writer->in_trouble)
		return;
	writer->in_trouble = true;
	struct fault told;
	fault_set(&told, 0, "audit trail in %s: %s", writer->options->about, fault->text);
	log_error(writer->log, "%s", told.text);
	writer_control_tell(writer, AUDITD_MESSAGE_TROUBLE, NULL, 0, told.text);
}

/* Whether a trail that another writer holds is no trouble yet. */
static bool writer_store_is_patient(struct writer *writer, uint64_t now_ns)
{
	if (!writer->patient_ns)
		writer->patient_ns = now_ns + WRITER_PREDECESSOR_NS;
	return !writer->was_ready && now_ns < writer->patient_ns;
}

void writer_store_open(struct writer *writer, uint64_t now_ns)
{
	if (writer->store || now_ns < writer->retry_ns)
		return;
	struct store_options options = writer->options->store;
	options.verify = writer->verify;
	struct fault fault = {0};
	int error = store_open(&writer->store, &options, &fault);
	if (error == -EBUSY && writer_store_is_patient(writer, now_ns))
		writer->retry_ns = now_ns + WRITER_LOOK_NS;
	else if (error < 0)
		writer_store_trouble(writer, error, &fault);
}

/* The store takes rows (again): said only after something was really written, or at the start. */
static void writer_store_sound(struct writer *writer)
{
	if (!writer->was_ready)
		writer_control_tell(writer, AUDITD_MESSAGE_READY, NULL, 0, NULL);
	else if (writer->in_trouble)
		writer_control_tell(writer, AUDITD_MESSAGE_RECOVERED, NULL, 0, NULL);
	if (writer->in_trouble)
		log_info(writer->log, "audit trail in %s: rows are stored again",
			 writer->options->about);
	writer->was_ready = true;
	writer->in_trouble = false;
	writer->verify = false;
}

static int writer_store_enter_link(struct writer *writer, struct fault *fault)
{
	if (!writer->has_link || writer->link_entered)
		return 0;
	uint64_t place = 0;
	int error = store_link(writer->store, writer->link_id, &writer->link, &place, fault);
	if (error < 0)
		return error;
	writer->link_entered = true;
	writer->event_place = place;
	return 0;
}

static int writer_store_enter_queue(struct writer *writer, struct writer_queue *queue,
				    struct fault *fault)
{
	if (queue->entered)
		return 0;
	uint64_t place = 0;
	int error = store_queue(writer->store, drain_identity(queue->drain), &queue->id, &place,
				&queue->finished, fault);
	if (error < 0)
		return error;
	queue->entered = true;
	drain_resume(queue->drain, place);
	return 0;
}

static int writer_store_events(struct writer *writer, uint32_t *rows, struct fault *fault)
{
	uint64_t last = writer->event_place;
	int error = 0;
	for (uint32_t i = 0; error == 0 && i < writer->event_count; i++) {
		const struct auditd_message *message = &writer->events[i];
		const struct auditd_message_event *event = &message->body.event;
		if (message->number <= last)
			continue;
		struct store_event row = {
			.link = writer->link,
			.number = message->number,
			.wall_ns = event->wall_ns,
			.kind = event->kind,
			.uid = event->uid,
			.guest = event->has_guest ? event->guest : NULL,
			.text = event->text,
		};
		error = store_event(writer->store, &row, fault);
		last = message->number;
		(*rows)++;
	}
	return error;
}

/* What an engine that has ended left in its slots, and that there is no more of it. */
static int writer_store_leftovers(struct writer *writer, struct writer_queue *queue, uint32_t *rows,
				  struct fault *fault)
{
	struct audit_record record;
	uint32_t cursor = 0;
	int error = 0;
	while (error == 0 && drain_leftover(queue->drain, &cursor, &record)) {
		error = store_call(writer->store, queue->id, &record,
				   record.state == AUDIT_SLOT_DONE, fault);
		(*rows)++;
	}
	if (error == 0)
		error = store_place(writer->store, queue->id, drain_place(queue->drain), true,
				    fault);
	queue->wrapped_up = error == 0;
	return error;
}

static int writer_store_begin_queue(struct writer *writer, struct writer_queue *queue,
				    struct fault *fault)
{
	int error = writer_store_enter_queue(writer, queue, fault);
	queue->taken = 0;
	queue->next_ns = error == 0 && !queue->finished ? drain_next_ns(queue->drain) : UINT64_MAX;
	return error;
}

static int writer_store_end_queue(struct writer *writer, struct writer_queue *queue, uint32_t *rows,
				  struct fault *fault)
{
	if (queue->finished)
		return 0;
	if (queue->taken > 0)
		return store_place(writer->store, queue->id, drain_place(queue->drain), false,
				   fault);
	/* Leftovers are looked for when all that was done is committed and its slots are free. */
	return queue->finishing ? writer_store_leftovers(writer, queue, rows, fault) : 0;
}

/* The queue whose next record is the oldest, or NULL; *until_ns: that of the one after it. */
static struct writer_queue *writer_store_oldest(const struct writer *writer, uint64_t *until_ns)
{
	struct writer_queue *oldest = NULL;
	*until_ns = UINT64_MAX;
	for (struct writer_queue *queue = writer->queues; queue; queue = queue->next) {
		if (queue->next_ns == UINT64_MAX)
			continue;
		if (oldest && queue->next_ns >= oldest->next_ns) {
			if (queue->next_ns < *until_ns)
				*until_ns = queue->next_ns;
			continue;
		}
		if (oldest)
			*until_ns = oldest->next_ns;
		oldest = queue;
	}
	return oldest;
}

/* Stores the next record of a queue, and looks at the one after it, unless no other's can be older.
 */
static int writer_store_record(struct writer *writer, struct writer_queue *queue, uint32_t most,
			       bool alone, struct fault *fault)
{
	struct audit_record record;
	int error;
	if (queue->taken == most || !drain_take(queue->drain, &record)) {
		queue->next_ns = UINT64_MAX;
		return 0;
	}
	queue->taken++;
	error = store_call(writer->store, queue->id, &record, true, fault);
	if (!alone)
		queue->next_ns = drain_next_ns(queue->drain);
	return error;
}

/* Of each queue at most so many, in the order of their times: engines are served one by one, but
 * what they tell happened side by side. */
static int writer_store_records(struct writer *writer, uint32_t most, uint32_t *rows,
				struct fault *fault)
{
	uint64_t until_ns = 0;
	struct writer_queue *queue = NULL;
	int error = 0;
	while (error == 0 && (queue = writer_store_oldest(writer, &until_ns))) {
		uint32_t before = queue->taken;
		do
			error = writer_store_record(writer, queue, most, until_ns == UINT64_MAX,
						    fault);
		while (error == 0 && queue->next_ns <= until_ns && queue->next_ns != UINT64_MAX);
		*rows += queue->taken - before;
	}
	return error;
}

static uint32_t writer_store_share(const struct writer *writer)
{
	uint32_t count = 1;
	for (const struct writer_queue *queue = writer->queues; queue; queue = queue->next)
		count++;
	uint32_t rows = WRITER_ROWS_MAX / count;
	if (rows > WRITER_QUEUE_MAX)
		return WRITER_QUEUE_MAX;
	return rows < WRITER_QUEUE_MIN ? WRITER_QUEUE_MIN : rows;
}

static void writer_store_answer_events(struct writer *writer)
{
	if (writer->event_count > 0 && writer->link_entered) {
		uint64_t last = writer->events[writer->event_count - 1].number;
		if (last > writer->event_place)
			writer->event_place = last;
		writer->event_count = 0;
	}
	if (writer->link_entered && writer->event_answer != writer->event_place) {
		writer->event_answer = writer->event_place;
		writer_control_tell(writer, AUDITD_MESSAGE_STORED, NULL, writer->event_place, NULL);
	}
}

static void writer_store_answer_queue(struct writer *writer, struct writer_queue *queue)
{
	const struct audit_identity *identity = drain_identity(queue->drain);
	drain_committed(queue->drain);
	const char *damage = drain_damage(queue->drain);
	if (damage && !queue->damage_told) {
		queue->damage_told = true;
		log_error(writer->log, "guest %s: its audit queue is damaged: %s", identity->name,
			  damage);
		writer_control_tell(writer, AUDITD_MESSAGE_DAMAGED, identity->queue_id, 0, damage);
	}
	queue->finished |= queue->wrapped_up;
	if (queue->finished && queue->finishing) {
		writer_control_tell(writer, AUDITD_MESSAGE_FINISHED, identity->queue_id, 0, NULL);
		writer_control_drop(writer, queue);
	}
}

/* One transaction, and what follows from it. */
static int writer_store_transaction(struct writer *writer, uint32_t *rows, struct fault *fault)
{
	ASSERT(writer->store);
	uint32_t most = writer_store_share(writer);
	int error = writer_store_enter_link(writer, fault);
	for (struct writer_queue *queue = writer->queues; error == 0 && queue; queue = queue->next)
		error = writer_store_begin_queue(writer, queue, fault);
	if (error == 0)
		error = writer_store_records(writer, most, rows, fault);
	for (struct writer_queue *queue = writer->queues; error == 0 && queue; queue = queue->next)
		error = writer_store_end_queue(writer, queue, rows, fault);
	if (error == 0 && writer->link_entered)
		error = writer_store_events(writer, rows, fault);
	if (error == 0)
		error = store_commit(writer->store, fault);
	if (error < 0)
		return error;

	writer_store_answer_events(writer);
	struct writer_queue *next = NULL;
	for (struct writer_queue *queue = writer->queues; queue; queue = next) {
		next = queue->next;
		writer_store_answer_queue(writer, queue);
	}
	return 0;
}

/* For people: the event that says so is stored. */
static void writer_store_tell_end_before(struct writer *writer)
{
	const char *text = store_unclean_end(writer->store);
	if (text[0] == '\0' || writer->end_told)
		return;
	writer->end_told = true;
	log_warning(writer->log, "%s", text);
}

/* Whether another transaction should follow at once. */
static bool writer_store_more(struct writer *writer)
{
	uint32_t enough = writer->options->sync ? 1 : AUDIT_QUEUE_WAKE_AT;
	for (struct writer_queue *queue = writer->queues; queue; queue = queue->next) {
		if (queue->finishing || drain_ready(queue->drain) >= enough)
			return true;
	}
	return false;
}

uint32_t writer_store_run(struct writer *writer, uint64_t now_ns)
{
	struct fault fault = {0};
	uint32_t rows = 0;
	writer->again = false;
	writer_store_open(writer, now_ns);
	if (!writer->store)
		return 0;
	int error = writer_store_transaction(writer, &rows, &fault);
	if (error == 0)
		error = store_upkeep(writer->store, clock_wall_ns(), &fault);
	if (error < 0) {
		writer_store_trouble(writer, error, &fault);
		return 0;
	}
	writer_store_tell_end_before(writer);
	if (!writer->was_ready || writer->in_trouble)
		writer_store_sound(writer);
	writer->again = writer_store_more(writer);
	return rows;
}

void writer_store_lost(struct writer *writer)
{
	struct fault fault = {0};
	if (!writer->store || !writer->link_entered || writer->gone_call < 0)
		return;
	int error =
		store_lost(writer->store, writer->link, writer->gone_ns, writer->gone_call, &fault);
	if (error == 0)
		error = store_commit(writer->store, &fault);
	if (error < 0)
		log_error(writer->log, "audit trail in %s: %s", writer->options->about, fault.text);
}
