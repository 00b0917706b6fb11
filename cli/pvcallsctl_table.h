/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's answers as people read them, on standard output. */
#ifndef PVCALLSCTL_TABLE_H
#define PVCALLSCTL_TABLE_H

#include <jansson.h>

/* Prints text, what a terminal could take for an order as \xNN. */
void table_print_safely(const char *text);
/* Prints the result of a command: an object of `status`, lists of `guests` and `sockets`. */
void table_print_status(const json_t *status);
void table_print_guests(const json_t *guests);
void table_print_sockets(const json_t *sockets);

#endif
