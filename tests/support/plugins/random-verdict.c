/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * random-verdict: answers calls with one of the verdicts that its section lists, drawn by chance.
 *
 *     - plugin: random-verdict
 *       seed: 7                          # the same seed draws the same verdicts
 *       on: [socket, connect]
 *       verdicts: [delay, deny, rewrite, fault, allow, defer]
 *       delay: 20ms                      # exactly, if `verdicts` lists nothing else; else up to it
 *       port: 4000                       # rewrites go to 127.0.0.1 and this port
 *
 * With one verdict in the list nothing is left to chance.
 */
#include <stddef.h>
#include <string.h>

#include <pvcalls/plugin.h>

#define ALL_OPS ((1u << PVCALLS_OP_COUNT) - 1)

enum choice {
	CHOICE_DELAY,
	CHOICE_DENY,
	CHOICE_REWRITE,
	CHOICE_FAULT,
	CHOICE_ALLOW,
	CHOICE_DEFER,
	CHOICES,
};

static const char *const choice_names[CHOICES] = {"delay", "deny",  "rewrite",
						  "fault", "allow", "defer"};

struct random_verdict {
	uint64_t state;
	uint32_t ops;
	uint32_t count;
	uint32_t choices[CHOICES];
	uint64_t delay_ns;
	uint64_t port;
};

static int32_t read_choices(const struct pvcalls_host *host, const struct pvcalls_value *list,
			    struct random_verdict *random)
{
	uint32_t i;

	random->count = host->value_count(list);
	if (random->count == 0 || random->count > CHOICES)
		return host->error_at(host, list, "expected one to six verdicts");
	for (i = 0; i < random->count; i++)
		if (host->read_choice(host, host->value_item(list, i), choice_names, CHOICES,
				      &random->choices[i]))
			return -1;
	return 0;
}

static void *random_create(const struct pvcalls_host *host, const struct pvcalls_value *section)
{
	const struct pvcalls_value *delay = host->value_get(section, "delay");
	const struct pvcalls_value *port = host->value_get(section, "port");
	struct random_verdict *random = host->alloc(host, sizeof(*random));

	if (!random ||
	    host->read_u64(host, host->value_get(section, "seed"), 0, UINT64_MAX, &random->state) ||
	    host->read_ops(host, host->value_get(section, "on"), ALL_OPS, &random->ops) ||
	    read_choices(host, host->value_get(section, "verdicts"), random))
		return NULL;
	if (delay && host->read_duration(host, delay, &random->delay_ns))
		return NULL;
	if (port && host->read_u64(host, port, 1, 65535, &random->port))
		return NULL;
	return random;
}

/* splitmix64: good enough to choose by, and starts from any seed. */
static uint64_t random_next(struct random_verdict *random)
{
	uint64_t value = random->state += 0x9e3779b97f4a7c15u;

	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
	value = (value ^ value >> 27) * 0x94d049bb133111ebu;
	return value ^ value >> 31;
}

static void random_rewrite(const struct random_verdict *random, const struct pvcalls_call *call,
			   struct pvcalls_verdict *verdict)
{
	static const uint8_t loopback[4] = {127, 0, 0, 1};

	if (call->op != PVCALLS_OP_CONNECT && call->op != PVCALLS_OP_BIND)
		return;
	verdict->kind = PVCALLS_REWRITE;
	verdict->endpoint.family = 2;
	verdict->endpoint.port = (uint16_t)random->port;
	memcpy(verdict->endpoint.addr, loopback, sizeof(loopback));
}

static void random_decide(void *instance, const struct pvcalls_call *call,
			  struct pvcalls_verdict *verdict)
{
	struct random_verdict *random = instance;

	if (!(random->ops & 1u << call->op))
		return;
	switch ((enum choice)random->choices[random_next(random) % random->count]) {
	case CHOICE_DELAY:
		verdict->kind = PVCALLS_DELAY;
		verdict->delay_ns = random->delay_ns;
		if (random->count > 1 && random->delay_ns)
			verdict->delay_ns = random_next(random) % random->delay_ns;
		break;
	case CHOICE_DENY:
		verdict->kind = PVCALLS_DENY;
		strcpy(verdict->rule, "by-chance");
		break;
	case CHOICE_REWRITE:
		random_rewrite(random, call, verdict);
		break;
	case CHOICE_FAULT:
		verdict->kind = 77;
		break;
	case CHOICE_ALLOW:
		verdict->kind = PVCALLS_ALLOW;
		break;
	case CHOICE_DEFER:
	case CHOICES:
		break;
	}
}

PVCALLS_PLUGIN(.name = "random-verdict", .version = "1",
	       .description = "answers calls with verdicts drawn by chance", .ops = ALL_OPS,
	       .create = random_create, .decide = random_decide);
