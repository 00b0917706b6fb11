/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an engine is told. */
#ifndef SUPERVISOR_CHILDREN_ENGINE_ORDERS_H
#define SUPERVISOR_CHILDREN_ENGINE_ORDERS_H

#include "ipc/audit_record.h"
#include "policy/yaml/source.h"
#include "supervisor/children/engine_process.h"
#include "transport/device.h"

/* What comes with START. Descriptors are borrowed. */
struct engine_order_start {
	const struct engine_start_args *args;
	int queue_fd;
	int auditd_eventfd;
	int engine_eventfd;
	struct engine_keeps keeps;
};

/*
 * Sends all that an engine needs to begin: START, TRANSPORT, POLICY (NULL: deny all). Returns 0 or
 * -errno.
 */
int engine_order_begin(struct engine_process *engine, const struct engine_order_start *start,
		       struct device *device, const struct policy_source *policy);
/* To an engine that is READY: attached() or failed() follows. Returns 0 or -errno. */
int engine_order_attach(struct engine_process *engine, const struct engine_attach_args *attach);
/*
 * Gives it another policy (NULL: deny all). Returns 0, then policy_taken() follows; -EPIPE: it is
 * ending; or another -errno.
 */
int engine_order_policy(struct engine_process *engine, const struct policy_source *policy);
/* Ends it in order: detached() follows within ENGINE_END_NS, unless the owner has left. */
void engine_order_detach(struct engine_process *engine, enum audit_close reason);
/* The owner goes and is told nothing more; the engine is ended if it was not. */
void engine_order_leave(struct engine_process *engine, enum audit_close reason);

#endif
