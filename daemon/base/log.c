/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ESCAPED_BYTES 4 /* "\xNN" */

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_init(struct log *log, const char *program, enum log_level level)
{
	memset(log, 0, sizeof(*log));
	log->fd = STDERR_FILENO;
	log->level = level;
	snprintf(log->program, sizeof(log->program), "%s", program);
}

/* Copies text as printable ASCII into line, which has room bytes; returns the bytes used. */
static size_t log_escape(char *line, size_t room, const char *text)
{
	size_t used = 0;

	for (; *text && used + ESCAPED_BYTES < room; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte >= ' ' && byte < 0x7f)
			line[used++] = (char)byte;
		else
			used += (size_t)snprintf(line + used, room - used, "\\x%02x", byte);
	}
	return used;
}

void log_write(const struct log *log, enum log_level level, const char *format, ...)
{
	char text[LOG_LINE_MAX];
	char line[LOG_LINE_MAX + 160];
	va_list arguments;
	size_t used;

	if (level > log->level)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	used = (size_t)snprintf(line, sizeof(line), "%s: %s: %s", log->program, level_names[level],
				log->about);
	used += log_escape(line + used, sizeof(line) - used - 1, text);
	line[used++] = '\n';
	/* There is nobody to tell if the log itself can't be written. */
	if (write(log->fd, line, used) < 0)
		return;
}

void log_lines(const struct log *log, enum log_level level, const char *head, const char *text)
{
	size_t length;

	do {
		length = strcspn(text, "\n");
		log_write(log, level, "%s: %.*s", head, (int)length, text);
		text += length + (text[length] == '\n');
	} while (*text);
}
