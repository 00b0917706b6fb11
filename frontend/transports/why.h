/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSPORTS_WHY_H
#define TRANSPORTS_WHY_H

/*
 * Writes a line for people into why (PVCALLS_FRONT_WHY_MAX bytes, or NULL) and returns -error, so
 * that `return why_set(...)` fails.
 */
int why_set(char *why, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
