/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trap: where system calls of the program arrive that the filter stops, and how they are
 * answered (seccomp_unotify(2)).
 *
 * A trapped call is named by its id. It can die at any moment (its thread was killed or interrupted
 * by a signal): then answering it fails with -ENOENT, and what was done for it must be taken back
 * or kept for the time the program asks again.
 */
#ifndef PROGRAM_TRAP_H
#define PROGRAM_TRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TRAP_PROCESSES 64 /* processes whose descriptors are kept at hand */

/* A system call of the program that stopped and waits for an answer. */
struct trapped_call {
	uint64_t id;
	pid_t tid;  /* the thread, in our numbering */
	int number; /* of the system call */
	uint64_t args[6];
};

/* Where they arrive, and processes that they came from. */
struct trap {
	int fd; /* borrowed */
	struct {
		pid_t tid;
		int fd; /* pidfd */
	} process[TRAP_PROCESSES];
};

/* Starts on a descriptor of call_filter_install(), which stays the caller's. */
void trap_init(struct trap *trap, int fd);
/* Forgets all processes. */
void trap_close(struct trap *trap);
/* Takes one waiting call. 0, or -errno (-ENOENT: it died just now). */
int trap_take(struct trap *trap, struct trapped_call *call);
/* Whether the call still waits: what was read of the process was really its. */
bool trap_alive(struct trap *trap, uint64_t id);

/* Answers with result (0 or more, or -errno). 0, or -ENOENT if the call is dead. */
int trap_answer(struct trap *trap, uint64_t id, int64_t result);
/* Hands the call back to the kernel, as if it had not been caught. */
int trap_continue(struct trap *trap, uint64_t id);
/*
 * Gives the process a descriptor for fd (borrowed) and answers with its number, both or neither.
 * Returns the number, -ENOENT, or another -errno such as -EMFILE (then it is not answered).
 */
int trap_give_fd(struct trap *trap, uint64_t id, int fd, bool close_on_exec);
/* Puts fd (borrowed) in the place of the process's descriptor number; does not answer. */
int trap_replace_fd(struct trap *trap, uint64_t id, int fd, int number, bool close_on_exec);

/* A duplicate of a descriptor of the process that tid belongs to; the caller owns it. Or -errno. */
int trap_take_fd(struct trap *trap, pid_t tid, int number);
/* Whether a descriptor of the process is closed on exec. */
bool trap_close_on_exec(const struct trapped_call *call, int number);
/* Copies bytes from or to the process. 0, or -EFAULT. */
int trap_read(const struct trapped_call *call, uint64_t address, void *bytes, size_t size);
int trap_write(const struct trapped_call *call, uint64_t address, const void *bytes, size_t size);

#endif
