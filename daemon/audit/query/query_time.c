/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit/query/query_time.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/decimal.h"

#define DAY_S  86400
#define WEEK_S 604800

/* Times are UTC unless they say otherwise. */
static int64_t time_of_midnight(int64_t time_ns)
{
	int64_t second = time_ns / (int64_t)NS_PER_S;
	return (second - second % DAY_S) * (int64_t)NS_PER_S;
}

static int64_t time_of_boot(int64_t now_ns)
{
	struct timespec up = {0};
	clock_gettime(CLOCK_BOOTTIME, &up);
	return now_ns - ((int64_t)up.tv_sec * (int64_t)NS_PER_S + up.tv_nsec);
}

/* "-15m": s, m, h, d or w ago. */
static int time_parse_ago(const char *text, int64_t now_ns, int64_t *time_ns)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', DAY_S}, {'w', WEEK_S}};
	const char *end = NULL;
	uint64_t count = 0;
	int error = decimal_read_head(text + 1, &end, INT64_MAX, &count);
	if (error < 0 || end[0] == '\0' || end[1] != '\0')
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		int64_t most = now_ns / (int64_t)NS_PER_S / units[i].seconds;
		if (*end != units[i].unit || (int64_t)count > most)
			continue;
		*time_ns = now_ns - (int64_t)count * units[i].seconds * (int64_t)NS_PER_S;
		return 0;
	}
	return -EINVAL;
}

/* ".123456789" as nanoseconds; moves *text past it. */
static int64_t time_parse_fraction(const char **text)
{
	int64_t value = 0;
	int64_t unit = NS_PER_S / 10;
	if (**text != '.')
		return 0;
	for ((*text)++; isdigit((unsigned char)**text); (*text)++) {
		value += (**text - '0') * unit;
		unit /= 10;
	}
	return value;
}

/* "", "Z" or "+01:00" as seconds. Returns 0, or -EINVAL. */
static int time_parse_zone(const char *text, int64_t *seconds)
{
	*seconds = 0;
	if (text[0] == '\0' || strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
		return 0;
	struct tm zone = {0};
	const char *end =
		text[0] == '+' || text[0] == '-' ? strptime(text + 1, "%H:%M", &zone) : NULL;
	if (!end || *end != '\0')
		return -EINVAL;
	*seconds = (int64_t)zone.tm_hour * 3600 + (int64_t)zone.tm_min * 60;
	if (text[0] == '-')
		*seconds = -*seconds;
	return 0;
}

static int time_parse_date(const char *text, int64_t *time_ns)
{
	static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S",
					    "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"};
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct tm date = {0};
		int64_t zone = 0;
		const char *end = strptime(text, forms[i], &date);
		if (!end)
			continue;
		int64_t fraction = time_parse_fraction(&end);
		if (time_parse_zone(end, &zone) < 0)
			continue;
		int64_t seconds = (int64_t)timegm(&date) - zone;
		/* Nanoseconds of 64 bits end in the year 2262. */
		if (seconds < 0 || seconds > INT64_MAX / (int64_t)NS_PER_S - 1)
			return -EINVAL;
		*time_ns = seconds * (int64_t)NS_PER_S + fraction;
		return 0;
	}
	return -EINVAL;
}

int query_time_parse(const char *text, int64_t now_ns, int64_t *time_ns, struct fault *fault)
{
	int error = 0;
	if (strcmp(text, "now") == 0)
		*time_ns = now_ns;
	else if (strcmp(text, "today") == 0)
		*time_ns = time_of_midnight(now_ns);
	else if (strcmp(text, "yesterday") == 0)
		*time_ns = time_of_midnight(now_ns - DAY_S * (int64_t)NS_PER_S);
	else if (strcmp(text, "boot") == 0)
		*time_ns = time_of_boot(now_ns);
	else if (text[0] == '-')
		error = time_parse_ago(text, now_ns, time_ns);
	else
		error = time_parse_date(text, time_ns);
	if (error < 0)
		return fault_set(fault, EINVAL,
				 "'%s' is no time: write 2026-01-02, 2026-01-02T03:04:05Z, -15m, "
				 "today, yesterday or boot",
				 text);
	return 0;
}
