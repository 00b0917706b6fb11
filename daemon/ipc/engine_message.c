/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ipc/engine_message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fd.h"

int engine_message_send(int socket, enum engine_message_kind kind, uint32_t value, uint64_t number,
			const char *text, const int *fds, uint32_t count)
{
	struct engine_message message;
	size_t length = offsetof(struct engine_message, body);

	ASSERT(kind > 0 && count <= FDS_PER_MESSAGE);
	memset(&message, 0, offsetof(struct engine_message, body));
	message.kind = kind;
	message.value = value;
	message.number = number;
	if (text) {
		int used = snprintf(message.body.text, sizeof(message.body.text), "%s", text);

		if (used < 0)
			return -EINVAL;
		length += strlen(message.body.text) + 1;
	}
	return fd_send(socket, &message, length, fds, count);
}
