/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/settings/exit_status.h"

#include <errno.h>

#include "base/assert.h"

enum exit_status exit_status_of(int error)
{
	ASSERT(error <= 0);
	switch (-error) {
	case 0:
		return STATUS_OK;
	case EINVAL:
		return STATUS_INPUT;
	case EPERM:
	case EACCES:
		return STATUS_PERMISSION;
	case EBUSY:
		return STATUS_RUNNING;
	default:
		return STATUS_ENVIRONMENT;
	}
}
