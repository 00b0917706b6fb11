/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pvcalls-engine processes: one for each attached guest.
 *
 * An engine outlives the guest it serves by the time it needs to write its release records. So it
 * is not owned by the guest: engines_leave() ends what both have to do with each other, and what is
 * left is done here.
 */
#ifndef SUPERVISOR_ENGINES_H
#define SUPERVISOR_ENGINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/record.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/control.h"
#include "policy/source.h"
#include "supervisor/child.h"
#include "supervisor/config.h"
#include "supervisor/writer.h"
#include "transport/device.h"

#define ENGINE_STAY UINT32_MAX /* uid: keep the daemon's */

#define ENGINE_START_NS   (30 * NS_PER_S)   /* until READY: policies may be large */
#define ENGINE_END_NS     (1 * NS_PER_S)    /* for DETACHED, and again for the process's end */
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

/* A question (CONTROL_STATUS or CONTROL_KILL) and who waits for its answer. */
struct engine_question {
	/* error: 0, -ETIMEDOUT or -EPIPE (the engine ended), or the engine's; text: all reports. */
	void (*answered)(void *owner, int error, const char *text);
	void *owner;
	enum control_kind kind;
	uint64_t number; /* the engine's answer bears it too */
	uint64_t deadline_ns;
	char *text;
	size_t used;
};

struct engines;

/* One process. Fields are for reading only, outside engines.c and its tests. */
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

/* Starts a process for engine, whose end of the socket is given. Returns 0 or -errno. */
typedef int (*engine_spawn_fn)(struct engine *engine, int socket);

/* What all engines have in common. Filled by the owner, then engines_open(). */
struct engines {
	struct loop *loop;
	const struct log *log;
	struct writer *writer;
	const struct config *config;
	const char *program;
	const char *plugin_dir;
	int log_fd;
	bool privileged; /* engines change to uids of the range */
	enum control_transport transport;
	engine_spawn_fn spawn; /* engine_spawn(), or a test's */
	/* its own */
	struct engine *list;
	uint32_t count;
	uint8_t *slots; /* 1: in use */
	uint64_t look_ns;
	struct loop_timer watchdog;
};

int engines_open(struct engines *engines);
/* Kills what is left; each process's end is still to be seen. */
void engines_kill_all(struct engines *engines);
/* Frees all, killing what is left. */
void engines_close(struct engines *engines);

/*
 * Starts an engine for device with its policy (NULL: deny all). The first call is ready() or
 * failed(). Returns 0 and *engine, or -errno with *fault.
 */
int engine_begin(struct engines *engines, struct engine **engine, struct device *device,
		 const struct policy_source *policy, const struct engine_calls *calls, void *owner,
		 struct fault *fault);
int engine_spawn(struct engine *engine, int socket);
/* To an engine that is READY. */
int engine_serve(struct engine *engine, const struct control_attach *attach);
/* Gives it another policy; policy_taken() follows. */
int engine_policy(struct engine *engine, const struct policy_source *policy);
/* Ends it in order: detached() follows within ENGINE_END_NS, unless the owner has left. */
void engine_release(struct engine *engine, enum audit_close reason);
/* The owner goes; the engine is ended if it was not. */
void engine_leave(struct engine *engine, enum audit_close reason);
/*
 * Asks CONTROL_STATUS, or CONTROL_KILL with a socket's number. Returns 0, then answered() follows
 * within timeout_ns, or -errno.
 */
int engine_ask(struct engine *engine, enum control_kind kind, uint32_t value, uint64_t number,
	       uint64_t timeout_ns, void (*answered)(void *owner, int error, const char *text),
	       void *owner);

/* Reads what engine has sent; for the watchdog, before it judges. */
void engine_receive(struct engine *engine);
/* Kills an engine; what is the reason that is logged and stored. */
void engine_kill(struct engine *engine, const char *what);
/* Kills the engine that writes this queue. */
void engines_kill_queue(struct engines *engines, const uint8_t queue_id[16], const char *what);

#endif
