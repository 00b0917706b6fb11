/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What to do in each combination of the frontend's and our own xenbus state. */
#ifndef SUPERVISOR_GUESTS_DEVICE_STATES_H
#define SUPERVISOR_GUESTS_DEVICE_STATES_H

#include <stdbool.h>

#include "transport/device.h"

enum device_action {
	DEVICE_IGNORE,    /* no such combination in the protocol: nothing, but it is counted */
	DEVICE_WAIT,      /* nothing: it is the frontend's turn, or both are where they should be */
	DEVICE_PUBLISH,   /* write what we offer and state 2, start an engine */
	DEVICE_PAUSE,     /* the same after a pause: the frontend comes back */
	DEVICE_ATTACH,    /* read ring and port, have the engine serve them, then state 4 */
	DEVICE_TAKE_OVER, /* start an engine that goes on with what a former one served */
	DEVICE_DETACH,    /* end the engine, then state 5 */
	DEVICE_CLOSE,     /* no engine is left: state 6 */
};

/*
 * The action for a device; states beyond the last count as UNKNOWN. served: an engine of ours has
 * attached to its rings.
 */
enum device_action device_action(enum xenbus_state frontend, enum xenbus_state backend, bool online,
				 bool served);

const char *xenbus_state_name(enum xenbus_state state);

#endif
