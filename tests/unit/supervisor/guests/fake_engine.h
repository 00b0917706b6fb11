/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for pvcalls-engine: a test program that was started under its name is one. */
#ifndef TESTS_SUPERVISOR_FAKE_ENGINE_H
#define TESTS_SUPERVISOR_FAKE_ENGINE_H

#include <stdbool.h>

/* Whether this process was started as an engine. */
bool fake_engine_is_asked(int argc, char **argv);
/*
 * Is an engine, whose guest's name says how it behaves: "crash-..." on ATTACH, "hang-..." after it,
 * "stuck-..." does not answer DETACH, "broken-..." says BROKEN after ATTACHED, "fails-..." says
 * FAILED to ATTACH, "assert-..." fails an assertion after ATTACHED unless it took over, "mute-..."
 * does not answer STATUS. Returns the exit status.
 */
int fake_engine_main(const char *guest);

#endif
