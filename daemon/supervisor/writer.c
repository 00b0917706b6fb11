/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. The audit link keeps all that the writer has not confirmed, so a writer may
 * die at any moment: the next one is given everything again. A writer that keeps dying is started
 * after a pause that doubles; engines meanwhile fill their queues and then leave their rings
 * unread.
 */
#include "supervisor/writer.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "supervisor/child.h"

#define PAUSE_FIRST_NS (100 * NS_PER_MS)
#define PAUSE_MAX_NS   (5 * NS_PER_S)
#define STEADY_NS      (10 * NS_PER_S) /* having lived so long, it is started again at once */
#define ARGUMENTS_MAX  8
#define ARGUMENT_MAX   40

struct writer {
	struct loop *loop;
	const struct log *log;
	struct writer_options options;
	struct writer_calls calls;
	struct audit_link *link;
	struct child child;
	struct loop_source socket;
	struct loop_timer restart;
	int doorbell;
	bool ready;
	bool retired;
	uint32_t restarts;
	uint32_t queues; /* added and not yet stored wholly */
	uint64_t started_ns;
	uint64_t pause_ns; /* before the next start */
	char trouble[AUDIT_EVENT_TEXT_MAX];
};

static void link_ready(void *owner)
{
	struct writer *writer = owner;

	writer->ready = true;
	writer->trouble[0] = '\0';
	log_info(writer->log, "the audit writer is ready");
	writer->calls.ready(writer->calls.owner);
}

static void link_trouble(void *owner, const char *text)
{
	struct writer *writer = owner;

	snprintf(writer->trouble, sizeof(writer->trouble), "%s", text);
	writer->calls.trouble(writer->calls.owner, writer->trouble);
}

static void link_recovered(void *owner)
{
	struct writer *writer = owner;

	writer->trouble[0] = '\0';
	log_info(writer->log, "audit trail: records are stored again");
	writer_event(writer, AUDIT_EVENT_DISK, NULL, 0, "records are stored again");
}

static void link_finished(void *owner, const uint8_t queue_id[16])
{
	struct writer *writer = owner;

	(void)queue_id;
	writer->queues--;
}

static void link_damaged(void *owner, const uint8_t queue_id[16], const char *text)
{
	struct writer *writer = owner;

	writer->calls.damaged(writer->calls.owner, queue_id, text);
}

static void link_readable(struct loop_source *source, uint32_t events)
{
	struct writer *writer = source->owner;
	int error = audit_link_dispatch(writer->link);

	(void)events;
	if (!error)
		return;
	/* The process itself is dealt with when its end is seen; one that only closed its socket
	 * is of no use.
	 */
	loop_remove(writer->loop, &writer->socket);
	child_signal(&writer->child, SIGKILL);
}

/* An option that is given only if it has a value. */
static void add_number(char (*texts)[ARGUMENT_MAX], char **argv, size_t *count, const char *option,
		       uint64_t value)
{
	snprintf(texts[*count], ARGUMENT_MAX, "%s=%llu", option, (unsigned long long)value);
	argv[*count] = texts[*count];
	(*count)++;
}

static void child_exited(struct child *child, const struct child_end *end);

static int start_process(struct writer *writer, int socket)
{
	const struct writer_options *options = &writer->options;
	const int fds[] = {socket, writer->doorbell, options->directory_fd};
	char texts[ARGUMENTS_MAX][ARGUMENT_MAX] = {"pvcalls-auditd"};
	char *argv[ARGUMENTS_MAX + 1] = {texts[0]};
	size_t count = 1;
	const struct child_program program = {
		.path = options->program,
		.argv = argv,
		.fds = fds,
		.fd_count = sizeof(fds) / sizeof(fds[0]),
		.log_fd = options->log_fd,
	};

	if (options->uid != WRITER_STAY)
		add_number(texts, argv, &count, "--uid", options->uid);
	if (options->segment_bytes)
		add_number(texts, argv, &count, "--segment-bytes", options->segment_bytes);
	if (options->segment_age_s)
		add_number(texts, argv, &count, "--segment-age", options->segment_age_s);
	add_number(texts, argv, &count, "--log-level", writer->log->level);
	if (options->sync) {
		snprintf(texts[count], ARGUMENT_MAX, "--sync");
		argv[count] = texts[count];
	}
	return child_start(&writer->child, writer->loop, &program, child_exited, writer);
}

static int start(struct writer *writer)
{
	int ends[2];
	int error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	error = start_process(writer, ends[1]);
	close(ends[1]);
	if (error) {
		close(ends[0]);
		return error;
	}
	writer->started_ns = clock_monotonic_ns();
	error = audit_link_connect(writer->link, ends[0]);
	if (!error)
		error = loop_add(writer->loop, &writer->socket, audit_link_fd(writer->link),
				 EPOLLIN, link_readable, writer);
	return error;
}

static void restart(struct loop_timer *timer);

static void start_later(struct writer *writer)
{
	loop_arm(writer->loop, &writer->restart, clock_monotonic_ns() + writer->pause_ns, restart,
		 writer);
	writer->pause_ns = writer->pause_ns ? writer->pause_ns * 2 : PAUSE_FIRST_NS;
	if (writer->pause_ns > PAUSE_MAX_NS)
		writer->pause_ns = PAUSE_MAX_NS;
}

static void restart(struct loop_timer *timer)
{
	struct writer *writer = timer->owner;
	int error = start(writer);

	writer->restarts++;
	if (!error)
		return;
	log_error(writer->log, "cannot start %s: %s", writer->options.program, strerror(-error));
	if (writer->child.pid)
		child_signal(&writer->child, SIGKILL);
	else
		start_later(writer);
}

/* Reads what the dead writer still said: confirmations save work. */
static void drain(struct writer *writer)
{
	loop_remove(writer->loop, &writer->socket);
	for (unsigned int turn = 0; turn < 1000 && writer->link; turn++) {
		if (audit_link_dispatch(writer->link))
			return;
	}
}

static void child_exited(struct child *child, const struct child_end *end)
{
	struct writer *writer = child->owner;
	char text[64];

	child_describe_end(end, text, sizeof(text));
	drain(writer);
	if (writer->retired)
		return;
	if (!writer->ready && !writer->restarts && !writer->trouble[0]) {
		snprintf(writer->trouble, sizeof(writer->trouble),
			 "%s ended at its start: %s; see its log", writer->options.program, text);
		writer->calls.trouble(writer->calls.owner, writer->trouble);
		return;
	}
	writer->ready = false;
	log_error(writer->log, "the audit writer ended with %s; starting another", text);
	writer_event(writer, AUDIT_EVENT_WRITER_CRASHED, NULL, 0, "ended with %s", text);
	if (clock_monotonic_ns() - writer->started_ns > STEADY_NS)
		writer->pause_ns = 0;
	start_later(writer);
}

int writer_create(struct writer **made, struct loop *loop, const struct log *log,
		  const struct writer_options *options, const struct writer_calls *calls,
		  struct fault *fault)
{
	struct audit_link_calls link_calls = {.ready = link_ready,
					      .trouble = link_trouble,
					      .recovered = link_recovered,
					      .damaged = link_damaged,
					      .finished = link_finished};
	struct writer *writer = calloc(1, sizeof(*writer));
	int error;

	if (!writer)
		return fault_set(fault, ENOMEM, "no memory");
	if (access(options->program, X_OK) < 0) {
		error = fault_set(fault, ENOENT, "%s: %s; is the installation complete?",
				  options->program, strerror(errno));
		free(writer);
		return error;
	}
	*writer = (struct writer){.loop = loop, .log = log, .options = *options, .calls = *calls};
	writer->doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	link_calls.owner = writer;
	error = writer->doorbell < 0 ? -errno : audit_link_create(&writer->link, &link_calls);
	if (!error)
		error = start(writer);
	if (error) {
		fault_set(fault, -error, "%s: cannot be started: %s", options->program,
			  strerror(-error));
		writer_destroy(writer);
		return error;
	}
	*made = writer;
	return 0;
}

void writer_retire(struct writer *writer)
{
	writer->retired = true;
	loop_disarm(writer->loop, &writer->restart);
	loop_remove(writer->loop, &writer->socket);
	audit_link_destroy(writer->link);
	writer->link = NULL;
}

void writer_destroy(struct writer *writer)
{
	if (!writer)
		return;
	loop_disarm(writer->loop, &writer->restart);
	loop_remove(writer->loop, &writer->socket);
	child_forget(&writer->child);
	audit_link_destroy(writer->link);
	fd_close(&writer->doorbell);
	free(writer);
}

int writer_doorbell(const struct writer *writer)
{
	return writer->doorbell;
}

int writer_add(struct writer *writer, const uint8_t queue_id[16], int memfd, int engine_doorbell)
{
	int error = audit_link_add(writer->link, queue_id, memfd, engine_doorbell);

	writer->queues += error == 0;
	return error;
}

void writer_finish(struct writer *writer, const uint8_t queue_id[16])
{
	if (writer->link)
		audit_link_finish(writer->link, queue_id);
}

uint32_t writer_queues(const struct writer *writer)
{
	return writer->queues;
}

void writer_event(struct writer *writer, enum audit_event kind, const char *guest, uint32_t uid,
		  const char *format, ...)
{
	char text[AUDIT_EVENT_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (writer->link)
		audit_link_event(writer->link, kind, guest, uid, text);
}

void writer_status(const struct writer *writer, struct writer_status *status)
{
	*status = (struct writer_status){
		.ready = writer->ready,
		.pid = writer->child.pid,
		.restarts = writer->restarts,
		.pending = writer->link ? audit_link_pending(writer->link) : 0,
		.trouble = writer->trouble,
	};
}
