/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection to xenstored, which may go away and come back. Of the store's thread alone. */
#ifndef TRANSPORT_XEN_CONNECTION_H
#define TRANSPORT_XEN_CONNECTION_H

struct xen_store;

/* Comes with the events of domains that appear and vanish. */
#define XEN_DOMAINS_TOKEN "domains"

/*
 * Connects to xenstored, finds our own directory, and has every device watched and read anew.
 * Returns 0, or -errno if nobody answers.
 */
int xen_connection_open(struct xen_store *store);
/*
 * An operation may have failed because nobody is there: asks, and gives the connection up if so
 * (store->xs is NULL then).
 */
void xen_connection_doubt(struct xen_store *store);

#endif
