/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's log: one line per message. Libraries return errors, callers log. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

#define LOG_LINE_MAX 1024 /* bytes of a line, cut beyond */

/* Where lines go, and what stands before each. Copied freely; owns nothing. */
struct log {
	int fd;
	enum log_level level; /* lines of a higher level are not written */
	char program[32];     /* "pvcalls-engine" */
	char about[96];       /* "web-1: ", or empty */
};

/* A log to standard error with nothing before its lines but the program's name. */
void log_init(struct log *log, const char *program, enum log_level level);

/*
 * Writes one line. Control characters and bytes beyond ASCII are escaped as \xNN, so that what a
 * guest could have chosen never reaches a terminal raw.
 */
void log_write(const struct log *log, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Writes each line of a text that may have several as one of its own, behind head and ": ". */
void log_lines(const struct log *log, enum log_level level, const char *head, const char *text);

#define log_error(log, ...)   log_write(log, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(log, ...) log_write(log, LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(log, ...)    log_write(log, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(log, ...)   log_write(log, LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
