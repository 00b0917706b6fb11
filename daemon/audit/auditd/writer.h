/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pvcalls-auditd: drains the queues of all engines into the store. */
#ifndef AUDITD_WRITER_H
#define AUDITD_WRITER_H

#include <stdbool.h>

#include "audit/store/store.h"
#include "base/log.h"

struct writer_options {
	struct store_options store;
	const char *about; /* the folder's name for messages */
	int control;       /* to the supervisor; borrowed, made non-blocking */
	int eventfd;       /* by which engines wake us; borrowed */
	bool sync;         /* store each record at once: responses wait for it */
};

/*
 * Serves until the control socket closes, then stores what is left. Returns 0 when everything is on
 * disk, or -errno after it was logged what is not.
 */
int writer_run(const struct writer_options *options, const struct log *log);

#endif
