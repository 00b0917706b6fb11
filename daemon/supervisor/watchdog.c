/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One timer looks at all engines, and runs only while a guest is attached. An engine has
 * ENGINE_SILENCE_NS to answer a PING. When the look itself comes late, supervisor or machine were
 * held up, and no engine is judged by that look.
 */
#include "supervisor/watchdog.h"

#include "base/clock.h"

#define LATE_NS (250 * NS_PER_MS)

static void look(struct loop_timer *timer);

static void arm(struct engines *engines)
{
	engines->look_ns = clock_monotonic_ns() + ENGINE_PING_NS;
	loop_arm(engines->loop, &engines->watchdog, engines->look_ns, look, engines);
}

/* A policy is compiled by the loop that answers PING: it has a deadline of its own. */
static bool is_watched(const struct engine *engine)
{
	return engine->phase == ENGINE_ATTACHED && !engine->policy_pending;
}

static void ping(struct engine *engine, uint64_t now_ns)
{
	/* A PING that can't be sent, because the socket is full, is not answered either. */
	(void)engine_message_send(engine->socket, ENGINE_MESSAGE_PING, 0, ++engine->pings, NULL,
				  NULL, 0);
	engine->ping_ns = now_ns;
}

static void judge(struct engine *engine, uint64_t now_ns, bool late)
{
	if (!engine->ping_ns) {
		ping(engine, now_ns);
		return;
	}
	if (late) {
		engine->ping_ns = now_ns;
		return;
	}
	if (now_ns - engine->ping_ns < ENGINE_SILENCE_NS)
		return;
	/* Timers come before descriptors in a turn: the answer may lie there unread. */
	engine_receive(engine);
	if (engine->ping_ns && is_watched(engine))
		engine_kill(engine, "did not answer for 1.5 s and was killed");
}

static void look(struct loop_timer *timer)
{
	struct engines *engines = timer->owner;
	uint64_t now_ns = clock_monotonic_ns();
	bool late = now_ns > engines->look_ns + LATE_NS;
	bool again = false;

	for (struct engine *engine = engines->list; engine; engine = engine->next) {
		if (engine->phase != ENGINE_ATTACHED)
			continue;
		again = true;
		if (is_watched(engine))
			judge(engine, now_ns, late);
	}
	if (again)
		arm(engines);
}

void watchdog_wake(struct engines *engines)
{
	if (!engines->watchdog.heap_slot)
		arm(engines);
}

void watchdog_pong(struct engine *engine, uint64_t number)
{
	if (number == engine->pings)
		engine->ping_ns = 0;
}
