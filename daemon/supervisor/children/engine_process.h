/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One pvcalls-engine process, as the supervisor sees it: its phase, its socket and its deadline.
 *
 * A phase lasts at most as long as its deadline allows. Whatever goes wrong with an engine ends the
 * same way: it is killed, and what there is to do is done when the end of its process is seen.
 */
#ifndef SUPERVISOR_CHILDREN_ENGINE_PROCESS_H
#define SUPERVISOR_CHILDREN_ENGINE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#include "base/clock.h"
#include "base/loop.h"
#include "ipc/engine_message.h"
#include "supervisor/children/child.h"

struct engine_processes;

#define ENGINE_START_NS     (30 * NS_PER_S)   /* until READY: policies may be large */
#define ENGINE_END_NS       (1 * NS_PER_S)    /* for DETACHED, and again for the process's end */
#define ENGINE_LINGER_NS    (600 * NS_PER_S)  /* for that, when peers are still to get bytes */
#define ENGINE_POLICY_NS    (30 * NS_PER_S)   /* until POLICY_TAKEN */
#define ENGINE_PING_NS      (500 * NS_PER_MS) /* between two rounds of PINGs */
#define ENGINE_SILENCE_NS   (1500 * NS_PER_MS)
#define ENGINE_QUESTIONS    16u /* that may be open at once */
#define ENGINE_END_TEXT_MAX 320 /* bytes of why it ends, with the NUL */

enum engine_phase {
	ENGINE_STARTING, /* READY has not come */
	ENGINE_READY,
	ENGINE_ATTACHING,
	ENGINE_ATTACHED,
	ENGINE_DETACHING, /* DETACH was sent; DETACHED or the process's end is waited for */
	ENGINE_ENDING,    /* its socket is closed; the process's end is waited for */
};

/* What an engine's owner is told of it. After ended() the engine is gone. */
struct engine_process_calls {
	void (*ready)(void *owner);
	void (*attached)(void *owner);
	/* START, TRANSPORT or ATTACH failed; error is a negative errno. */
	void (*failed)(void *owner, int error, const char *text);
	void (*broken)(void *owner, const char *text);
	/* All slots of the command ring wait, for this. */
	void (*full)(void *owner, const char *text);
	void (*detached)(void *owner);
	void (*policy_taken)(void *owner, int error, const char *text);
	/* It ended unasked: crashed, or was killed because it hung. */
	void (*ended)(void *owner, const char *text);
};

/* A memory that an engine has until its process is gone. */
struct engine_loan {
	int fd;
	void (*give_back)(void *lender, const char *guest, int fd);
	void *lender;
};

/* Memories that outlive an engine. */
struct engine_keeps {
	int recovery_log;              /* ipc/recovery_log.h, borrowed; -1: none */
	struct engine_loan allowances; /* policy/plugin_host/allowances.h */
};

/* A question to an engine (STATUS or KILL) and who waits for its answer. */
struct engine_question {
	/* error: 0, -ETIMEDOUT or -EPIPE (the engine ended), or the engine's; text: all reports. */
	void (*answered)(void *owner, int error, const char *text);
	void *owner;
	enum engine_message_kind kind;
	uint64_t number; /* the engine's answer bears it too */
	uint64_t deadline_ns;
	char *text;
	size_t used;
};

/* One process. Fields are for reading only, outside of children/. */
struct engine_process {
	struct engine_process *next;
	struct engine_processes *engines;
	struct loop *loop;
	enum engine_phase phase;
	struct child child;
	int socket; /* -1: closed */
	struct loop_source source;
	struct loop_timer deadline; /* of the phase, or of POLICY_TAKEN */
	struct loop_timer answers;  /* of the question that waits longest */
	struct pvcalls_guest guest;
	uint8_t queue_id[16];
	struct engine_loan allowances;
	uint32_t slot;    /* its uid is the range's first plus this */
	uint64_t ping_ns; /* when the open PING was sent; 0: none is open */
	uint64_t pings;
	bool policy_pending;
	char end[ENGINE_END_TEXT_MAX]; /* why it ends unasked; empty: nobody has said */
	const struct engine_process_calls *calls;
	void *owner; /* NULL: the owner has left */
	struct engine_question questions[ENGINE_QUESTIONS];
	uint32_t question_count;
	uint64_t asked;
};

/* Gives the engine so long from now on, in nanoseconds, before it is killed. */
void engine_process_set_deadline(struct engine_process *engine, uint64_t from_now_ns);
/*
 * Kills the process. what says why, as it goes on behind "the engine": it is logged and stored when
 * the process's end is seen. What was said first stays.
 */
void engine_process_kill(struct engine_process *engine, const char *what);
/* Closes the socket, of both watching it and the descriptor. */
void engine_process_close_socket(struct engine_process *engine);
/* Closes its socket: within so many nanoseconds it ends by itself, or is killed. */
void engine_process_finish(struct engine_process *engine, uint64_t within_ns);

#endif
