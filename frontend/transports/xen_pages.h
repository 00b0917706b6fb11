/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages of this domain that the backend may map, from /dev/xen/gntalloc.
 *
 * The driver counts all pages of all its users against one limit, 1,024 of them unless the system's
 * owner says otherwise: enough for 60 rings of order 4. So when it is reached and we may, we raise
 * it, twofold each time; pages that a data ring had are used again by the next one (ring_pool.c).
 */
#ifndef TRANSPORTS_XEN_PAGES_H
#define TRANSPORTS_XEN_PAGES_H

#include <stdint.h>

#include <xengnttab.h>

struct xen_pages {
	xengntshr_handle *shares;
	uint32_t domid;         /* who may map them */
	uint32_t most;          /* the limit is raised to no more than this */
	const char *limit_path; /* where it is */
	const char *shortage;   /* why the last share() failed, for people; NULL: it did not */
};

/* A guest has 32,768 grants unless its configuration says otherwise; other drivers need some. */
#define XEN_PAGES_MOST 24576u

/*
 * Opens the driver, for pages that domid may map, memory bytes of them at most. 0, or -errno with a
 * line in why.
 */
int xen_pages_open(struct xen_pages *pages, struct xentoollog_logger *logger, uint32_t domid,
		   uint64_t memory, char *why);
void xen_pages_close(struct xen_pages *pages);
/* As front_transport_ops.share; all failures are -ENOMEM, with the reason in pages->shortage. */
int xen_pages_share(struct xen_pages *pages, uint32_t order, void **span, uint32_t *refs);
void xen_pages_unshare(struct xen_pages *pages, void *span, uint32_t order);

#endif
