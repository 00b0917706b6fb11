/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `pvcallsctl status` and `sockets` show of an engine: lines of "key value". */
#ifndef ENGINE_LIFECYCLE_STATUS_REPORT_H
#define ENGINE_LIFECYCLE_STATUS_REPORT_H

#include <stdint.h>

struct engine;

/* Answers ENGINE_MESSAGE_STATUS, whose number it was: sums, or with detail every socket. */
void status_report_send(struct engine *engine, uint32_t detail, uint64_t number);

#endif
