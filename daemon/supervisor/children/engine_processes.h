/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pvcalls-engine processes: one for each attached guest.
 *
 * An engine outlives the guest it serves by the time it needs to write its release records. So it
 * is not owned by the guest: engine_order_leave() ends what both have to do with each other, and
 * what is left is done here.
 */
#ifndef SUPERVISOR_CHILDREN_ENGINE_PROCESSES_H
#define SUPERVISOR_CHILDREN_ENGINE_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/loop.h"
#include "policy/yaml/source.h"
#include "supervisor/children/auditd_process.h"
#include "supervisor/children/engine_process.h"
#include "supervisor/settings/config.h"
#include "transport/device.h"

#define ENGINE_STAY UINT32_MAX /* uid: keep the daemon's */

/* What all engines have in common. Filled by the owner, then engine_processes_open(). */
struct engine_processes {
	struct loop *loop;
	const struct log *log;
	struct auditd_process *auditd;
	const struct config *config;
	const char *program;
	const char *plugin_dir;
	int log_fd;
	bool privileged; /* engines change to uids of the range */
	enum engine_transport transport;
	/* its own */
	struct engine_process *list;
	uint32_t count;
	uint8_t *slots;       /* 1: in use; config->uids_count of them */
	uint64_t watchdog_ns; /* when the watchdog's next round is due */
	struct loop_timer watchdog;
};

/* Returns 0 or -ENOMEM. */
int engine_processes_open(struct engine_processes *engines);
/* Kills what is left; each process's end is still to be seen. */
void engine_processes_kill_all(struct engine_processes *engines);
/* Frees all, killing what is left. */
void engine_processes_close(struct engine_processes *engines);

/*
 * Starts an engine for device with its policy (NULL: deny all) and what it keeps; what is lent is
 * given back when its process is gone, or when it can't be started. The first call is ready() or
 * failed(). Returns 0 and *made, or -errno with *fault.
 */
int engine_processes_start(struct engine_processes *engines, struct engine_process **made,
			   struct device *device, const struct policy_source *policy,
			   const struct engine_keeps *keeps,
			   const struct engine_process_calls *calls, void *owner,
			   struct fault *fault);
/* Kills the engine that writes this queue; what says why, see engine_process_kill(). */
void engine_processes_kill_queue(struct engine_processes *engines, const uint8_t queue_id[16],
				 const char *what);

#endif
