/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records as tables, JSON and CSV. */
#ifndef PVCALLS_AUDIT_OUTPUT_H
#define PVCALLS_AUDIT_OUTPUT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum output_format {
	OUTPUT_TABLE,
	OUTPUT_COMPACT,
	OUTPUT_JSON,
	OUTPUT_JSONL,
	OUTPUT_CSV,
};

struct output {
	FILE *file;
	enum output_format format;
	bool colour;
	const char *arrow; /* between what was asked for and what was used instead */
	uint64_t rows;     /* written so far */
};

/* The format of a name. Returns 0, or -EINVAL. */
int output_parse(const char *name, enum output_format *format);
/* Whether a person reads it, not a program. */
bool output_is_for_people(const struct output *output);
/* Writes one row of the view `calls` or (event) `events`. */
void output_row(struct output *output, sqlite3_stmt *row, bool event);
/* Writes what must follow the last row. */
void output_end(struct output *output);

#endif
