/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's calls as unit tests of the engine write them: one line each. */
#ifndef GUEST_CALLS_H
#define GUEST_CALLS_H

/* Not all is for what stands here: who makes calls speaks of addresses and sockets. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine_guest.h"

#define NO_ANSWER 12345 /* what ask() returns when the engine did not answer */

/* A policy that allows everything on loopback. */
#define OPEN_POLICY                                                      \
	"version: 1\nname: open\nmatch: {name: guest}\ndefault: allow\n" \
	"floor: {allow: [{on: [connect, bind], to: {net: [127.0.0.0/8]}}]}\n"

/* An address as requests have it; ip and port in the machine's byte order. */
void put_ipv4(uint8_t addr[WIRE_ADDR_BYTES], uint32_t ip, uint16_t port);

/* A request of this command for socket id, all else 0. Its number is the command's plus one. */
struct wire_request call_request(uint32_t cmd, uint64_t id);
/* A CONNECT to a port on loopback, with the indexes page ref and the event channel 1 + ref. */
struct wire_request connect_request(uint64_t id, uint16_t port, uint32_t ref);

/*
 * Pushes a request, lets the engine work, and returns the result of the next response, whichever
 * request that is of, or NO_ANSWER. Those below ask for what their names say; ref is as above.
 */
int ask(struct engine_guest *guest, const struct wire_request *request);
int ask_socket(struct engine_guest *guest, uint64_t id);
int ask_connect(struct engine_guest *guest, uint64_t id, uint16_t port, uint32_t ref);
int ask_bind(struct engine_guest *guest, uint64_t id, uint32_t ip, uint16_t port);
int ask_listen(struct engine_guest *guest, uint64_t id);
int ask_accept(struct engine_guest *guest, uint64_t id, uint64_t id_new, uint32_t ref);
int ask_poll(struct engine_guest *guest, uint64_t id);
int ask_release(struct engine_guest *guest, uint64_t id);

/* A listening socket of the host on loopback, the caller's to close, and its port; -1: failed. */
int host_listen(uint16_t *port);
/* A connection of the host to a port on loopback, from 127.0.0.last; -1: failed. */
int host_connect(uint16_t port, uint8_t last);

/* The last record of an operation that was stored, or NULL. Valid until more are stored. */
const struct audit_record *last_record(struct engine_guest *guest, uint32_t op);

#endif
