/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/decimal.h"

#include <errno.h>
#include <stdbool.h>

int decimal_read_head(const char *text, const char **end, uint64_t max, uint64_t *number)
{
	uint64_t sum = 0;
	bool fits = true;
	const char *at;

	for (at = text; *at >= '0' && *at <= '9'; at++) {
		fits = fits && !__builtin_mul_overflow(sum, 10, &sum) &&
		       !__builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum) && sum <= max;
	}
	*end = at;
	if (at == text)
		return -EINVAL;
	if (!fits)
		return -ERANGE;
	*number = sum;
	return 0;
}

int decimal_read(const char *text, uint64_t max, uint64_t *number)
{
	const char *end;
	uint64_t value;
	int error = decimal_read_head(text, &end, max, &value);

	if (*end)
		return -EINVAL;
	if (!error)
		*number = value;
	return error;
}
