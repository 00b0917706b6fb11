/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all parts of pvcallsctl share. */
#ifndef PVCALLSCTL_H
#define PVCALLSCTL_H

/* The exit status, as policy tools and pvcallsd share it. */
enum ctl_status {
	CTL_OK = 0,
	CTL_NEGATIVE = 1, /* no such guest or socket */
	CTL_USAGE = 2,
	CTL_INPUT = 3,  /* a policy or plugin is invalid */
	CTL_DAEMON = 4, /* the daemon is out of reach */
	CTL_PERMISSION = 5,
};

#endif
