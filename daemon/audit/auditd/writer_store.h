/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writer's work: from the queues into the store, a transaction at a time. */
#ifndef AUDITD_WRITER_STORE_H
#define AUDITD_WRITER_STORE_H

#include <stdint.h>

struct writer;

/*
 * Opens the store if it is not open and it is time to; now_ns is monotonic. Tells the supervisor
 * what came of it.
 */
void writer_store_open(struct writer *writer, uint64_t now_ns);
/*
 * Stores what waits, in one transaction, and answers for it. Returns the number of rows, and sets
 * `again` if another transaction should follow. On an error the store is closed (store is NULL),
 * the queues stand where they were, and the supervisor knows.
 */
uint32_t writer_store_run(struct writer *writer, uint64_t now_ns);
/* Notes that the supervisor is gone, if it did not stop in order: all that it left is stored. */
void writer_store_lost(struct writer *writer);

#endif
