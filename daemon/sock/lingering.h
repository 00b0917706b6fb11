/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lingering sockets: released ones whose peers are still to get what the guest had written.
 *
 * The guest gets its pages back with the answer to RELEASE (section 3.6 of the protocol), so bytes
 * that the host's socket did not take by then are copied. They are sent in the background, then the
 * socket is closed; a peer that takes none for LINGERING_NS is reset.
 */
#ifndef SOCK_LINGERING_H
#define SOCK_LINGERING_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "ring/data_ring.h"

#define LINGERING_NS 60000000000ull /* 60 s without progress */
#define LINGERING_BYTES_MAX                                                  \
	(32u << 20) /* of one guest; beyond that, RELEASE waits for the peer \
		     */

/* All lingering sockets of one guest. */
struct lingering;

/* An empty set whose sockets are watched by loop, or NULL without memory. */
struct lingering *lingering_create(struct loop *loop);
/* Closes what is left at once (the kernel still sends what it has) and frees the set. */
void lingering_free(struct lingering *lingering);
/* Bytes that were copied for sockets that still linger. */
size_t lingering_bytes(const struct lingering *lingering);

/*
 * Takes a connected descriptor that the loop does not watch and a copy of span (its first `bytes`,
 * at least 1), and sends them. A meter is not applied: the bytes were allowed when the guest wrote
 * them. Returns 0, -ENOBUFS if LINGERING_BYTES_MAX would be exceeded, -ENOMEM, or what epoll_ctl(2)
 * says; fd is still the caller's after an error.
 */
int lingering_add(struct lingering *lingering, int fd, const struct ring_span *span, size_t bytes);

#endif
