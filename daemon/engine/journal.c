/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* What was stored before it is there if this is: for a process that dies between two stores. */
static void store(uint32_t *to, uint32_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

size_t journal_bytes(uint32_t sockets)
{
	return sizeof(struct journal_page) + (size_t)sockets * sizeof(struct journal_socket);
}

int journal_open(struct journal *journal, int fd, uint32_t sockets)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size < 0 || (size_t)status.st_size < journal_bytes(sockets))
		return -EINVAL;
	journal->free = calloc(sockets, sizeof(*journal->free));
	if (!journal->free)
		return -ENOMEM;
	journal->page =
		mmap(NULL, journal_bytes(sockets), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (journal->page == MAP_FAILED) {
		journal->page = NULL;
		free(journal->free);
		journal->free = NULL;
		return -errno;
	}
	journal->sockets = sockets;
	return 0;
}

void journal_close(struct journal *journal)
{
	if (!journal->page)
		return;
	munmap(journal->page, journal_bytes(journal->sockets));
	free(journal->free);
	*journal = (struct journal){0};
}

void journal_begin(struct journal *journal, uint32_t ring_ref, uint32_t port, uint32_t req_cons,
		   uint32_t rsp_prod)
{
	struct journal_page *page = journal->page;
	uint32_t i;

	if (!page)
		return;
	store(&page->version, 0);
	memset(page->requests, 0, sizeof(page->requests));
	memset(page->sockets, 0, journal->sockets * sizeof(*page->sockets));
	page->ring_ref = ring_ref;
	page->port = port;
	page->req_cons = req_cons;
	page->rsp_prod = rsp_prod;
	store(&page->version, JOURNAL_VERSION);
	for (i = 0; i < journal->sockets; i++)
		journal->free[i] = journal->sockets - 1 - i;
	journal->free_count = journal->sockets;
}

void journal_taken(struct journal *journal, uint32_t flight, const struct wire_request *request,
		   uint32_t req_cons)
{
	struct journal_request *entry;

	if (!journal->page)
		return;
	entry = &journal->page->requests[flight];
	store(&entry->state, JOURNAL_FREE);
	entry->index = req_cons - 1;
	entry->req_id = request->req_id;
	entry->cmd = request->cmd;
	entry->id = request->id;
	store(&entry->state, JOURNAL_TAKEN);
	store(&journal->page->req_cons, req_cons);
}

void journal_answering(struct journal *journal, uint32_t flight, uint32_t rsp_prod)
{
	if (!journal->page)
		return;
	store(&journal->page->requests[flight].index, rsp_prod);
	store(&journal->page->requests[flight].state, JOURNAL_ANSWERED);
}

void journal_answered(struct journal *journal, uint32_t flight, uint32_t rsp_prod)
{
	if (!journal->page)
		return;
	store(&journal->page->rsp_prod, rsp_prod + 1);
	store(&journal->page->requests[flight].state, JOURNAL_FREE);
}

void journal_unanswered(struct journal *journal, uint32_t flight)
{
	if (journal->page)
		store(&journal->page->requests[flight].state, JOURNAL_FREE);
}

uint32_t journal_add_socket(struct journal *journal, uint32_t ref, uint32_t port)
{
	struct journal_socket *entry;
	uint32_t place;

	if (!journal->page || !journal->free_count)
		return JOURNAL_NONE;
	place = journal->free[--journal->free_count];
	entry = &journal->page->sockets[place];
	entry->ref = ref;
	entry->port = port;
	store(&entry->used, 1);
	return place;
}

void journal_remove_socket(struct journal *journal, uint32_t place)
{
	if (!journal->page || place == JOURNAL_NONE)
		return;
	store(&journal->page->sockets[place].used, 0);
	journal->free[journal->free_count++] = place;
}
