/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/names.h"

#include <stddef.h>
#include <string.h>

#include <pvcalls/plugin.h>

#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

bool name_is_guest(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length >= PVCALLS_NAME_MAX)
		return false;
	if (strspn(name, LETTERS_AND_DIGITS) == 0)
		return false;
	return strspn(name, LETTERS_AND_DIGITS "._-") == length;
}
