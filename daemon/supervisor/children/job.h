/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A function that is run in a child of its own, because it runs code of plugins, which must never
 * run inside the supervisor: limited in time, memory and rights, killed when it hangs.
 */
#ifndef SUPERVISOR_CHILDREN_JOB_H
#define SUPERVISOR_CHILDREN_JOB_H

#include <stdint.h>

#include "base/loop.h"

#define JOB_TEXT_MAX 65536u /* bytes of what a job may say, with the NUL; cut beyond */

struct job;

/* Runs in the child; says what it has to say on output. Returns the exit status: 0 is success. */
typedef int (*job_run_fn)(void *context, int output);
/*
 * What came of it: result 0, the child's exit status, -ETIMEDOUT or -ECHILD (it was killed); the
 * job is freed afterwards.
 */
typedef void (*job_done_fn)(void *owner, int result, const char *text);

/* Starts a job; done is called from the loop, once, within timeout_ns. Returns 0 or -errno. */
int job_start(struct job **made, struct loop *loop, job_run_fn run, void *context,
	      uint64_t timeout_ns, job_done_fn done, void *owner);
/* Kills and frees a job; done is not called. NULL is nothing. */
void job_cancel(struct job *job);

/* In a job: writes all of a text to output. */
void job_say(int output, const char *text);

#endif
