/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/match/groups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "policy/match/address.h"

enum group_state {
	GROUP_UNREAD,
	GROUP_READING, /* met again in this state: it contains itself */
	GROUP_READ,
};

struct group {
	const char *name;
	const struct pvcalls_value *value;
	struct position at;
	enum group_state state;
	struct ranges ranges;
};

#define GROUP_NET(a, b, c, d, bits)                                          \
	{                                                                    \
		((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d)),          \
			((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d)) | \
				(uint32_t)((1ull << (32 - (bits))) - 1)      \
	}

static const struct range private_nets[] = {GROUP_NET(10, 0, 0, 0, 8), GROUP_NET(172, 16, 0, 0, 12),
					    GROUP_NET(192, 168, 0, 0, 16)};
static const struct range loopback_nets[] = {GROUP_NET(127, 0, 0, 0, 8)};
static const struct range link_local_nets[] = {GROUP_NET(169, 254, 0, 0, 16)};
static const struct range multicast_nets[] = {GROUP_NET(224, 0, 0, 0, 4)};
static const struct range any_nets[] = {GROUP_NET(0, 0, 0, 0, 0)};

/*
 * Everything between the blocks of IANA's registry of special-purpose addresses (RFC 6890 and its
 * updates) that are not globally reachable, and multicast.
 */
static const struct range special_nets[] = {
	GROUP_NET(0, 0, 0, 0, 8),      GROUP_NET(10, 0, 0, 0, 8),
	GROUP_NET(100, 64, 0, 0, 10),  GROUP_NET(127, 0, 0, 0, 8),
	GROUP_NET(169, 254, 0, 0, 16), GROUP_NET(172, 16, 0, 0, 12),
	GROUP_NET(192, 0, 0, 0, 24),   GROUP_NET(192, 0, 2, 0, 24),
	GROUP_NET(192, 88, 99, 0, 24), GROUP_NET(192, 168, 0, 0, 16),
	GROUP_NET(198, 18, 0, 0, 15),  GROUP_NET(198, 51, 100, 0, 24),
	GROUP_NET(203, 0, 113, 0, 24), GROUP_NET(224, 0, 0, 0, 4),
	GROUP_NET(240, 0, 0, 0, 4),
};

/* A group that needs no definition; public is what is outside of its list. */
struct builtin_group {
	const char *name;
	const struct range *list;
	size_t count;
	bool outside;
};

#define GROUP_COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

static const struct builtin_group builtin_groups[] = {
	{"any", any_nets, GROUP_COUNT_OF(any_nets), false},
	{"link_local", link_local_nets, GROUP_COUNT_OF(link_local_nets), false},
	{"loopback", loopback_nets, GROUP_COUNT_OF(loopback_nets), false},
	{"multicast", multicast_nets, GROUP_COUNT_OF(multicast_nets), false},
	{"private", private_nets, GROUP_COUNT_OF(private_nets), false},
	{"public", special_nets, GROUP_COUNT_OF(special_nets), true},
};

static const struct builtin_group *builtin_group_find(const char *name)
{
	size_t i;

	for (i = 0; i < GROUP_COUNT_OF(builtin_groups); i++)
		if (strcmp(builtin_groups[i].name, name) == 0)
			return &builtin_groups[i];
	return NULL;
}

static int builtin_group_add(const struct builtin_group *builtin, struct ranges *out)
{
	struct ranges inside = {0};
	int result = 0;
	size_t i;

	for (i = 0; i < builtin->count && !result; i++)
		result = ranges_add(builtin->outside ? &inside : out, builtin->list[i]);
	ranges_normalise(&inside);
	if (builtin->outside && !result)
		result = ranges_complement(out, &inside);
	ranges_free(&inside);
	return result;
}

static bool group_name_is_valid(const char *text)
{
	if (*text < 'a' || *text > 'z')
		return false;
	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(text);
}

static int group_resolve(const struct groups *groups, struct group *group, unsigned depth,
			 struct errors *errors);

static int group_add_named(const struct groups *groups, const struct pvcalls_value *value,
			   unsigned depth, struct ranges *out, struct errors *errors)
{
	const struct builtin_group *builtin = builtin_group_find(value->text);
	uint32_t i;

	if (builtin)
		return builtin_group_add(builtin, out);
	for (i = 0; i < groups->count; i++)
		if (strcmp(groups->list[i].name, value->text) == 0)
			break;
	if (i == groups->count)
		return errors_add(errors, value->at,
				  "unknown group \"%.64s\"; expected a name of groups: or any, "
				  "link_local, loopback, multicast, private, public",
				  value->text);
	if (groups->list[i].state == GROUP_READING)
		return errors_add(errors, value->at,
				  "group \"%.64s\" contains itself; expected no circle",
				  value->text);
	if (depth >= GROUP_NESTING_MAX)
		return errors_add(errors, value->at,
				  "groups nested too deep; expected at most %u levels",
				  GROUP_NESTING_MAX);
	if (groups->list[i].state == GROUP_UNREAD)
		group_resolve(groups, &groups->list[i], depth + 1, errors);
	if (out->count + groups->list[i].ranges.count > GROUP_RANGES_MAX)
		return errors_add(errors, value->at, "too many addresses; expected at most %u",
				  GROUP_RANGES_MAX);
	return ranges_add_all(out, &groups->list[i].ranges);
}

static int group_add_one(const struct groups *groups, const struct pvcalls_value *value,
			 unsigned depth, struct ranges *out, struct errors *errors)
{
	const char *problem;
	struct range range;

	if (value->kind != PVCALLS_VALUE_SCALAR)
		return errors_add(
			errors, value->at,
			"not an address; expected an address, a prefix or a group's name");
	if (strncmp(value->text, "host:", 5) == 0)
		return errors_add(
			errors, value->at,
			"host names (\"%.64s\") are not supported yet; expected addresses",
			value->text);
	if (group_name_is_valid(value->text))
		return group_add_named(groups, value, depth, out, errors);
	if (strchr(value->text, ':'))
		return errors_add(errors, value->at,
				  "\"%.64s\" looks like IPv6; expected IPv4 (a.b.c.d/bits)",
				  value->text);
	if (prefix_read(value->text, &range, &problem))
		return errors_add(errors, value->at, "\"%.64s\": %s", value->text, problem);
	if (out->count >= GROUP_RANGES_MAX)
		return errors_add(errors, value->at, "too many addresses; expected at most %u",
				  GROUP_RANGES_MAX);
	return ranges_add(out, range);
}

static int group_add_value(const struct groups *groups, const struct pvcalls_value *value,
			   unsigned depth, struct ranges *out, struct errors *errors)
{
	int result = 0;
	int problem;
	uint32_t i;

	if (value->kind == PVCALLS_VALUE_LIST && value->count == 0)
		return errors_add(errors, value->at, "an empty list; expected at least one entry");
	if (value->kind != PVCALLS_VALUE_LIST)
		result = group_add_one(groups, value, depth, out, errors);
	for (i = 0; value->kind == PVCALLS_VALUE_LIST && i < value->count; i++) {
		problem = group_add_one(groups, tree_item(value, i), depth, out, errors);
		if (problem)
			result = problem;
	}
	ranges_normalise(out);
	return result;
}

static int group_resolve(const struct groups *groups, struct group *group, unsigned depth,
			 struct errors *errors)
{
	int result;

	ASSERT(group->state == GROUP_UNREAD);
	group->state = GROUP_READING;
	result = group_add_value(groups, group->value, depth, &group->ranges, errors);
	group->state = GROUP_READ;
	return result;
}

static int group_begin(struct groups *groups, const struct tree_entry *entry, struct errors *errors)
{
	if (!group_name_is_valid(entry->key))
		return errors_add(errors, entry->at,
				  "\"%.64s\" is no name for a group; expected a-z, 0-9, _ and -, a "
				  "letter first",
				  entry->key);
	if (builtin_group_find(entry->key))
		return errors_add(errors, entry->at,
				  "group \"%s\" is built in; expected another name", entry->key);
	groups->list[groups->count].name = entry->key;
	groups->list[groups->count].value = entry->value;
	groups->list[groups->count].at = entry->at;
	groups->count++;
	return 0;
}

int groups_read(struct groups *groups, const struct pvcalls_value *map, struct errors *errors)
{
	uint32_t before = errors->count;
	uint32_t i;

	if (!map)
		return 0;
	if (map->kind != PVCALLS_VALUE_MAP)
		return errors_add(errors, map->at,
				  "groups is no map; expected \"name: [addresses]\"");
	groups->list = calloc(map->count + 1, sizeof(*groups->list));
	if (!groups->list)
		return -ENOMEM;
	for (i = 0; i < map->count; i++) {
		map->entries[i].asked = true;
		group_begin(groups, &map->entries[i], errors);
	}
	for (i = 0; i < groups->count; i++)
		if (groups->list[i].state == GROUP_UNREAD)
			group_resolve(groups, &groups->list[i], 0, errors);
	return errors->count == before ? 0 : -EINVAL;
}

void groups_free(struct groups *groups)
{
	uint32_t i;

	for (i = 0; i < groups->count; i++)
		ranges_free(&groups->list[i].ranges);
	free(groups->list);
	memset(groups, 0, sizeof(*groups));
}

int groups_read_nets(const struct groups *groups, const struct pvcalls_value *value,
		     struct ranges *out, struct errors *errors)
{
	return group_add_value(groups, value, 0, out, errors);
}
