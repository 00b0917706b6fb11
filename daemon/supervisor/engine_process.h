/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One pvcalls-engine process, as the supervisor sees it. */
#ifndef SUPERVISOR_ENGINE_PROCESS_H
#define SUPERVISOR_ENGINE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#include "base/clock.h"
#include "base/loop.h"
#include "ipc/engine_message.h"
#include "supervisor/child.h"

struct engines;

#define ENGINE_STAY UINT32_MAX /* uid: keep the daemon's */

#define ENGINE_START_NS   (30 * NS_PER_S)   /* until READY: policies may be large */
#define ENGINE_END_NS     (1 * NS_PER_S)    /* for DETACHED, and again for the process's end */
#define ENGINE_TAILS_NS   (600 * NS_PER_S)  /* for that, when peers are still to get bytes */
#define ENGINE_POLICY_NS  (30 * NS_PER_S)   /* until POLICY_TAKEN */
#define ENGINE_PING_NS    (500 * NS_PER_MS) /* between looks at all engines */
#define ENGINE_SILENCE_NS (1500 * NS_PER_MS)
#define ENGINE_QUESTIONS  16u /* that may be open at once */

enum engine_phase {
	ENGINE_STARTING, /* READY has not come */
	ENGINE_READY,
	ENGINE_ATTACHING,
	ENGINE_ATTACHED,
	ENGINE_DETACHING, /* DETACH was sent; DETACHED or the process's end is waited for */
	ENGINE_ENDING,    /* its socket is closed; the process's end is waited for */
};

/* What a guest is told of its engine. After ended() the engine is gone. */
struct engine_calls {
	void (*ready)(void *owner);
	void (*attached)(void *owner);
	/* START, TRANSPORT or ATTACH failed; error is a negative errno. */
	void (*failed)(void *owner, int error, const char *text);
	void (*broken)(void *owner, const char *text);
	void (*detached)(void *owner);
	void (*policy_taken)(void *owner, int error, const char *text);
	/* It ended unasked: crashed, or was killed because it hung. */
	void (*ended)(void *owner, const char *text);
};

/* A question (ENGINE_MESSAGE_STATUS or ENGINE_MESSAGE_KILL) and who waits for its answer. */
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

/* One process. Fields are for reading only, outside of engines.c, its messages and its watchdog. */
struct engine {
	struct engine *next;
	struct engines *engines;
	enum engine_phase phase;
	struct child child;
	int socket;
	struct loop_source source;
	struct loop_timer deadline; /* of the phase, or of POLICY_TAKEN */
	struct loop_timer answers;  /* of the question that waits longest */
	struct pvcalls_guest guest;
	uint8_t queue_id[16];
	uint32_t slot;    /* its uid is the range's first plus this */
	uint64_t ping_ns; /* when the open PING was sent; 0: none is open */
	uint64_t pings;
	bool policy_pending;
	char end[96]; /* why we kill it; empty: we do not */
	const struct engine_calls *calls;
	void *owner; /* NULL: the guest has left */
	struct engine_question questions[ENGINE_QUESTIONS];
	uint32_t question_count;
	uint64_t asked;
};

#endif
