/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/calls/call_steps.h"

const struct call_steps *const call_steps[PVCALLS_OP_COUNT] = {
	[PVCALLS_OP_SOCKET] = &call_socket_steps,   [PVCALLS_OP_CONNECT] = &call_connect_steps,
	[PVCALLS_OP_RELEASE] = &call_release_steps, [PVCALLS_OP_BIND] = &call_bind_steps,
	[PVCALLS_OP_LISTEN] = &call_listen_steps,   [PVCALLS_OP_ACCEPT] = &call_accept_steps,
	[PVCALLS_OP_POLL] = &call_poll_steps,
};
