/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all parts of pvcalls-audit share. */
#ifndef PVCALLS_AUDIT_H
#define PVCALLS_AUDIT_H

#define AUDIT_TRAIL_DIR "/var/lib/pvcalls/audit"

/* The exit status, as all commands share it. */
enum audit_status {
	AUDIT_FOUND = 0,
	AUDIT_NOTHING = 1, /* no record matches */
	AUDIT_USAGE = 2,
	AUDIT_INPUT = 3,  /* an address, a time, a name is none */
	AUDIT_TRAIL = 4,  /* the trail is out of reach, or not one that this program reads */
	AUDIT_DENIED = 5, /* not permitted */
};

#endif
