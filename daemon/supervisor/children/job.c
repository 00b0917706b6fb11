/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/children/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "supervisor/children/child.h"

#define JOB_MEMORY_MAX (4ull << 30) /* bytes of address space */
#define JOB_FILES_MAX  256u
#define JOB_CPU_S      30u

struct job {
	struct loop *loop;
	struct child child;
	struct loop_source output;
	struct loop_timer timer;
	int fd; /* our end of the pipe; -1 after its end */
	int result;
	job_done_fn done;
	void *owner;
	size_t used;
	char text[JOB_TEXT_MAX];
};

static void job_limit(int resource, rlim_t most)
{
	struct rlimit value = {.rlim_cur = most, .rlim_max = most};

	setrlimit(resource, &value);
}

static void job_limit_self(void)
{
	job_limit(RLIMIT_CPU, JOB_CPU_S);
	job_limit(RLIMIT_CORE, 0);
	job_limit(RLIMIT_FSIZE, 0);
	job_limit(RLIMIT_NOFILE, JOB_FILES_MAX);
#ifndef PVCALLS_SANITIZED /* its shadow alone is larger */
	job_limit(RLIMIT_AS, JOB_MEMORY_MAX);
#endif
}

static void job_run(job_run_fn run, void *context, int output)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	child_close_others(output);
	job_limit_self();
	setsid();
	_exit(run(context, output));
}

static void job_release(struct job *job)
{
	loop_remove(job->loop, &job->output);
	loop_disarm(job->loop, &job->timer);
	fd_close(&job->fd);
	free(job);
}

/* Both the pipe's end and the process's end have to come; their order is not known. */
static void job_finish_if_over(struct job *job)
{
	job_done_fn done = job->done;
	void *owner = job->owner;

	if (job->fd >= 0 || job->child.pid)
		return;
	job->text[job->used] = '\0';
	loop_disarm(job->loop, &job->timer);
	done(owner, job->result, job->text);
	job_release(job);
}

static void job_read_output(struct loop_source *source, uint32_t events)
{
	struct job *job = source->owner;
	char scrap[4096];
	bool full = job->used == JOB_TEXT_MAX - 1;
	ssize_t got = full ? read(job->fd, scrap, sizeof(scrap))
			   : read(job->fd, job->text + job->used, JOB_TEXT_MAX - 1 - job->used);

	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0) {
		job->used += full ? 0 : (size_t)got;
		return;
	}
	loop_remove(job->loop, &job->output);
	fd_close(&job->fd);
	job_finish_if_over(job);
}

static void job_exited(struct child *child, const struct child_end *end)
{
	struct job *job = child->owner;

	if (end->code != CLD_EXITED)
		job->result = job->result ? job->result : -ECHILD;
	else
		job->result = end->status;
	job_finish_if_over(job);
}

static void job_expired(struct loop_timer *timer)
{
	struct job *job = timer->owner;

	job->result = -ETIMEDOUT;
	child_signal(&job->child, SIGKILL);
}

static int job_watch(struct job *job, pid_t pid, uint64_t timeout_ns)
{
	int error = child_watch(&job->child, job->loop, pid, job_exited, job);

	if (error) {
		job_release(job);
		return error;
	}
	error = loop_add(job->loop, &job->output, job->fd, EPOLLIN, job_read_output, job);
	if (!error)
		error = loop_arm(job->loop, &job->timer, clock_monotonic_ns() + timeout_ns,
				 job_expired, job);
	if (error)
		job_cancel(job);
	return error;
}

int job_start(struct job **made, struct loop *loop, job_run_fn run, void *context,
	      uint64_t timeout_ns, job_done_fn done, void *owner)
{
	struct job *job = calloc(1, sizeof(*job));
	autoclose int output = -1;
	int ends[2];
	pid_t pid;
	int error;

	if (!job)
		return -ENOMEM;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		error = -errno;
		free(job);
		return error;
	}
	output = ends[1];
	*job = (struct job){.loop = loop, .fd = ends[0], .done = done, .owner = owner};
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	pid = fork();
	if (pid == 0)
		job_run(run, context, output);
	if (pid < 0) {
		error = -errno;
		job_release(job);
		return error;
	}
	error = job_watch(job, pid, timeout_ns);
	if (!error)
		*made = job;
	return error;
}

void job_cancel(struct job *job)
{
	pid_t pid;

	if (!job)
		return;
	pid = job->child.pid;
	child_signal(&job->child, SIGKILL);
	child_forget(&job->child);
	if (pid)
		waitpid(pid, NULL, 0);
	job_release(job);
}

void job_say(int output, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t wrote = write(output, text, left);

		if (wrote < 0 && errno != EINTR)
			return;
		if (wrote > 0) {
			text += wrote;
			left -= (size_t)wrote;
		}
	}
}
