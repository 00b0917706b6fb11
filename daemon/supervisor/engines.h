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

#include "base/log.h"
#include "base/loop.h"
#include "ipc/audit_record.h"
#include "ipc/engine_message.h"
#include "policy/yaml/source.h"
#include "supervisor/config.h"
#include "supervisor/engine_process.h"
#include "supervisor/writer.h"
#include "transport/device.h"

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
	enum engine_transport transport;
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
 * Starts an engine for device with its policy (NULL: deny all) and its recovery log (-1: none;
 * borrowed). The first call is ready() or failed(). Returns 0 and *made, or -errno with *fault.
 */
int engine_begin(struct engines *engines, struct engine **made, struct device *device,
		 const struct policy_source *policy, int recovery_log,
		 const struct engine_calls *calls, void *owner, struct fault *fault);
/* To an engine that is READY. */
int engine_serve(struct engine *engine, const struct engine_attach_args *attach);
/* Gives it another policy; policy_taken() follows. */
int engine_policy(struct engine *engine, const struct policy_source *policy);
/* Ends it in order: detached() follows within ENGINE_END_NS, unless the owner has left. */
void engine_release(struct engine *engine, enum audit_close reason);
/* The owner goes; the engine is ended if it was not. */
void engine_leave(struct engine *engine, enum audit_close reason);
/*
 * Asks ENGINE_MESSAGE_STATUS, or ENGINE_MESSAGE_KILL with a socket's number. Returns 0, then
 * answered() follows within timeout_ns, or -errno.
 */
int engine_ask(struct engine *engine, enum engine_message_kind kind, uint32_t value,
	       uint64_t number, uint64_t timeout_ns,
	       void (*answered)(void *owner, int error, const char *text), void *owner);

/* Reads what engine has sent; for the watchdog, before it judges. */
void engine_receive(struct engine *engine);
/* Kills an engine; what is the reason, logged and stored when the process's end is seen. */
void engine_kill(struct engine *engine, const char *what);
/* Kills the engine that writes this queue. */
void engines_kill_queue(struct engines *engines, const uint8_t queue_id[16], const char *what);

#endif
