/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the operations (calls.c, connect.c, accept.c, release.c) share. */
#ifndef ENGINE_CALL_STEPS_H
#define ENGINE_CALL_STEPS_H

#include <stdint.h>
#include <sys/epoll.h>

#include "engine/connection.h"
#include "engine/flight.h"
#include "sock/socket.h"

/* What a connected socket is watched for. */
#define STREAM_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

int prepare_connect(struct flight *flight);
int execute_connect(struct flight *flight);
int prepare_accept(struct flight *flight);
int execute_accept(struct flight *flight);
int prepare_release(struct flight *flight);
int execute_release(struct flight *flight);

/* The socket the call names, noted in the flight and the view; NULL if there is none. */
struct guest_socket *calls_find(struct flight *flight);
/* The oldest flight that waits so on a socket, or NULL. */
struct flight *calls_waiting(struct guest_socket *socket, enum flight_wait wait);
/* Watches a socket's descriptor; returns 0 or -errno. */
int calls_watch(struct engine *engine, struct guest_socket *socket, uint32_t events);

/* A connect that is under way became writable or failed. */
void connect_ready(struct guest_socket *socket);
/* Ends a connect that waits: unmaps, and finishes the flight with this negative errno. */
void connect_abandon(struct flight *flight, int error);

/* Takes waiting connections for waiting ACCEPTs of a listener. */
void accepts_try(struct guest_socket *listener);
/* Answers every POLL that waits on a listener. */
void polls_answer(struct guest_socket *listener);

/*
 * Ends every call that waits on a socket which goes away. answered: the guest is told; otherwise
 * (Linux frontends, whose listener is released) its ACCEPTs are not.
 */
void waits_end(struct guest_socket *socket);

/* A released socket's peer took bytes. */
void release_continue(struct guest_socket *socket);

#endif
