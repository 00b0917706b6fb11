/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Only the last "*" that was met is ever tried again: what lies before it fits already, and giving
 * an earlier one more text could not help. So the work is bounded by the product of the lengths.
 */
#include "base/glob.h"

#include <stddef.h>
#include <string.h>

/* One byte of a set, that may stand behind a "\"; moves *pattern behind it. False: there is none.
 */
static bool glob_take_byte(const char **pattern, unsigned char *byte)
{
	if (**pattern == '\\')
		(*pattern)++;
	*byte = (unsigned char)**pattern;
	if (!*byte)
		return false;
	(*pattern)++;
	return true;
}

/*
 * Moves *pattern, which is behind the "[" of a set, behind its "]", and says in *fits whether byte
 * is one of the set. Returns whether it is a set at all.
 */
static bool glob_take_set(const char **pattern, unsigned char byte, bool *fits)
{
	bool negated = **pattern == '!' || **pattern == '^';
	bool found = false;
	const char *start = negated ? ++*pattern : *pattern;

	while (**pattern != ']' || *pattern == start) {
		unsigned char first;
		unsigned char last;

		if (**pattern == '[' || !glob_take_byte(pattern, &first))
			return false;
		last = first;
		if ((*pattern)[0] == '-' && (*pattern)[1] && (*pattern)[1] != ']') {
			(*pattern)++;
			if (**pattern == '[' || !glob_take_byte(pattern, &last) || last < first)
				return false;
		}
		found = found || (byte >= first && byte <= last);
	}
	(*pattern)++;
	*fits = found != negated;
	return true;
}

/*
 * Moves *pattern, which is not at its end, behind what stands for one byte, and says in *fits
 * whether this byte fits it. Returns whether the pattern is well formed there.
 */
static bool glob_take_one(const char **pattern, char byte, bool *fits)
{
	unsigned char wanted;

	switch (**pattern) {
	case '?':
		(*pattern)++;
		*fits = true;
		return true;
	case '[':
		(*pattern)++;
		return glob_take_set(pattern, (unsigned char)byte, fits);
	default:
		if (!glob_take_byte(pattern, &wanted))
			return false;
		*fits = wanted == (unsigned char)byte;
		return true;
	}
}

bool glob_is_valid(const char *pattern)
{
	bool fits;

	while (*pattern) {
		if (*pattern == '*')
			pattern++;
		else if (!glob_take_one(&pattern, 0, &fits))
			return false;
	}
	return true;
}

bool glob_matches(const char *pattern, const char *text)
{
	const char *star = NULL;  /* behind the last "*" that was met */
	const char *again = NULL; /* what of text comes behind the bytes it stands for */

	if (!glob_is_valid(pattern))
		return false;
	while (*text) {
		const char *next = pattern;
		bool fits = false;

		if (*pattern == '*') {
			star = ++pattern;
			again = text;
			continue;
		}
		if (*pattern)
			(void)glob_take_one(&next, *text, &fits);
		if (fits) {
			pattern = next;
			text++;
		} else if (star) {
			pattern = star;
			text = ++again;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool glob_covers(const char *wide, const char *narrow)
{
	static const char special[] = "*?[\\";
	size_t head = strcspn(wide, special);

	if (strcmp(wide, narrow) == 0)
		return true;
	if (!narrow[strcspn(narrow, special)])
		return glob_matches(wide, narrow);
	/* "web*" and "web-??" */
	return wide[head] == '*' && wide[head + strspn(wide + head, "*")] == '\0' &&
	       strcspn(narrow, special) >= head && memcmp(wide, narrow, head) == 0;
}
