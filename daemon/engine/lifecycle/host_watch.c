/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/lifecycle/host_watch.h"

#include <sys/epoll.h>

#include "base/assert.h"
#include "engine/lifecycle/engine.h"
#include "policy/host_view/host_view.h"

static void host_watch_event(struct loop_source *source, uint32_t events)
{
	const struct engine *engine = source->owner;

	(void)events;
	host_view_changed(engine->host);
}

int host_watch_open(struct engine *engine)
{
	int fd = host_view_watch(engine->host);

	ASSERT(!engine->host_source.dispatch);
	return fd < 0 ? 0
		      : loop_add(engine->loop, &engine->host_source, fd, EPOLLIN, host_watch_event,
				 engine);
}
