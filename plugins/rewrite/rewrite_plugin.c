/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rewrite: gives a connect or bind another address or port; the first rewrite that matches is used.
 * What comes of it is looked at by the host rules and by every other plugin's check again.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <pvcalls/plugin.h>

#define OPS           (1u << PVCALLS_OP_CONNECT | 1u << PVCALLS_OP_BIND)
#define WARNING_BYTES 256u

struct rewrite_entry {
	char id[PVCALLS_RULE_MAX];
	uint32_t ops;
	uint32_t has_address;
	uint32_t has_port;
	struct pvcalls_endpoint to;
};

struct rewrite {
	const struct pvcalls_host *host;
	struct rewrite_entry *entries;
	struct pvcalls_set *set;
};

static int32_t rewrite_entry_read_new(const struct pvcalls_host *host,
				      const struct pvcalls_value *new, struct rewrite_entry *entry)
{
	const struct pvcalls_value *address = host->value_get(new, "address");
	const struct pvcalls_value *port = host->value_get(new, "port");
	uint64_t number = 0;
	int32_t result = 0;

	if (!address && !port)
		return host->error_at(host, new,
				      "sets nothing; expected set: {address: a.b.c.d, port: n}");
	if (address)
		result = host->read_address(host, address, entry->to.addr);
	if (port)
		result |= host->read_u64(host, port, 1, UINT16_MAX, &number);
	entry->has_address = !!address;
	entry->has_port = !!port;
	entry->to.port = (uint16_t)number;
	return result;
}

static int32_t rewrite_read_entry(struct rewrite *rewrite, uint32_t index,
				  const struct pvcalls_value *section)
{
	const struct pvcalls_host *host = rewrite->host;
	const struct pvcalls_value *id = host->value_get(section, "id");
	const struct pvcalls_value *on = host->value_get(section, "on");
	const struct pvcalls_value *to = host->value_get(section, "to");
	const struct pvcalls_value *set = host->value_get(section, "set");
	struct rewrite_entry *entry = &rewrite->entries[index];
	uint32_t ops = 0;
	int32_t result;

	if (!id || !on || !to || !set)
		return host->error_at(host, section,
				      "not a rewrite; expected a map with id, on, to and set");
	result = host->read_id(host, id, entry->id);
	result |= host->read_ops(host, on, OPS, &ops);
	result |= rewrite_entry_read_new(host, set, entry);
	entry->ops = ops;
	return result | host->set_add(host, rewrite->set, ops, to);
}

/* Tells of an entry that no call can find. */
static void rewrite_warn_of_hidden(const struct rewrite *rewrite, uint32_t index,
				   const struct pvcalls_value *section)
{
	const struct pvcalls_host *host = rewrite->host;
	const struct rewrite_entry *entry = &rewrite->entries[index];
	char text[WARNING_BYTES];
	int32_t hiding = -1;
	int32_t found;
	uint32_t op;

	for (op = 0; op < PVCALLS_OP_COUNT; op++) {
		if (!(entry->ops & 1u << op))
			continue;
		found = host->set_hidden(rewrite->set, index, op);
		if (found < 0)
			return;
		hiding = found;
	}
	if (hiding < 0)
		return;
	snprintf(text, sizeof(text),
		 "rewrite %s can never be used: what it is for is matched before it, as by rewrite "
		 "%s",
		 entry->id, rewrite->entries[hiding].id);
	host->warn_at(host, section, text);
}

static void *rewrite_create(const struct pvcalls_host *host, const struct pvcalls_value *section)
{
	const struct pvcalls_value *list = host->value_get(section, "rewrites");
	struct rewrite *rewrite = host->alloc(host, sizeof(*rewrite));
	uint32_t count = host->value_count(list);
	int32_t result = 0;
	uint32_t i;

	if (host->value_kind(list) != PVCALLS_VALUE_LIST) {
		host->error_at(host, list ? list : section,
			       "no rewrites; expected a list of rewrites");
		return NULL;
	}
	if (!rewrite)
		return NULL;
	rewrite->host = host;
	rewrite->set = host->set_create(host);
	rewrite->entries = host->alloc(host, (count + 1) * sizeof(*rewrite->entries));
	if (!rewrite->set || !rewrite->entries)
		return NULL;
	for (i = 0; i < count; i++)
		result |= rewrite_read_entry(rewrite, i, host->value_item(list, i));
	if (result || host->set_build(host, rewrite->set))
		return NULL;
	for (i = 0; i < count; i++)
		rewrite_warn_of_hidden(rewrite, i, host->value_item(list, i));
	return rewrite;
}

static void rewrite_decide(void *instance, const struct pvcalls_call *call,
			   struct pvcalls_verdict *verdict)
{
	const struct rewrite *rewrite = instance;
	const struct rewrite_entry *entry;
	int32_t found = rewrite->host->set_find(rewrite->set, call->op, &call->effective);

	if (found < 0)
		return;
	entry = &rewrite->entries[found];
	verdict->kind = PVCALLS_REWRITE;
	verdict->endpoint = call->effective;
	if (entry->has_address)
		memcpy(verdict->endpoint.addr, entry->to.addr, sizeof(entry->to.addr));
	if (entry->has_port)
		verdict->endpoint.port = entry->to.port;
	memcpy(verdict->rule, entry->id, sizeof(entry->id));
}

PVCALLS_PLUGIN(.name = "rewrite", .version = "1.0",
	       .description = "gives connects and binds another address or port", .ops = OPS,
	       .create = rewrite_create, .decide = rewrite_decide);
