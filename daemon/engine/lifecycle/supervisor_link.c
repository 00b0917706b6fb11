/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/lifecycle/supervisor_link.h"

#include <string.h>

#include "engine/lifecycle/engine.h"

void supervisor_link_send(struct engine *engine, enum engine_message_kind kind, uint32_t value,
			  uint64_t number, const char *text)
{
	int error;

	if (!engine->supervised)
		return;
	error = engine_message_send(engine->control, kind, value, number, text, NULL, 0);
	if (error)
		log_warning(&engine->log, "the supervisor takes no messages: %s", strerror(-error));
}
