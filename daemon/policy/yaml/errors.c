/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/yaml/errors.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define LINE_BYTES   512
#define MORE_RESERVE 40 /* bytes of a fault kept for "(and 123 more errors)" */

static void errors_make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* Whether this very line is there: a value that is read twice is wrong only once. */
static bool errors_have(const struct errors *errors, const char *line, size_t length)
{
	const char *at = errors->text;
	const char *end;

	for (; at && *at; at = end + 1) {
		end = strchr(at, '\n');
		if ((size_t)(end - at) == length && memcmp(at, line, length) == 0)
			return true;
	}
	return false;
}

static void errors_append(struct errors *errors, const char *line, size_t length)
{
	size_t capacity = errors->capacity ? errors->capacity : 1024;
	char *grown;

	while (capacity < errors->used + length + 2)
		capacity *= 2;
	if (capacity != errors->capacity) {
		grown = realloc(errors->text, capacity);
		if (!grown)
			return; /* counted, so the load still fails */
		errors->text = grown;
		errors->capacity = capacity;
	}
	memcpy(errors->text + errors->used, line, length);
	errors->used += length;
	errors->text[errors->used++] = '\n';
	errors->text[errors->used] = '\0';
}

static void errors_add_line(struct errors *errors, struct position at, const char *kind,
			    const char *message)
{
	char line[LINE_BYTES];
	int head;

	ASSERT(errors->path);
	if (errors->count >= POLICY_ERRORS_MAX) {
		errors->count++;
		return;
	}
	if (at.line)
		head = snprintf(line, sizeof(line) / 2, "%s:%u:%u: %s", errors->path, at.line,
				at.column, kind);
	else
		head = snprintf(line, sizeof(line) / 2, "%s: %s", errors->path, kind);
	if (head < 0 || (size_t)head >= sizeof(line) / 2)
		head = sizeof(line) / 2 - 1;
	snprintf(line + head, sizeof(line) - (size_t)head, "%s", message);
	errors_make_printable(line);
	if (errors_have(errors, line, strlen(line)))
		return;
	errors->count++;
	errors_append(errors, line, strlen(line));
}

int errors_add(struct errors *errors, struct position at, const char *format, ...)
{
	char message[LINE_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	errors_add_line(errors, at, "", message);
	return -EINVAL;
}

void errors_warn(const struct errors *errors, struct position at, const char *format, ...)
{
	char message[LINE_BYTES];
	va_list arguments;

	if (!errors->warnings)
		return;
	errors->warnings->path = errors->path;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	errors_add_line(errors->warnings, at, "warning: ", message);
}

/* Bytes of the whole lines that fit into room. */
static size_t errors_that_fit(const struct errors *errors, size_t room, uint32_t *lines)
{
	size_t fit = 0;
	size_t i;

	*lines = 0;
	for (i = 0; i < errors->used && i < room; i++)
		if (errors->text[i] == '\n') {
			fit = i + 1;
			(*lines)++;
		}
	return fit;
}

int errors_tell(const struct errors *errors, struct fault *fault)
{
	uint32_t lines;
	size_t used;
	size_t fit;

	if (!errors->count)
		return 0;
	if (!fault)
		return -EINVAL;
	used = strlen(fault->text);
	if (used && used < FAULT_TEXT_MAX - 1 && fault->text[used - 1] != '\n')
		fault->text[used++] = '\n';
	fit = used + MORE_RESERVE < FAULT_TEXT_MAX
		      ? errors_that_fit(errors, FAULT_TEXT_MAX - MORE_RESERVE - used, &lines)
		      : 0;
	if (fit)
		memcpy(fault->text + used, errors->text, fit);
	else
		lines = 0;
	used += fit;
	fault->text[used] = '\0';
	if (lines < errors->count && used < FAULT_TEXT_MAX)
		snprintf(fault->text + used, FAULT_TEXT_MAX - used, "(and %u more errors)\n",
			 errors->count - lines);
	used = strlen(fault->text);
	if (used && fault->text[used - 1] == '\n')
		fault->text[used - 1] = '\0';
	return -EINVAL;
}

void errors_free(struct errors *errors)
{
	free(errors->text);
	errors->text = NULL;
	errors->used = errors->capacity = 0;
}
