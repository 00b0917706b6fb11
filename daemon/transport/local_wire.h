/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a local guest and the daemon say to each other over RUNTIME_DIR/local.sock, and the page of
 * event bits they share. This is the contract between local_host.c and local_backend.c
 * on one side and frontend/ on the other.
 *
 * The socket is SOCK_SEQPACKET; each message is one struct local_message, cut after its text. The
 * guest says HELLO with its memory: a memfd sealed with F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL
 * whose page n is grant reference n. The daemon says WELCOME with the event page and two eventfds,
 * or REFUSED and closes. From then on each side's NODES are its writes into its own xenstore
 * directory; one message is one transaction. The end of the connection is the end of the guest.
 */
#ifndef TRANSPORT_LOCAL_WIRE_H
#define TRANSPORT_LOCAL_WIRE_H

#include <stdint.h>

#define LOCAL_SOCKET_NAME "local.sock"
#define LOCAL_VERSION     1u

#define LOCAL_TEXT_MAX 1024u

enum local_kind {
	LOCAL_HELLO = 1,   /* value: LOCAL_VERSION; text: the guest's name; descriptor: memory */
	LOCAL_WELCOME = 2, /* value: domid; descriptors: event page, eventfds of daemon and guest */
	LOCAL_REFUSED = 3, /* value: errno; text: why */
	LOCAL_NODES = 4,   /* text: "key=value\n" lines */
};

struct local_message {
	uint32_t kind;
	uint32_t value;
	char text[LOCAL_TEXT_MAX]; /* ends with NUL */
};

#define LOCAL_MEMORY_MIN (1ull << 16) /* bytes of a guest's memfd */
#define LOCAL_MEMORY_MAX (1ull << 36)

#define LOCAL_PORTS 32768u /* event channels, numbered alike on both sides; 0 is none */

/*
 * Events towards one side: port n is bit n % 64 of word[n / 64], and bit n / 64 % 64 of
 * selector[n / 4096] says that the word has some. The sender sets word, then selector
 * (both with atomic or), then writes to the receiver's eventfd if `asleep` is set (and was cleared
 * by this sender: atomic exchange). The receiver sets asleep, checks once more, and only then
 * sleeps on its eventfd.
 */
struct local_events {
	uint32_t asleep;
	uint32_t processor; /* a hint: 1 + the one the sender last ran on; 0: it does not say */
	uint32_t pad[14];
	uint64_t selector[LOCAL_PORTS / 4096];
	uint64_t word[LOCAL_PORTS / 64];
};

struct local_event_page {
	struct local_events to_backend;
	struct local_events to_frontend;
};

#endif
