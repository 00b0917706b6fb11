/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors as they travel: Linux numbers whatever the host's libc calls them. ENOTSUP is 524 on the
 * wire; glibc's ENOTSUP is EOPNOTSUPP (95), so the host side writes WIRE_ENOTSUP.
 */
#ifndef CALL_WIRE_ERRNO_H
#define CALL_WIRE_ERRNO_H

#define WIRE_ENOTSUP 524

/* The wire number (negative, or 0) of 0 or a negative errno of this host; -EIO if it has none. */
int wire_errno(int error);
/* The wire number (positive) for a name such as "ECONNREFUSED", or 0. */
int wire_errno_from_name(const char *name);
/* The name of a wire number of either sign, or NULL. */
const char *wire_errno_name(int error);

#endif
