/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The subcommand "query" of pvcalls-audit. */
#ifndef PVCALLS_AUDIT_QUERY_H
#define PVCALLS_AUDIT_QUERY_H

#include "pvcalls-audit.h"

/*
 * Prints the records that the options ask for, oldest first; errors go to standard error. argv[0]
 * is the subcommand's name or the program's. Returns the exit status.
 */
enum audit_status query_main(int argc, char **argv);

#endif
