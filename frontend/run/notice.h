/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notices: system calls of the program that stopped and wait for an answer.
 *
 * A notice is named by its id. It can die at any moment (its thread was killed or interrupted by a
 * signal): then answering it fails with -ENOENT, and what was done for it must be taken back or
 * kept for the time the program asks again.
 */
#ifndef RUN_NOTICE_H
#define RUN_NOTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NOTICE_PROCESSES 64 /* processes whose descriptors are kept at hand */

struct notice {
	uint64_t id;
	pid_t tid; /* the thread, in our numbering */
	int call;  /* the system call's number */
	uint64_t args[6];
};

struct notices {
	int fd; /* borrowed */
	struct {
		pid_t tid;
		int fd; /* pidfd */
	} process[NOTICE_PROCESSES];
};

void notices_init(struct notices *notices, int fd);
void notices_close(struct notices *notices);
/* Takes one waiting notice. 0, or -errno (-ENOENT: it died just now). */
int notice_take(struct notices *notices, struct notice *notice);
/* Whether the call still waits: what was read of the process was really its. */
bool notice_alive(struct notices *notices, uint64_t id);

/* Answers with result (0 or more, or -errno). 0, or -ENOENT if the notice is dead. */
int notice_answer(struct notices *notices, uint64_t id, int64_t result);
/* Hands the call back to the kernel, as if it had not been caught. */
int notice_continue(struct notices *notices, uint64_t id);
/*
 * Gives the process a descriptor for fd (borrowed) and answers with its number, both or neither.
 * Returns the number, -ENOENT, or another -errno such as -EMFILE (then it is not answered).
 */
int notice_give_fd(struct notices *notices, uint64_t id, int fd, bool close_on_exec);
/* Puts fd (borrowed) in the place of the process's descriptor number; does not answer. */
int notice_replace_fd(struct notices *notices, uint64_t id, int fd, int number, bool close_on_exec);

/* A duplicate of a descriptor of the process that tid belongs to; the caller owns it. Or -errno. */
int notice_take_fd(struct notices *notices, pid_t tid, int number);
/* Whether a descriptor of the process is closed on exec. */
bool notice_close_on_exec(const struct notice *notice, int number);
/* Copies bytes from or to the process. 0, or -EFAULT. */
int notice_read(const struct notice *notice, uint64_t address, void *bytes, size_t size);
int notice_write(const struct notice *notice, uint64_t address, const void *bytes, size_t size);

#endif
