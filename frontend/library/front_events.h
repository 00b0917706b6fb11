/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events from and to the backend; the public functions of dispatching are defined here. */
#ifndef LIBRARY_FRONT_EVENTS_H
#define LIBRARY_FRONT_EVENTS_H

struct pvcalls_front;

/* Moves queued calls into the command ring and shows them, unless corked. */
void front_events_flush(struct pvcalls_front *front);

#endif
