/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rest of a released socket: bytes that the guest had written before RELEASE and that the
 * host's socket did not take yet (section 3.6 of the protocol: the guest gets its pages back with
 * the answer, so the bytes are copied). They are sent in the background, then the socket is closed;
 * a peer that takes none for LINGER_NS is reset.
 */
#ifndef SOCK_LINGER_H
#define SOCK_LINGER_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "ring/data_ring.h"

#define LINGER_NS        60000000000ull /* 60 s without progress */
#define LINGER_BYTES_MAX (32u << 20)    /* of one guest; beyond that, RELEASE waits for the peer */

struct linger_list;

struct linger_list *linger_list_create(struct loop *loop);
/* Closes what is left at once (the kernel still sends what it has) and frees the list. */
void linger_list_free(struct linger_list *list);
/* Bytes that wait, of all sockets. */
size_t linger_bytes(const struct linger_list *list);

/*
 * Takes fd and a copy of span (bytes of it) and sends them in the background; bytes may be 0. meter
 * is not applied: the bytes were allowed when the guest wrote them. Returns 0, -ENOMEM, or -ENOBUFS
 * if LINGER_BYTES_MAX would be exceeded (then fd is still the caller's).
 */
int linger_add(struct linger_list *list, int fd, const struct ring_span *span, size_t bytes);

#endif
