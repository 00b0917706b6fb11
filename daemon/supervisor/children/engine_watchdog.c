/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One timer asks all engines, and runs only while a guest is attached. An engine has
 * ENGINE_SILENCE_NS to answer a PING. When the timer itself comes late, supervisor or machine were
 * held up, and no engine is judged in that round.
 */
#include "supervisor/children/engine_watchdog.h"

#include "base/assert.h"
#include "base/clock.h"
#include "supervisor/children/engine_inbox.h"

#define ENGINE_WATCHDOG_LATE_NS (250 * NS_PER_MS)

static void engine_watchdog_round(struct loop_timer *timer);

static void engine_watchdog_arm(struct engine_processes *engines)
{
	engines->watchdog_ns = clock_monotonic_ns() + ENGINE_PING_NS;
	loop_arm(engines->loop, &engines->watchdog, engines->watchdog_ns, engine_watchdog_round,
		 engines);
}

/* A policy is compiled by the loop that answers PING: it has a deadline of its own. */
static bool engine_watchdog_applies(const struct engine_process *engine)
{
	return engine->phase == ENGINE_ATTACHED && !engine->policy_pending;
}

static void engine_watchdog_judge(struct engine_process *engine, uint64_t now_ns, bool late)
{
	ASSERT(engine->ping_ns <= now_ns);
	if (!engine->ping_ns) {
		/* A PING that the socket has no room for is not answered either. */
		(void)engine_message_send(engine->socket, ENGINE_MESSAGE_PING, 0, ++engine->pings,
					  NULL, NULL, 0);
		engine->ping_ns = now_ns;
		return;
	}
	if (late) {
		engine->ping_ns = now_ns;
		return;
	}
	if (now_ns - engine->ping_ns < ENGINE_SILENCE_NS)
		return;
	/* Timers come before descriptors in a turn: the answer may lie there unread. */
	engine_inbox_receive(engine);
	if (engine->ping_ns && engine_watchdog_applies(engine))
		engine_process_kill(engine, "did not answer for 1.5 s and was killed");
}

static void engine_watchdog_round(struct loop_timer *timer)
{
	struct engine_processes *engines = timer->owner;
	uint64_t now_ns = clock_monotonic_ns();
	bool late = now_ns > engines->watchdog_ns + ENGINE_WATCHDOG_LATE_NS;
	bool again = false;

	for (struct engine_process *engine = engines->list; engine; engine = engine->next) {
		if (engine->phase != ENGINE_ATTACHED)
			continue;
		again = true;
		if (engine_watchdog_applies(engine))
			engine_watchdog_judge(engine, now_ns, late);
	}
	if (again)
		engine_watchdog_arm(engines);
}

void engine_watchdog_wake(struct engine_processes *engines)
{
	if (!engines->watchdog.heap_slot)
		engine_watchdog_arm(engines);
}
