/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/connections/protocol_violation.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"

void protocol_violation_set(struct protocol_violation *violation, const char *format, ...)
{
	va_list arguments;

	if (violation->text[0])
		return;
	va_start(arguments, format);
	vsnprintf(violation->text, sizeof(violation->text), format, arguments);
	va_end(arguments);
	ASSERT(violation->text[0]);
}
