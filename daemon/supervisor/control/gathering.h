/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command that asks engines. A gathering holds the answer as it grows and how many parts are
 * still to come. Each part is answered once, by the engine, by its end or by the deadline; the last
 * one sends the answer.
 */
#ifndef SUPERVISOR_CONTROL_GATHERING_H
#define SUPERVISOR_CONTROL_GATHERING_H

#include <jansson.h>

#include "base/clock.h"
#include "supervisor/control/control_socket.h"
#include "supervisor/guests/guests.h"

/* For the answers of all engines, however many hang: they are asked at once. */
#define GATHERING_ANSWER_NS (1 * NS_PER_S)

struct gathering;

/*
 * Adds one guest's part to items, the answer. about is what the supervisor knows of the guest,
 * borrowed; text is its engine's report, or error (a negative errno) says why there is none.
 */
typedef void (*gathering_add_fn)(json_t *items, json_t *about, int error, const char *text);

/*
 * Returns a gathering that answers client with items, which it takes over and has add() complete;
 * or NULL: then client has been told.
 */
struct gathering *gathering_create(struct control_client *client, json_t *items,
				   gathering_add_fn add);
/* Asks a guest's engine for what (enum engine_status); about is taken over. */
void gathering_ask(struct gathering *gathering, struct guest *guest, json_t *about,
		   enum engine_status what);
/* Everybody was asked: sends the answer if none is to come; else the last one sends it. */
void gathering_close(struct gathering *gathering);

/* Why an engine gave no answer, for a human. */
const char *gathering_why_no_answer(int error);

#endif
