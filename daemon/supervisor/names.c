/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/names.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <pvcalls/plugin.h>

#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

#define DIGITS_MAX 20u /* of UINT64_MAX */

bool name_is_guest(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length >= PVCALLS_NAME_MAX)
		return false;
	if (strspn(name, LETTERS_AND_DIGITS) == 0)
		return false;
	return strspn(name, LETTERS_AND_DIGITS "._-") == length;
}

int number_read(const char *text, uint64_t max, uint64_t *value)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t sum = 0;

	if (digits == 0 || digits > DIGITS_MAX || text[digits] != '\0')
		return -EINVAL;
	for (size_t i = 0; i < digits; i++) {
		uint64_t digit = (uint64_t)(text[i] - '0');

		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, digit, &sum))
			return -ERANGE;
	}
	if (sum > max)
		return -ERANGE;
	*value = sum;
	return 0;
}
