/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. The audit link keeps all that pvcalls-auditd has not confirmed, so it may
 * die at any moment: the next one is given everything again. One that keeps dying is started after
 * a pause that doubles; engines meanwhile fill their queues and then leave their rings unread.
 */
#include "supervisor/children/auditd_process.h"

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

#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "ipc/auditd_message.h"
#include "supervisor/children/child.h"

#define AUDITD_PAUSE_FIRST_NS (100 * NS_PER_MS)
#define AUDITD_PAUSE_MAX_NS   (5 * NS_PER_S)
#define AUDITD_STEADY_NS      (10 * NS_PER_S) /* having lived so long, it is started again at once */
#define AUDITD_ARGUMENTS_MAX  8
#define AUDITD_ARGUMENT_MAX   40

struct auditd_process {
	struct loop *loop;
	const struct log *log;
	struct auditd_process_options options;
	struct auditd_process_calls calls;
	struct audit_link *link;
	struct child child;
	struct loop_source socket;
	struct loop_timer restart;
	int eventfd; /* by which engines wake it */
	bool ready;
	bool retired;
	uint32_t restarts;
	uint32_t queues; /* added and not yet stored wholly */
	uint64_t started_ns;
	uint64_t pause_ns; /* before the next start */
	char trouble[AUDIT_EVENT_TEXT_MAX];
};

static void auditd_process_is_ready(void *owner)
{
	struct auditd_process *auditd = owner;

	auditd->ready = true;
	auditd->trouble[0] = '\0';
	log_info(auditd->log, "the audit writer is ready");
	auditd->calls.ready(auditd->calls.owner);
}

static void auditd_process_in_trouble(void *owner, const char *text)
{
	struct auditd_process *auditd = owner;

	snprintf(auditd->trouble, sizeof(auditd->trouble), "%s", text);
	auditd->calls.trouble(auditd->calls.owner, auditd->trouble);
}

static void auditd_process_recovered(void *owner)
{
	struct auditd_process *auditd = owner;

	auditd->trouble[0] = '\0';
	log_info(auditd->log, "audit trail: records are stored again");
	auditd_process_event(auditd, AUDIT_EVENT_DISK, NULL, 0, "records are stored again");
}

static void auditd_process_queue_finished(void *owner, const uint8_t queue_id[16])
{
	struct auditd_process *auditd = owner;

	(void)queue_id;
	ASSERT(auditd->queues > 0);
	auditd->queues--;
}

static void auditd_process_queue_damaged(void *owner, const uint8_t queue_id[16], const char *text)
{
	struct auditd_process *auditd = owner;

	auditd->calls.damaged(auditd->calls.owner, queue_id, text);
}

static void auditd_process_readable(struct loop_source *source, uint32_t events)
{
	struct auditd_process *auditd = source->owner;
	int error = audit_link_dispatch(auditd->link);

	(void)events;
	if (!error)
		return;
	/* The process itself is dealt with when its end is seen; one that only closed its socket
	 * is of no use.
	 */
	loop_remove(auditd->loop, &auditd->socket);
	child_signal(&auditd->child, SIGKILL);
}

/* Adds "option=value" to argv; *count grows. */
static void auditd_process_add_number(char (*texts)[AUDITD_ARGUMENT_MAX], char **argv,
				      size_t *count, const char *option, uint64_t value)
{
	snprintf(texts[*count], AUDITD_ARGUMENT_MAX, "%s=%llu", option, (unsigned long long)value);
	argv[*count] = texts[*count];
	(*count)++;
}

static void auditd_process_exited(struct child *child, const struct child_end *end);

static int auditd_process_spawn(struct auditd_process *auditd, int socket)
{
	const struct auditd_process_options *options = &auditd->options;
	const int fds[] = {socket, auditd->eventfd, options->directory_fd};
	char texts[AUDITD_ARGUMENTS_MAX][AUDITD_ARGUMENT_MAX] = {"pvcalls-auditd"};
	char *argv[AUDITD_ARGUMENTS_MAX + 1] = {texts[0]};
	size_t count = 1;
	const struct child_program program = {
		.path = options->program,
		.argv = argv,
		.fds = fds,
		.fd_count = sizeof(fds) / sizeof(fds[0]),
		.log_fd = options->log_fd,
	};

	_Static_assert(AUDITD_SOCKET_FD == CHILD_FD_FIRST && AUDITD_EVENTFD == CHILD_FD_FIRST + 1 &&
			       AUDITD_FOLDER_FD == CHILD_FD_FIRST + 2,
		       "where auditd looks for them");
	if (options->uid != AUDITD_STAY)
		auditd_process_add_number(texts, argv, &count, "--uid", options->uid);
	if (options->segment_bytes)
		auditd_process_add_number(texts, argv, &count, "--segment-bytes",
					  options->segment_bytes);
	if (options->segment_age_s)
		auditd_process_add_number(texts, argv, &count, "--segment-age",
					  options->segment_age_s);
	auditd_process_add_number(texts, argv, &count, "--log-level", auditd->log->level);
	if (options->sync) {
		snprintf(texts[count], AUDITD_ARGUMENT_MAX, "--sync");
		argv[count] = texts[count];
	}
	return child_start(&auditd->child, auditd->loop, &program, auditd_process_exited, auditd);
}

static int auditd_process_start(struct auditd_process *auditd)
{
	int ends[2];
	int error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	error = auditd_process_spawn(auditd, ends[1]);
	close(ends[1]);
	if (error) {
		close(ends[0]);
		return error;
	}
	auditd->started_ns = clock_monotonic_ns();
	error = audit_link_connect(auditd->link, ends[0]);
	if (!error)
		error = loop_add(auditd->loop, &auditd->socket, audit_link_fd(auditd->link),
				 EPOLLIN, auditd_process_readable, auditd);
	return error;
}

static void auditd_process_restart(struct loop_timer *timer);

static void auditd_process_start_later(struct auditd_process *auditd)
{
	loop_arm(auditd->loop, &auditd->restart, clock_monotonic_ns() + auditd->pause_ns,
		 auditd_process_restart, auditd);
	auditd->pause_ns = auditd->pause_ns ? auditd->pause_ns * 2 : AUDITD_PAUSE_FIRST_NS;
	if (auditd->pause_ns > AUDITD_PAUSE_MAX_NS)
		auditd->pause_ns = AUDITD_PAUSE_MAX_NS;
}

static void auditd_process_restart(struct loop_timer *timer)
{
	struct auditd_process *auditd = timer->owner;
	int error = auditd_process_start(auditd);

	auditd->restarts++;
	if (!error)
		return;
	log_error(auditd->log, "cannot start %s: %s", auditd->options.program, strerror(-error));
	if (auditd->child.pid)
		child_signal(&auditd->child, SIGKILL);
	else
		auditd_process_start_later(auditd);
}

/* Reads what the dead process still said: confirmations save work. */
static void auditd_process_drain(struct auditd_process *auditd)
{
	loop_remove(auditd->loop, &auditd->socket);
	for (unsigned int turn = 0; turn < 1000 && auditd->link; turn++) {
		if (audit_link_dispatch(auditd->link))
			return;
	}
}

static void auditd_process_exited(struct child *child, const struct child_end *end)
{
	struct auditd_process *auditd = child->owner;
	char text[64];

	child_describe_end(end, text, sizeof(text));
	auditd_process_drain(auditd);
	if (auditd->retired)
		return;
	if (!auditd->ready && !auditd->restarts && !auditd->trouble[0]) {
		snprintf(auditd->trouble, sizeof(auditd->trouble),
			 "%s ended at its start: %s; see its log", auditd->options.program, text);
		auditd->calls.trouble(auditd->calls.owner, auditd->trouble);
		return;
	}
	auditd->ready = false;
	log_error(auditd->log, "the audit writer ended with %s; starting another", text);
	auditd_process_event(auditd, AUDIT_EVENT_WRITER_CRASHED, NULL, 0, "ended with %s", text);
	if (clock_monotonic_ns() - auditd->started_ns > AUDITD_STEADY_NS)
		auditd->pause_ns = 0;
	auditd_process_start_later(auditd);
}

int auditd_process_create(struct auditd_process **made, struct loop *loop, const struct log *log,
			  const struct auditd_process_options *options,
			  const struct auditd_process_calls *calls, struct fault *fault)
{
	struct audit_link_calls link_calls = {.ready = auditd_process_is_ready,
					      .trouble = auditd_process_in_trouble,
					      .recovered = auditd_process_recovered,
					      .damaged = auditd_process_queue_damaged,
					      .finished = auditd_process_queue_finished};
	struct auditd_process *auditd = calloc(1, sizeof(*auditd));
	int error;

	if (!auditd)
		return fault_set(fault, ENOMEM, "no memory");
	if (access(options->program, X_OK) < 0) {
		error = fault_set(fault, ENOENT, "%s: %s; is the installation complete?",
				  options->program, strerror(errno));
		free(auditd);
		return error;
	}
	*auditd = (struct auditd_process){
		.loop = loop, .log = log, .options = *options, .calls = *calls};
	auditd->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	link_calls.owner = auditd;
	error = auditd->eventfd < 0 ? -errno : audit_link_create(&auditd->link, &link_calls);
	if (!error)
		error = auditd_process_start(auditd);
	if (error) {
		fault_set(fault, -error, "%s: cannot be started: %s", options->program,
			  strerror(-error));
		auditd_process_destroy(auditd);
		return error;
	}
	*made = auditd;
	return 0;
}

void auditd_process_retire(struct auditd_process *auditd)
{
	auditd->retired = true;
	loop_disarm(auditd->loop, &auditd->restart);
	loop_remove(auditd->loop, &auditd->socket);
	audit_link_destroy(auditd->link);
	auditd->link = NULL;
}

void auditd_process_destroy(struct auditd_process *auditd)
{
	if (!auditd)
		return;
	loop_disarm(auditd->loop, &auditd->restart);
	loop_remove(auditd->loop, &auditd->socket);
	child_forget(&auditd->child);
	audit_link_destroy(auditd->link);
	fd_close(&auditd->eventfd);
	free(auditd);
}

int auditd_process_eventfd(const struct auditd_process *auditd)
{
	return auditd->eventfd;
}

int auditd_process_add(struct auditd_process *auditd, const uint8_t queue_id[16], int memfd,
		       int engine_eventfd)
{
	int error;

	ASSERT(!auditd->retired);
	error = audit_link_add(auditd->link, queue_id, memfd, engine_eventfd);

	auditd->queues += error == 0;
	return error;
}

void auditd_process_finish(struct auditd_process *auditd, const uint8_t queue_id[16])
{
	if (auditd->link)
		audit_link_finish(auditd->link, queue_id);
}

bool auditd_process_ended_in_hook(const struct auditd_process *auditd, const uint8_t queue_id[16],
				  struct hook_mark *mark)
{
	return auditd->link && audit_link_ended_in_hook(auditd->link, queue_id, mark);
}

uint32_t auditd_process_queues(const struct auditd_process *auditd)
{
	return auditd->queues;
}

void auditd_process_event(struct auditd_process *auditd, enum audit_event kind, const char *guest,
			  uint32_t uid, const char *format, ...)
{
	char text[AUDIT_EVENT_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (auditd->link)
		audit_link_event(auditd->link, kind, guest, uid, text);
}

void auditd_process_status(const struct auditd_process *auditd,
			   struct auditd_process_status *status)
{
	*status = (struct auditd_process_status){
		.ready = auditd->ready,
		.pid = auditd->child.pid,
		.restarts = auditd->restarts,
		.pending = auditd->link ? audit_link_pending(auditd->link) : 0,
		.trouble = auditd->trouble,
	};
}
