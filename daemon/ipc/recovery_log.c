/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ipc/recovery_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/assert.h"

/* What was stored before it is there if this is: for a process that dies between two stores. */
static void recovery_log_store(uint32_t *to, uint32_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

size_t recovery_log_bytes(uint32_t sockets)
{
	return sizeof(struct recovery_log_page) +
	       (size_t)sockets * sizeof(struct recovery_log_socket);
}

int recovery_log_open(struct recovery_log *log, int fd, uint32_t sockets)
{
	struct stat status;

	ASSERT(!log->page && sockets > 0);
	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size < 0 || (size_t)status.st_size < recovery_log_bytes(sockets))
		return -EINVAL;
	log->free = calloc(sockets, sizeof(*log->free));
	if (!log->free)
		return -ENOMEM;
	log->page =
		mmap(NULL, recovery_log_bytes(sockets), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (log->page == MAP_FAILED) {
		log->page = NULL;
		free(log->free);
		log->free = NULL;
		return -errno;
	}
	log->sockets = sockets;
	return 0;
}

void recovery_log_close(struct recovery_log *log)
{
	if (!log->page)
		return;
	munmap(log->page, recovery_log_bytes(log->sockets));
	free(log->free);
	*log = (struct recovery_log){0};
}

void recovery_log_begin(struct recovery_log *log, uint32_t ring_ref, uint32_t port,
			uint32_t req_cons, uint32_t rsp_prod)
{
	struct recovery_log_page *page = log->page;
	uint32_t i;

	if (!page)
		return;
	recovery_log_store(&page->version, 0);
	memset(page->requests, 0, sizeof(page->requests));
	memset(page->sockets, 0, log->sockets * sizeof(*page->sockets));
	page->ring_ref = ring_ref;
	page->port = port;
	page->req_cons = req_cons;
	page->rsp_prod = rsp_prod;
	recovery_log_store(&page->version, RECOVERY_LOG_VERSION);
	for (i = 0; i < log->sockets; i++)
		log->free[i] = log->sockets - 1 - i;
	log->free_count = log->sockets;
}

void recovery_log_taken(struct recovery_log *log, uint32_t call, const struct wire_request *request,
			uint32_t req_cons)
{
	struct recovery_log_request *entry;

	ASSERT(call < RECOVERY_LOG_REQUESTS);
	if (!log->page)
		return;
	entry = &log->page->requests[call];
	recovery_log_store(&entry->state, RECOVERY_LOG_FREE);
	entry->index = req_cons - 1;
	entry->req_id = request->req_id;
	entry->cmd = request->cmd;
	entry->id = request->id;
	entry->parked = RECOVERY_LOG_IN_SLOT;
	recovery_log_store(&entry->state, RECOVERY_LOG_TAKEN);
	recovery_log_store(&log->page->req_cons, req_cons);
}

void recovery_log_answering(struct recovery_log *log, uint32_t call, uint32_t rsp_prod)
{
	if (!log->page)
		return;
	recovery_log_store(&log->page->requests[call].index, rsp_prod);
	recovery_log_store(&log->page->requests[call].state, RECOVERY_LOG_ANSWERED);
}

void recovery_log_answered(struct recovery_log *log, uint32_t call, uint32_t rsp_prod)
{
	if (!log->page)
		return;
	recovery_log_store(&log->page->rsp_prod, rsp_prod + 1);
	recovery_log_store(&log->page->requests[call].state, RECOVERY_LOG_FREE);
}

void recovery_log_parking(struct recovery_log *log, uint32_t call, uint32_t ticket,
			  uint32_t rsp_prod)
{
	if (!log->page)
		return;
	recovery_log_store(&log->page->requests[call].ticket, ticket);
	recovery_log_store(&log->page->requests[call].parked_at, rsp_prod);
	recovery_log_store(&log->page->requests[call].parked, RECOVERY_LOG_PARKING);
}

void recovery_log_parked(struct recovery_log *log, uint32_t call, uint32_t rsp_prod)
{
	if (!log->page)
		return;
	recovery_log_store(&log->page->rsp_prod, rsp_prod + 1);
	recovery_log_store(&log->page->requests[call].parked, RECOVERY_LOG_PARKED);
}

void recovery_log_unanswered(struct recovery_log *log, uint32_t call)
{
	if (log->page)
		recovery_log_store(&log->page->requests[call].state, RECOVERY_LOG_FREE);
}

uint32_t recovery_log_add_socket(struct recovery_log *log, uint32_t ref, uint32_t port)
{
	struct recovery_log_socket *entry;
	uint32_t place;

	if (!log->page || !log->free_count)
		return RECOVERY_LOG_NONE;
	place = log->free[--log->free_count];
	entry = &log->page->sockets[place];
	entry->ref = ref;
	entry->port = port;
	recovery_log_store(&entry->used, 1);
	return place;
}

void recovery_log_remove_socket(struct recovery_log *log, uint32_t place)
{
	if (!log->page || place == RECOVERY_LOG_NONE)
		return;
	ASSERT(place < log->sockets && log->free_count < log->sockets);
	recovery_log_store(&log->page->sockets[place].used, 0);
	log->free[log->free_count++] = place;
}
