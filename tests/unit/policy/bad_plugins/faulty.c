/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plugin that does wrong what its section says. */
#include <string.h>
#include <time.h>

#include <pvcalls/plugin.h>

#define ALL ((1u << PVCALLS_OP_COUNT) - 1)

struct faulty {
	const struct pvcalls_host *host;
	const char *how;
};

static void *create(const struct pvcalls_host *host, const struct pvcalls_value *section)
{
	struct faulty *faulty = host->alloc(host, sizeof(*faulty));

	if (!faulty)
		return NULL;
	faulty->host = host;
	faulty->how = host->value_text(host->value_get(section, "how"));
	if (!faulty->how || strcmp(faulty->how, "refuse") == 0)
		return NULL;
	return faulty;
}

static int is(const struct faulty *faulty, const char *how)
{
	return strcmp(faulty->how, how) == 0;
}

static void sleep_ns(long ns)
{
	struct timespec time = {0, ns};

	nanosleep(&time, NULL);
}

/* Uses the processor, however often others get it in between. */
static void spin_ns(long ns)
{
	struct timespec begin;
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000000000 + now.tv_nsec - begin.tv_nsec < ns);
}

static void decide(void *instance, const struct pvcalls_call *call, struct pvcalls_verdict *verdict)
{
	const struct faulty *faulty = instance;

	verdict->kind = PVCALLS_ALLOW;
	if (is(faulty, "count")) {
		faulty->host->count(faulty->host, "asked", 2);
		faulty->host->count(faulty->host, "no name", 2);
		faulty->host->count(faulty->host, "", 2);
	}
	if (is(faulty, "kind"))
		verdict->kind = 77;
	else if (is(faulty, "errno"))
		*verdict = (struct pvcalls_verdict){.kind = PVCALLS_DENY, .error = 9999};
	else if (is(faulty, "inprogress"))
		*verdict = (struct pvcalls_verdict){.kind = PVCALLS_DENY, .error = 115};
	else if (is(faulty, "again"))
		*verdict = (struct pvcalls_verdict){.kind = PVCALLS_DENY, .error = 11};
	else if (is(faulty, "flags"))
		verdict->flags = 128;
	else if (is(faulty, "sleep"))
		sleep_ns(6000000);
	else if (is(faulty, "spin"))
		spin_ns(6000000);
	else if (is(faulty, "rewrite"))
		*verdict = (struct pvcalls_verdict){.kind = PVCALLS_REWRITE};
	else if (is(faulty, "rewrite6"))
		*verdict = (struct pvcalls_verdict){.kind = PVCALLS_REWRITE,
						    .endpoint = {.family = 10, .port = 1}};
	else if (is(faulty, "mapped"))
		*verdict =
			(struct pvcalls_verdict){.kind = PVCALLS_REWRITE,
						 .endpoint = {.family = 2,
							      .addr = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
								       255, 255, 127, 0, 0, 1}}};
	else if (is(faulty, "delay"))
		*verdict = (struct pvcalls_verdict){.kind = PVCALLS_DELAY,
						    .delay_ns = PVCALLS_DELAY_MAX_NS + 1};
	else if (is(faulty, "deny"))
		*verdict = (struct pvcalls_verdict){.kind = PVCALLS_DENY};
	else if (is(faulty, "unended"))
		memset(verdict->rule, 'x', sizeof(verdict->rule) + sizeof(verdict->reason));
	else if (is(faulty, "check") && call->op == PVCALLS_OP_CONNECT)
		*verdict = (struct pvcalls_verdict){
			.kind = PVCALLS_REWRITE,
			.endpoint = {.family = 2, .port = 5, .addr = {8, 8, 8, 8}}};
}

static void check(void *instance, const struct pvcalls_call *call, struct pvcalls_verdict *verdict)
{
	(void)instance;
	(void)call;
	verdict->kind = PVCALLS_ALLOW;
}

/* Metrics of which half are none; or more than there is room for. */
static size_t metrics(void *instance, char *text, size_t size)
{
	static const char lines[] = "good 7\nbad\nspace d 1\n\n 3\nneg -1\nword x\nodd\\ 1\nlast 9";
	const struct faulty *faulty = instance;

	if (is(faulty, "boast"))
		return size + 1;
	if (!is(faulty, "count"))
		return 0;
	memcpy(text, lines, sizeof(lines) - 1);
	return sizeof(lines) - 1;
}

PVCALLS_PLUGIN(.name = "faulty", .version = "1", .description = "does wrong what it is told",
	       .ops = ALL, .create = create, .decide = decide, .check = check, .metrics = metrics);
