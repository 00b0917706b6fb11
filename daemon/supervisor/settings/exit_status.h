/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the exit status of pvcallsd and pvcallsctl says; pvcallsd(8) documents it. */
#ifndef SUPERVISOR_SETTINGS_EXIT_STATUS_H
#define SUPERVISOR_SETTINGS_EXIT_STATUS_H

enum exit_status {
	STATUS_OK = 0,
	STATUS_NEGATIVE = 1,    /* the negative answer: no such guest, no such socket */
	STATUS_USAGE = 2,       /* the command line is wrong */
	STATUS_INPUT = 3,       /* configuration, policy or plugin is invalid */
	STATUS_ENVIRONMENT = 4, /* a directory, the disk or the daemon is out of reach */
	STATUS_PERMISSION = 5,  /* not permitted */
	STATUS_RUNNING = 6,     /* another daemon holds a directory, or serves Xen's guests */
};

/* The status for a negative errno that ended the start of the daemon; 0 is STATUS_OK. */
enum exit_status exit_status_of(int error);

#endif
