/* SPDX-License-Identifier: GPL-2.0-or-later */
/* accept(), and connections that come before it. */
#ifndef TRAPPED_TRAPPED_ACCEPT_H
#define TRAPPED_TRAPPED_ACCEPT_H

#include "run/endpoints/endpoint_table.h"

/* accept() and accept4(): a handler, see trapped_answer.h. */
void trapped_accept(struct endpoint *endpoint, const struct trapped_call *call, int theirs);
/* Keeps as many ACCEPTs in flight as the listener may have connections that wait. */
void trapped_accept_refill(struct endpoint *listener);
/* The listener accepts no more: waiting accept()s fail, and the program's end hangs up. */
void trapped_accept_stop(struct endpoint *listener, int error);
/* Tries ACCEPTs again that got no pages; when table->retry_ms has come. */
void trapped_accept_retry(struct endpoint_table *table);

#endif
