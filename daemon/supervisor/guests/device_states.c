/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. Both sides write their own state and watch the other's. Changes of the
 * other side may come late and several as one, so nothing here depends on the order of changes:
 * the table says what to do about how things stand, and is asked again after each thing done.
 * An action that takes time (ATTACH, DETACH) may be asked for again meanwhile; its doer knows.
 *
 * The real order, as Linux' frontend does it: we publish (2), it writes ring and port (3), we map
 * them (4), it follows (4). The end: it writes 5, we let go and write 5, it writes 6, we do. A
 * frontend that starts anew goes to 1, or at once to 3, whatever we are in.
 *
 * A device may be connected and served by nobody: the daemon that did was killed, or the engine
 * was. Frontends have no way to connect again, so a new engine goes on with the rings as they are.
 */
#include "supervisor/guests/device_states.h"

/* Backend states as columns: those that only the toolstack or an earlier backend wrote are one. */
enum backend_column {
	NEW, /* 0, 1, 3, 7, 8 */
	PUBLISHED,
	SERVING,
	ORPHANED, /* connected, but its engine is gone */
	CLOSING,
	CLOSED,
	COLUMNS,
};

static const enum backend_column backend_columns[XENBUS_STATES] = {
	[XENBUS_UNKNOWN] = NEW,     [XENBUS_INITIALISING] = NEW,  [XENBUS_INIT_WAIT] = PUBLISHED,
	[XENBUS_INITIALISED] = NEW, [XENBUS_CONNECTED] = SERVING, [XENBUS_CLOSING] = CLOSING,
	[XENBUS_CLOSED] = CLOSED,   [XENBUS_RECONFIGURING] = NEW, [XENBUS_RECONFIGURED] = NEW,
};

/* clang-format off */
static const enum device_action device_actions[XENBUS_STATES][COLUMNS] = {
	/* frontend                 NEW             PUBLISHED      SERVING        ORPHANED          CLOSING        CLOSED */
	[XENBUS_UNKNOWN]        = { DEVICE_IGNORE,  DEVICE_IGNORE, DEVICE_IGNORE, DEVICE_IGNORE,    DEVICE_IGNORE, DEVICE_IGNORE },
	[XENBUS_INITIALISING]   = { DEVICE_PUBLISH, DEVICE_WAIT,   DEVICE_DETACH, DEVICE_DETACH,    DEVICE_CLOSE,  DEVICE_PAUSE },
	[XENBUS_INIT_WAIT]      = { DEVICE_IGNORE,  DEVICE_IGNORE, DEVICE_IGNORE, DEVICE_IGNORE,    DEVICE_IGNORE, DEVICE_IGNORE },
	[XENBUS_INITIALISED]    = { DEVICE_PUBLISH, DEVICE_ATTACH, DEVICE_WAIT,   DEVICE_TAKE_OVER, DEVICE_WAIT,   DEVICE_PAUSE },
	[XENBUS_CONNECTED]      = { DEVICE_PUBLISH, DEVICE_ATTACH, DEVICE_WAIT,   DEVICE_TAKE_OVER, DEVICE_WAIT,   DEVICE_WAIT },
	[XENBUS_CLOSING]        = { DEVICE_DETACH,  DEVICE_DETACH, DEVICE_DETACH, DEVICE_DETACH,    DEVICE_WAIT,   DEVICE_WAIT },
	[XENBUS_CLOSED]         = { DEVICE_CLOSE,   DEVICE_DETACH, DEVICE_DETACH, DEVICE_DETACH,    DEVICE_CLOSE,  DEVICE_WAIT },
	[XENBUS_RECONFIGURING]  = { DEVICE_IGNORE,  DEVICE_IGNORE, DEVICE_IGNORE, DEVICE_IGNORE,    DEVICE_IGNORE, DEVICE_IGNORE },
	[XENBUS_RECONFIGURED]   = { DEVICE_IGNORE,  DEVICE_IGNORE, DEVICE_IGNORE, DEVICE_IGNORE,    DEVICE_IGNORE, DEVICE_IGNORE },
};

/* The toolstack wants the device gone: the frontend is not asked. */
static const enum device_action device_offline_actions[COLUMNS] = {
	[NEW] = DEVICE_CLOSE,
	[PUBLISHED] = DEVICE_DETACH,
	[SERVING] = DEVICE_DETACH,
	[ORPHANED] = DEVICE_DETACH,
	[CLOSING] = DEVICE_CLOSE,
	[CLOSED] = DEVICE_WAIT,
};
/* clang-format on */

enum device_action device_action(enum xenbus_state frontend, enum xenbus_state backend, bool online,
				 bool served)
{
	enum backend_column column = backend < XENBUS_STATES ? backend_columns[backend] : NEW;

	if (column == SERVING && !served)
		column = ORPHANED;
	if (!online)
		return device_offline_actions[column];
	return device_actions[frontend < XENBUS_STATES ? frontend : XENBUS_UNKNOWN][column];
}

const char *xenbus_state_name(enum xenbus_state state)
{
	static const char *const names[XENBUS_STATES] = {
		[XENBUS_UNKNOWN] = "unknown",
		[XENBUS_INITIALISING] = "initialising",
		[XENBUS_INIT_WAIT] = "init-wait",
		[XENBUS_INITIALISED] = "initialised",
		[XENBUS_CONNECTED] = "connected",
		[XENBUS_CLOSING] = "closing",
		[XENBUS_CLOSED] = "closed",
		[XENBUS_RECONFIGURING] = "reconfiguring",
		[XENBUS_RECONFIGURED] = "reconfigured",
	};

	return names[state < XENBUS_STATES ? state : XENBUS_UNKNOWN];
}
