/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of pvcallsctl. */
#ifndef PVCALLSCTL_H
#define PVCALLSCTL_H

#include <stdbool.h>

#include <jansson.h>

/* The exit status, as policy tools and pvcallsd share it. */
enum ctl_status {
	CTL_OK = 0,
	CTL_NEGATIVE = 1, /* no such guest or socket */
	CTL_USAGE = 2,
	CTL_INPUT = 3,  /* a policy or plugin is invalid */
	CTL_DAEMON = 4, /* the daemon is out of reach */
	CTL_PERMISSION = 5,
};

/* Prints text to standard output, what a terminal could take for an order as \xNN. */
void print_safely(const char *text);
/* Prints the result of a command as people read it. */
void print_status(const json_t *status);
void print_guests(const json_t *guests);
void print_sockets(const json_t *sockets);

/* Describes one plugin's file, or (file NULL) each of a directory. */
enum ctl_status show_plugins(const char *directory, const char *file, bool as_json);

#endif
