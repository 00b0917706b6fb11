/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log: writes a line for each finished call into the daemon's log. Has no opinion on any. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <pvcalls/plugin.h>

#define ALL           ((1u << PVCALLS_OP_COUNT) - 1)
#define LINE_BYTES    768
#define ADDR_BYTES    24 /* "255.255.255.255:65535" */
#define REWRITE_BYTES (ADDR_BYTES + PVCALLS_NAME_MAX + PVCALLS_RULE_MAX + 8)

#define LEVEL_INFORMATION 2u

struct log {
	const struct pvcalls_host *host;
	uint32_t ops;
	uint32_t denied_only;
};

static const char *const names[PVCALLS_OP_COUNT] = {"socket", "connect", "release", "bind",
						    "listen", "accept",  "poll"};

static void *log_create(const struct pvcalls_host *host, const struct pvcalls_value *section)
{
	const struct pvcalls_value *calls = host->value_get(section, "calls");
	struct log *log = host->alloc(host, sizeof(*log));
	const char *word = host->value_text(calls);

	if (!log)
		return NULL;
	log->host = host;
	log->ops = ALL;
	if (!calls || (word && strcmp(word, "all") == 0))
		return log;
	if (word && strcmp(word, "denied") == 0) {
		log->denied_only = 1;
		return log;
	}
	if (host->value_kind(calls) == PVCALLS_VALUE_LIST)
		return host->read_ops(host, calls, ALL, &log->ops) ? NULL : log;
	host->error_at(host, calls, "wrong calls; expected all, denied or a list of operations");
	return NULL;
}

/* " 192.0.2.1:443", or nothing where there is no address. */
static void log_write_endpoint(char text[ADDR_BYTES], const struct pvcalls_endpoint *endpoint)
{
	const uint8_t *addr = endpoint->addr;

	text[0] = '\0';
	if (endpoint->family)
		snprintf(text, ADDR_BYTES, " %u.%u.%u.%u:%u", addr[0], addr[1], addr[2], addr[3],
			 endpoint->port);
}

/* " as 10.0.0.53:53 (rewrite/dns)", or nothing. */
static void log_write_rewrite(char out[REWRITE_BYTES], const struct pvcalls_call *call,
			      const struct pvcalls_outcome *outcome)
{
	char effective[ADDR_BYTES];

	out[0] = '\0';
	if (!outcome->rewritten)
		return;
	log_write_endpoint(effective, &call->effective);
	snprintf(out, REWRITE_BYTES, " as%s (%s%s%s)", effective, outcome->rewriter,
		 outcome->rewrite_rule[0] ? "/" : "", outcome->rewrite_rule);
}

static const char *log_verdict(const struct pvcalls_outcome *outcome)
{
	switch (outcome->verdict) {
	case PVCALLS_ALLOW:
		return outcome->unenforced ? "let through, would be denied" : "allowed";
	case PVCALLS_DENY:
		return "denied";
	default:
		return "ended";
	}
}

static void log_observe(void *instance, const struct pvcalls_call *call,
			const struct pvcalls_outcome *outcome)
{
	const struct log *log = instance;
	char requested[ADDR_BYTES];
	char rewrite[REWRITE_BYTES];
	char line[LINE_BYTES];

	if (!(log->ops & 1u << call->op))
		return;
	if (log->denied_only && outcome->verdict != PVCALLS_DENY && !outcome->unenforced)
		return;
	log_write_endpoint(requested,
			   call->op == PVCALLS_OP_LISTEN ? &call->local : &call->requested);
	log_write_rewrite(rewrite, call, outcome);
	snprintf(line, sizeof(line),
		 "call %" PRIu64 " socket %" PRIu64 ": %s%s%s %s by %s%s%s%s%s, result %" PRId32,
		 call->serial, call->socket, names[call->op], requested, rewrite,
		 log_verdict(outcome), outcome->decider, outcome->rule[0] ? " " : "", outcome->rule,
		 outcome->reason[0] ? ": " : "", outcome->reason, outcome->result);
	log->host->log(log->host, LEVEL_INFORMATION, line);
}

PVCALLS_PLUGIN(.name = "log", .version = "1.0", .description = "writes a line for each call",
	       .ops = ALL, .create = log_create, .observe = log_observe);
