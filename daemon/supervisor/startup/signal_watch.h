/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The signals by which an operator speaks to the daemon, as events of its loop. */
#ifndef SUPERVISOR_STARTUP_SIGNAL_WATCH_H
#define SUPERVISOR_STARTUP_SIGNAL_WATCH_H

#include "base/loop.h"

/* What the owner is told. */
struct signal_watch_calls {
	void (*reload)(void *owner);           /* SIGHUP */
	void (*stop)(void *owner, int number); /* SIGTERM, SIGINT */
	void *owner;
};

/* Embedded in its owner. */
struct signal_watch {
	struct loop *loop; /* NULL: not open */
	struct signal_watch_calls calls;
	struct loop_source source;
	int fd;
};

/* Blocks these signals, ignores SIGPIPE, and watches. Returns 0 or -errno. */
int signal_watch_open(struct signal_watch *watch, struct loop *loop,
		      const struct signal_watch_calls *calls);
/* Ends it, if it is open; the signals stay blocked. */
void signal_watch_close(struct signal_watch *watch);

#endif
