/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/calls/due_listeners.h"

#include "base/assert.h"
#include "engine/calls/calls.h"

void due_listeners_add(struct calls *calls, struct guest_socket *listener)
{
	if (listener->accepts_due)
		return;
	listener->accepts_due = true;
	listener->next_due = NULL;
	if (calls->due_first)
		calls->due_last->next_due = listener;
	else
		calls->due_first = listener;
	calls->due_last = listener;
}

void due_listeners_remove(struct calls *calls, struct guest_socket *listener)
{
	struct guest_socket *before = NULL;

	if (!listener->accepts_due)
		return;
	listener->accepts_due = false;
	if (calls->due_first == listener) {
		calls->due_first = listener->next_due;
		return;
	}
	for (before = calls->due_first; before->next_due != listener; before = before->next_due)
		ASSERT(before->next_due);
	before->next_due = listener->next_due;
	if (calls->due_last == listener)
		calls->due_last = before;
}

struct guest_socket *due_listeners_take(struct calls *calls)
{
	struct guest_socket *listener = calls->due_first;

	if (listener)
		due_listeners_remove(calls, listener);
	return listener;
}
