/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/policy_header.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/decimal.h"
#include "base/glob.h"

#define DOMID_MAX 32752u /* DOMID_FIRST_RESERVED - 1, and some */

static int header_read_version(const struct pvcalls_value *root, struct errors *errors)
{
	const struct pvcalls_value *version = tree_get(root, "version");

	if (!version)
		return errors_add(errors, root->at, "version is missing; expected \"version: 1\"");
	if (version->kind != PVCALLS_VALUE_SCALAR || strcmp(version->text, "1") != 0)
		return errors_add(errors, version->at, "unknown version; expected 1");
	return 0;
}

static int header_read_name(struct policy_header *header, const struct pvcalls_value *root,
			    struct errors *errors)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	const struct pvcalls_value *name = tree_get(root, "name");

	if (!name)
		return errors_add(errors, root->at,
				  "name is missing; expected a name for the policy");
	if (name->kind != PVCALLS_VALUE_SCALAR || !*name->text ||
	    strlen(name->text) >= PVCALLS_NAME_MAX ||
	    strspn(name->text, letters) != strlen(name->text))
		return errors_add(errors, name->at,
				  "not a name; expected 1 to 63 letters, digits, \"_\", \".\" and "
				  "\"-\"");
	header->name = name->text;
	return 0;
}

static int header_check_glob(const struct pvcalls_value *value, struct errors *errors)
{
	if (value->kind == PVCALLS_VALUE_SCALAR && *value->text && glob_is_valid(value->text))
		return 0;
	return errors_add(errors, value->at,
			  "not a pattern; expected text in which \"*\" and \"?\" stand for "
			  "anything and \"[...]\" for one of a set");
}

static int header_parse_domid(const struct pvcalls_value *value, uint32_t *domid)
{
	uint64_t number;

	if (value->kind != PVCALLS_VALUE_SCALAR || decimal_read(value->text, DOMID_MAX, &number))
		return -EINVAL;
	*domid = (uint32_t)number;
	return 0;
}

static int header_check_domid(const struct pvcalls_value *value, struct errors *errors)
{
	uint32_t domid;

	if (header_parse_domid(value, &domid))
		return errors_add(errors, value->at, "not a domid; expected a number from 0 to %u",
				  DOMID_MAX);
	return 0;
}

/* Runs check on a value, or on each of a list of them. */
static int header_check_each(const struct pvcalls_value *value,
			     int (*check)(const struct pvcalls_value *, struct errors *),
			     struct errors *errors)
{
	int result = 0;
	uint32_t i;

	if (value->kind != PVCALLS_VALUE_LIST)
		return check(value, errors);
	if (!value->count)
		return errors_add(errors, value->at, "an empty list; expected at least one entry");
	for (i = 0; i < value->count; i++)
		if (check(tree_item(value, i), errors))
			result = -EINVAL;
	return result;
}

static int header_read_match(struct policy_header *header, const struct pvcalls_value *root,
			     struct errors *errors)
{
	const struct pvcalls_value *match = tree_get(root, "match");
	const struct pvcalls_value *name = tree_get(match, "name");
	const struct pvcalls_value *uuid = tree_get(match, "uuid");
	const struct pvcalls_value *domid = tree_get(match, "domid");
	int result = 0;

	if (!match)
		return errors_add(errors, root->at,
				  "match is missing; expected match: {name: pattern} (\"*\": all)");
	if (match->kind != PVCALLS_VALUE_MAP || (!name && !uuid && !domid))
		return errors_add(errors, match->at,
				  "matches nothing; expected a map with name, uuid or domid");
	if (name && header_check_each(name, header_check_glob, errors))
		result = -EINVAL;
	if (uuid && header_check_each(uuid, header_check_glob, errors))
		result = -EINVAL;
	if (domid && header_check_each(domid, header_check_domid, errors))
		result = -EINVAL;
	header->match = match;
	return result;
}

/* A key with one of two words; *second whether it is the second. Absent: the first. */
static int header_read_word(const struct pvcalls_value *root, const char *key,
			    const char *first_word, const char *second_word, bool *second,
			    struct errors *errors)
{
	const struct pvcalls_value *value = tree_get(root, key);

	*second = false;
	if (!value)
		return 0;
	if (value->kind == PVCALLS_VALUE_SCALAR) {
		*second = strcmp(value->text, second_word) == 0;
		if (*second || strcmp(value->text, first_word) == 0)
			return 0;
	}
	return errors_add(errors, value->at, "wrong %s; expected %s or %s", key, first_word,
			  second_word);
}

static int header_read_on_revoke(const struct pvcalls_value *root, struct errors *errors)
{
	const struct pvcalls_value *value = tree_get(root, "on_revoke");
	const char *text = value && value->kind == PVCALLS_VALUE_SCALAR ? value->text : "";

	if (!value || strcmp(text, "keep") == 0)
		return 0;
	if (strcmp(text, "drain") == 0 || strcmp(text, "reset") == 0)
		return errors_add(errors, value->at,
				  "on_revoke: %s is not supported yet; expected keep", text);
	return errors_add(errors, value->at, "wrong on_revoke; expected keep");
}

int policy_header_read(struct policy_header *header, const struct pvcalls_value *root,
		       struct errors *errors)
{
	int result = 0;

	memset(header, 0, sizeof(*header));
	result |= header_read_version(root, errors);
	result |= header_read_name(header, root, errors);
	result |= header_read_match(header, root, errors);
	result |= header_read_word(root, "mode", "enforce", "audit", &header->audit, errors);
	result |=
		header_read_word(root, "default", "deny", "allow", &header->default_allows, errors);
	result |= header_read_on_revoke(root, errors);
	return result ? -EINVAL : 0;
}

static bool header_glob_fits(const struct pvcalls_value *value, const struct pvcalls_guest *guest,
			     bool by_uuid)
{
	return glob_matches(value->text, by_uuid ? guest->uuid : guest->name);
}

static bool header_domid_fits(const struct pvcalls_value *value, const struct pvcalls_guest *guest,
			      bool unused)
{
	uint32_t domid;

	(void)unused;
	return header_parse_domid(value, &domid) == 0 && domid == guest->domid;
}

/* An absent key fits every guest. */
static bool header_any_fits(const struct pvcalls_value *value, const struct pvcalls_guest *guest,
			    bool (*fits)(const struct pvcalls_value *, const struct pvcalls_guest *,
					 bool),
			    bool by_uuid)
{
	uint32_t i;

	if (!value)
		return true;
	if (value->kind == PVCALLS_VALUE_SCALAR)
		return fits(value, guest, by_uuid);
	for (i = 0; i < value->count; i++)
		if (fits(tree_item(value, i), guest, by_uuid))
			return true;
	return false;
}

bool policy_header_matches(const struct policy_header *header, const struct pvcalls_guest *guest)
{
	ASSERT(header->match);
	return header_any_fits(tree_get(header->match, "name"), guest, header_glob_fits, false) &&
	       header_any_fits(tree_get(header->match, "uuid"), guest, header_glob_fits, true) &&
	       header_any_fits(tree_get(header->match, "domid"), guest, header_domid_fits, false);
}

/* Whether one of a key's patterns covers this one; numbers are patterns without a wildcard. */
static bool header_any_covers(const struct pvcalls_value *wide, const char *narrow)
{
	uint32_t i;

	if (wide->kind == PVCALLS_VALUE_SCALAR)
		return glob_covers(wide->text, narrow);
	for (i = 0; i < wide->count; i++)
		if (glob_covers(tree_item(wide, i)->text, narrow))
			return true;
	return false;
}

static bool header_key_covers(const struct policy_header *wide, const struct policy_header *narrow,
			      const char *key)
{
	const struct pvcalls_value *theirs = tree_get(narrow->match, key);
	const struct pvcalls_value *ours = tree_get(wide->match, key);
	uint32_t i;

	if (!ours || header_any_covers(ours, "*"))
		return true;
	if (!theirs)
		return false;
	if (theirs->kind == PVCALLS_VALUE_SCALAR)
		return header_any_covers(ours, theirs->text);
	for (i = 0; i < theirs->count; i++)
		if (!header_any_covers(ours, tree_item(theirs, i)->text))
			return false;
	return true;
}

bool policy_header_covers(const struct policy_header *wide, const struct policy_header *narrow)
{
	ASSERT(wide->match && narrow->match);
	return header_key_covers(wide, narrow, "name") && header_key_covers(wide, narrow, "uuid") &&
	       header_key_covers(wide, narrow, "domid");
}
