/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
	assert_fn tell;
	void *owner;
} assert_listener;

void assert_tell(assert_fn tell, void *owner)
{
	assert_listener.tell = tell;
	assert_listener.owner = owner;
}

void assert_failed(const char *condition, const char *file, int line, const char *function)
{
	assert_fn tell = assert_listener.tell;
	char text[ASSERT_TEXT_MAX];

	/* Once: an assertion that fails in the listener must not ask it again. */
	assert_listener.tell = NULL;
	snprintf(text, sizeof(text), "%s:%d: in %s(): %s", file, line, function, condition);
	(void)dprintf(STDERR_FILENO, "assertion failed: %s\n", text);
	if (tell)
		tell(assert_listener.owner, text);
	abort();
}
