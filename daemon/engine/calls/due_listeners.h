/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listeners whose ACCEPTs go on in the next turn, whether or not a peer comes; first come first. */
#ifndef ENGINE_CALLS_DUE_LISTENERS_H
#define ENGINE_CALLS_DUE_LISTENERS_H

struct calls;
struct guest_socket;

/* Puts a listener behind the others, if it is not among them. */
void due_listeners_add(struct calls *calls, struct guest_socket *listener);
/* Takes a socket out, if it is among them. */
void due_listeners_remove(struct calls *calls, struct guest_socket *listener);
/* Takes the first out; NULL: there is none. */
struct guest_socket *due_listeners_take(struct calls *calls);

#endif
