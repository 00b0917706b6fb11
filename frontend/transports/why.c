/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transports/why.h"

#include <stdarg.h>
#include <stdio.h>

#include <pvcalls/frontend.h>

int why_set(char *why, int error, const char *format, ...)
{
	va_list arguments;

	if (why) {
		va_start(arguments, format);
		vsnprintf(why, PVCALLS_FRONT_WHY_MAX, format, arguments);
		va_end(arguments);
	}
	return -error;
}
