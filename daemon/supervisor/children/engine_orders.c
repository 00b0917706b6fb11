/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/children/engine_orders.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"
#include "transport/transport.h"

static int engine_order_send_start(struct engine_process *engine,
				   const struct engine_order_start *start)
{
	const int fds[] = {start->queue_fd, start->auditd_eventfd, start->engine_eventfd,
			   start->keeps.allowances.fd, start->keeps.recovery_log};
	struct {
		uint32_t kind;
		uint32_t value;
		uint64_t number;
		struct engine_start_args args;
	} message = {.kind = ENGINE_MESSAGE_START, .args = *start->args};

	_Static_assert(offsetof(struct engine_message, body) == offsetof(__typeof__(message), args),
		       "the same layout, without the room for texts");
	return fd_send(engine->socket, &message, sizeof(message), fds,
		       start->keeps.recovery_log < 0 ? 4 : 5);
}

static int engine_order_send_transport(struct engine_process *engine, struct device *device)
{
	int fds[TRANSPORT_DESCRIPTORS_MAX];
	size_t count = device->host->ops->descriptors(device, fds);

	ASSERT(count <= TRANSPORT_DESCRIPTORS_MAX);
	return engine_message_send(engine->socket, ENGINE_MESSAGE_TRANSPORT, (uint32_t)count, 0,
				   NULL, fds, (uint32_t)count);
}

/* Returns a memfd of the text that nobody can change any more, or -errno. */
static int engine_order_seal_policy(const struct policy_source *policy)
{
	int memfd = memfd_create("pvcalls-policy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t done = 0;
	int error;

	if (memfd < 0)
		return -errno;
	while (done < policy->size) {
		ssize_t wrote = write(memfd, policy->text + done, policy->size - done);

		if (wrote < 0)
			goto fail;
		done += (size_t)wrote;
	}
	if (fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		goto fail;
	return memfd;
fail:
	error = -errno;
	close(memfd);
	return error;
}

static int engine_order_send_policy(struct engine_process *engine,
				    const struct policy_source *policy)
{
	autoclose int memfd = -1;

	if (!policy)
		return engine_message_send(engine->socket, ENGINE_MESSAGE_POLICY, 0, 0, NULL, NULL,
					   0);
	memfd = engine_order_seal_policy(policy);
	if (memfd < 0)
		return memfd;
	return engine_message_send(engine->socket, ENGINE_MESSAGE_POLICY, 0, 0, policy->path,
				   &memfd, 1);
}

int engine_order_begin(struct engine_process *engine, const struct engine_order_start *start,
		       struct device *device, const struct policy_source *policy)
{
	int error;

	ASSERT(engine->phase == ENGINE_STARTING);
	error = engine_order_send_start(engine, start);
	if (!error)
		error = engine_order_send_transport(engine, device);
	if (!error)
		error = engine_order_send_policy(engine, policy);
	return error;
}

int engine_order_policy(struct engine_process *engine, const struct policy_source *policy)
{
	int error;

	if (engine->phase >= ENGINE_DETACHING)
		return -EPIPE;
	error = engine_order_send_policy(engine, policy);
	if (error)
		return error;
	engine->policy_pending = true;
	if (engine->phase != ENGINE_STARTING)
		engine_process_set_deadline(engine, ENGINE_POLICY_NS);
	return 0;
}

int engine_order_attach(struct engine_process *engine, const struct engine_attach_args *attach)
{
	struct {
		uint32_t kind;
		uint32_t value;
		uint64_t number;
		struct engine_attach_args attach;
	} message = {.kind = ENGINE_MESSAGE_ATTACH, .attach = *attach};
	int error;

	ASSERT(engine->phase == ENGINE_READY);
	error = fd_send(engine->socket, &message, sizeof(message), NULL, 0);
	if (!error)
		engine->phase = ENGINE_ATTACHING;
	return error;
}

void engine_order_detach(struct engine_process *engine, enum audit_close reason)
{
	int error;

	if (engine->phase >= ENGINE_DETACHING)
		return;
	engine->phase = ENGINE_DETACHING;
	engine_process_set_deadline(engine, ENGINE_END_NS);
	error = engine_message_send(engine->socket, ENGINE_MESSAGE_DETACH, reason, 0, NULL, NULL,
				    0);
	if (error == -EPIPE || error == -ECONNRESET) /* it is ending, and has told us why */
		engine_process_finish(engine, ENGINE_END_NS);
	else if (error)
		engine_process_kill(engine, "did not read its orders and was killed");
}

void engine_order_leave(struct engine_process *engine, enum audit_close reason)
{
	engine->owner = NULL;
	engine_order_detach(engine, reason);
}
