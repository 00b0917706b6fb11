/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One table: number here, number on the wire, name. The wire's numbers are Linux's, from the table
 * of the specification (docs/misc/pvcalls.pandoc, "Error numbers") and those that Linux backends
 * send beside it.
 */
#include "call/wire_errno.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct wire_error {
	int host;
	int wire;
	const char *name;
};

#define SAME(number, error)           \
	{                             \
		error, number, #error \
	}

static const struct wire_error wire_errors[] = {
	SAME(1, EPERM),
	SAME(2, ENOENT),
	SAME(3, ESRCH),
	SAME(4, EINTR),
	SAME(5, EIO),
	SAME(6, ENXIO),
	SAME(7, E2BIG),
	SAME(8, ENOEXEC),
	SAME(9, EBADF),
	SAME(10, ECHILD),
	SAME(11, EAGAIN),
	SAME(12, ENOMEM),
	SAME(13, EACCES),
	SAME(14, EFAULT),
	SAME(16, EBUSY),
	SAME(17, EEXIST),
	SAME(18, EXDEV),
	SAME(19, ENODEV),
	SAME(21, EISDIR),
	SAME(22, EINVAL),
	SAME(23, ENFILE),
	SAME(24, EMFILE),
	SAME(28, ENOSPC),
	SAME(30, EROFS),
	SAME(31, EMLINK),
	SAME(32, EPIPE),
	SAME(33, EDOM),
	SAME(34, ERANGE),
	SAME(35, EDEADLK),
	SAME(36, ENAMETOOLONG),
	SAME(37, ENOLCK),
	SAME(38, ENOSYS),
	SAME(39, ENOTEMPTY),
	SAME(61, ENODATA),
	SAME(62, ETIME),
	SAME(74, EBADMSG),
	SAME(75, EOVERFLOW),
	SAME(84, EILSEQ),
	SAME(85, ERESTART),
	SAME(88, ENOTSOCK),
	SAME(92, ENOPROTOOPT),
	SAME(95, EOPNOTSUPP),
	SAME(97, EAFNOSUPPORT),
	SAME(98, EADDRINUSE),
	SAME(99, EADDRNOTAVAIL),
	SAME(100, ENETDOWN),
	SAME(101, ENETUNREACH),
	SAME(102, ENETRESET),
	SAME(103, ECONNABORTED),
	SAME(104, ECONNRESET),
	SAME(105, ENOBUFS),
	SAME(106, EISCONN),
	SAME(107, ENOTCONN),
	SAME(110, ETIMEDOUT),
	SAME(111, ECONNREFUSED),
	SAME(112, EHOSTDOWN),
	SAME(113, EHOSTUNREACH),
	SAME(114, EALREADY),
	SAME(115, EINPROGRESS),
	SAME(125, ECANCELED),
	{WIRE_ENOTSUP, WIRE_ENOTSUP, "ENOTSUP"},
};

#define WIRE_ERRORS (sizeof(wire_errors) / sizeof(wire_errors[0]))

int wire_errno(int error)
{
	size_t i;

	ASSERT(error <= 0);
	if (error == 0)
		return 0;
	for (i = 0; i < WIRE_ERRORS; i++)
		if (wire_errors[i].host == -error)
			return -wire_errors[i].wire;
	return -EIO;
}

int wire_errno_from_name(const char *name)
{
	size_t i;

	for (i = 0; i < WIRE_ERRORS; i++)
		if (strcmp(wire_errors[i].name, name) == 0)
			return wire_errors[i].wire;
	return 0;
}

const char *wire_errno_name(int error)
{
	size_t i;

	for (i = 0; i < WIRE_ERRORS; i++)
		if (wire_errors[i].wire == abs(error))
			return wire_errors[i].name;
	return NULL;
}
