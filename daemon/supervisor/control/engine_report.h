/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an engine reports of itself, as JSON. Engines are not trusted: any text may come. */
#ifndef SUPERVISOR_CONTROL_ENGINE_REPORT_H
#define SUPERVISOR_CONTROL_ENGINE_REPORT_H

#include <jansson.h>
#include <stdint.h>

#define REPORT_SUMS_MAX 4096u
#define REPORT_NEW_MAX  512u /* names of one report that none before it had */

/* Adds the "key value" lines of an engine's report to object: numbers as numbers. */
void engine_report_add(json_t *object, const char *text);
/*
 * Adds the numbers of an engine's report to the sums in object, of REPORT_SUMS_MAX names at most,
 * of which one report can't take all. Returns how many names had no room.
 */
uint32_t engine_report_sum(json_t *object, const char *text);
/*
 * The sockets of a report, each a line of "key value" pairs. Returns an array that is the caller's,
 * or NULL if there is no memory.
 */
json_t *engine_report_sockets(const char *text);

#endif
