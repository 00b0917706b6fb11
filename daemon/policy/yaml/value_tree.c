/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/yaml/value_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/assert.h"
#include "policy/yaml/source.h"

/* What one reading needs; entries is a stack of the entries of all lists and maps still open. */
struct reader {
	yaml_parser_t parser;
	struct arena *arena;
	struct errors *errors;
	struct tree_entry *entries;
	size_t count;
	size_t capacity;
};

static struct position position_of_mark(yaml_mark_t mark)
{
	struct position at = {(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};

	return at;
}

/* The position of a byte: what libyaml does not tell of bytes that are not text. */
static struct position position_of_byte(const char *text, size_t size, size_t offset)
{
	struct position at = {1, 1};
	size_t i;

	for (i = 0; i < offset && i < size; i++) {
		at.column++;
		if (text[i] == '\n') {
			at.line++;
			at.column = 1;
		}
	}
	return at;
}

static int reader_out_of_memory(struct reader *reader)
{
	errors_add(reader->errors, POSITION_NONE, "out of memory");
	return -ENOMEM;
}

static void reader_tell_error(struct reader *reader, const char *text, size_t size)
{
	const yaml_parser_t *parser = &reader->parser;

	if (parser->error == YAML_READER_ERROR)
		errors_add(reader->errors, position_of_byte(text, size, parser->problem_offset),
			   "%s; expected UTF-8 text", parser->problem);
	else if (parser->error == YAML_MEMORY_ERROR)
		reader_out_of_memory(reader);
	else
		errors_add(reader->errors, position_of_mark(parser->problem_mark),
			   "%s%s%s; expected YAML", parser->context ? parser->context : "",
			   parser->context ? ": " : "",
			   parser->problem ? parser->problem : "not YAML");
}

static int reader_push(struct reader *reader, struct tree_entry entry)
{
	size_t capacity = reader->capacity ? reader->capacity * 2 : 64;
	struct tree_entry *grown;

	if (reader->count == reader->capacity) {
		grown = reallocarray(reader->entries, capacity, sizeof(*grown));
		if (!grown)
			return reader_out_of_memory(reader);
		reader->entries = grown;
		reader->capacity = capacity;
	}
	reader->entries[reader->count++] = entry;
	return 0;
}

/* Moves the entries pushed since base into value. */
static int reader_close_collection(struct reader *reader, struct pvcalls_value *value, size_t base)
{
	size_t count = reader->count - base;

	ASSERT(base <= reader->count);
	value->count = (uint32_t)count;
	reader->count = base;
	if (!count)
		return 0;
	value->entries = arena_alloc(reader->arena, count * sizeof(*value->entries));
	if (!value->entries)
		return reader_out_of_memory(reader);
	memcpy(value->entries, reader->entries + base, count * sizeof(*value->entries));
	return 0;
}

static void reader_refuse_extras(struct reader *reader, struct position at,
				 const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		errors_add(reader->errors, at, "an anchor (&%s); expected a plain value",
			   (const char *)anchor);
	if (tag)
		errors_add(reader->errors, at, "a tag (%.64s); expected a value without one",
			   (const char *)tag);
}

static int reader_next_event(struct reader *reader, yaml_event_t *event)
{
	return yaml_parser_parse(&reader->parser, event) ? 0 : -EINVAL;
}

static int reader_read_node(struct reader *reader, const yaml_event_t *event, unsigned depth,
			    struct pvcalls_value **out);

static int reader_read_scalar(struct reader *reader, const yaml_event_t *event,
			      struct pvcalls_value *value)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t length = event->data.scalar.length;

	value->kind = PVCALLS_VALUE_SCALAR;
	reader_refuse_extras(reader, value->at, event->data.scalar.anchor, event->data.scalar.tag);
	if (memchr(text, '\0', length))
		errors_add(reader->errors, value->at, "a NUL byte; expected text");
	value->text = arena_text(reader->arena, text, length);
	return value->text ? 0 : reader_out_of_memory(reader);
}

static int reader_read_list(struct reader *reader, const yaml_event_t *event, unsigned depth,
			    struct pvcalls_value *value)
{
	struct tree_entry entry = {0};
	size_t base = reader->count;
	yaml_event_t item;
	int result = 0;

	value->kind = PVCALLS_VALUE_LIST;
	reader_refuse_extras(reader, value->at, event->data.sequence_start.anchor,
			     event->data.sequence_start.tag);
	while (!result) {
		result = reader_next_event(reader, &item);
		if (result)
			break;
		if (item.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&item);
			return reader_close_collection(reader, value, base);
		}
		entry.at = position_of_mark(item.start_mark);
		result = reader_read_node(reader, &item, depth + 1, &entry.value);
		yaml_event_delete(&item);
		if (!result)
			result = reader_push(reader, entry);
	}
	return result;
}

static bool reader_has_key(const struct reader *reader, size_t base, const char *key)
{
	size_t i;

	for (i = base; i < reader->count; i++)
		if (strcmp(reader->entries[i].key, key) == 0)
			return true;
	return false;
}

/* Reads a key that has begun with event into entry. */
static int reader_read_key(struct reader *reader, const yaml_event_t *event, size_t base,
			   struct tree_entry *entry)
{
	struct pvcalls_value scalar = {.at = position_of_mark(event->start_mark)};
	int result;

	if (event->type != YAML_SCALAR_EVENT)
		return errors_add(reader->errors, scalar.at,
				  "a key that is no plain word; expected \"key: value\"");
	result = reader_read_scalar(reader, event, &scalar);
	if (result)
		return result;
	entry->key = scalar.text;
	entry->at = scalar.at;
	if (reader_has_key(reader, base, entry->key))
		errors_add(reader->errors, entry->at,
			   "duplicate key \"%.64s\"; expected each key once", entry->key);
	if (reader->count - base >= TREE_KEYS_MAX)
		return errors_add(reader->errors, entry->at,
				  "too many keys; expected at most %u in one map", TREE_KEYS_MAX);
	return 0;
}

static int reader_read_map(struct reader *reader, const yaml_event_t *event, unsigned depth,
			   struct pvcalls_value *value)
{
	struct tree_entry entry = {0};
	size_t base = reader->count;
	yaml_event_t item;
	int result = 0;

	value->kind = PVCALLS_VALUE_MAP;
	reader_refuse_extras(reader, value->at, event->data.mapping_start.anchor,
			     event->data.mapping_start.tag);
	while (!result) {
		result = reader_next_event(reader, &item);
		if (result)
			break;
		if (item.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&item);
			return reader_close_collection(reader, value, base);
		}
		result = reader_read_key(reader, &item, base, &entry);
		yaml_event_delete(&item);
		if (result || reader_next_event(reader, &item))
			return -EINVAL;
		result = reader_read_node(reader, &item, depth + 1, &entry.value);
		yaml_event_delete(&item);
		if (!result)
			result = reader_push(reader, entry);
	}
	return result;
}

/* Reads the node that begins with event; recurses to TREE_DEPTH_MAX. */
static int reader_read_node(struct reader *reader, const yaml_event_t *event, unsigned depth,
			    struct pvcalls_value **out)
{
	struct position at = position_of_mark(event->start_mark);
	struct pvcalls_value *value;

	if (depth > TREE_DEPTH_MAX)
		return errors_add(reader->errors, at, "nested too deep; expected at most %u levels",
				  TREE_DEPTH_MAX);
	value = arena_alloc(reader->arena, sizeof(*value));
	if (!value)
		return reader_out_of_memory(reader);
	value->at = at;
	*out = value;
	if (event->type == YAML_SCALAR_EVENT)
		return reader_read_scalar(reader, event, value);
	if (event->type == YAML_SEQUENCE_START_EVENT)
		return reader_read_list(reader, event, depth, value);
	if (event->type == YAML_MAPPING_START_EVENT)
		return reader_read_map(reader, event, depth, value);
	value->kind = PVCALLS_VALUE_SCALAR;
	value->text = "";
	if (event->type == YAML_ALIAS_EVENT) {
		errors_add(reader->errors, at, "an alias (*%.64s); expected the value itself",
			   (const char *)event->data.alias.anchor);
		return 0;
	}
	return errors_add(reader->errors, at, "not a value; expected a scalar, list or map");
}

/* The document between its start and the end of the stream. */
static int reader_read_document(struct reader *reader, const yaml_event_t *start,
				struct pvcalls_value **root)
{
	struct position top = {1, 1};
	yaml_event_t event;
	int result;

	if (start->type == YAML_STREAM_END_EVENT)
		return errors_add(reader->errors, top, "empty; expected \"version: 1\" first");
	if (start->data.document_start.tag_directives.start !=
	    start->data.document_start.tag_directives.end)
		errors_add(reader->errors, position_of_mark(start->start_mark),
			   "a %%TAG directive; expected none");
	if (reader_next_event(reader, &event))
		return -EINVAL;
	result = reader_read_node(reader, &event, 1, root);
	yaml_event_delete(&event);
	if (result)
		return result;
	if (reader_next_event(reader, &event)) /* the end of the document */
		return -EINVAL;
	yaml_event_delete(&event);
	if (reader_next_event(reader, &event))
		return -EINVAL;
	if (event.type != YAML_STREAM_END_EVENT)
		errors_add(reader->errors, position_of_mark(event.start_mark),
			   "a second document; expected one in a file");
	yaml_event_delete(&event);
	return 0;
}

static int reader_read_stream(struct reader *reader, struct pvcalls_value **root)
{
	yaml_event_t event;
	int result;

	if (reader_next_event(reader, &event)) /* the start of the stream */
		return -EINVAL;
	yaml_event_delete(&event);
	if (reader_next_event(reader, &event))
		return -EINVAL;
	result = reader_read_document(reader, &event, root);
	yaml_event_delete(&event);
	return result;
}

struct pvcalls_value *tree_read(struct arena *arena, const char *text, size_t size,
				struct errors *errors)
{
	static const unsigned char mark[] = {0xef, 0xbb, 0xbf}; /* the byte-order mark */
	struct reader reader = {.arena = arena, .errors = errors};
	struct position top = {1, 1};
	struct pvcalls_value *root = NULL;
	uint32_t before = errors->count;

	if (size > POLICY_FILE_MAX) {
		errors_add(errors, top, "larger than %u bytes; expected a smaller file",
			   POLICY_FILE_MAX);
		return NULL;
	}
	if (!yaml_parser_initialize(&reader.parser)) {
		reader_out_of_memory(&reader);
		return NULL;
	}
	/* Some editors begin with it. The parser would count it as a column of the first line. */
	if (size >= sizeof(mark) && memcmp(text, mark, sizeof(mark)) == 0) {
		text += sizeof(mark);
		size -= sizeof(mark);
	}
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
	reader_read_stream(&reader, &root);
	if (reader.parser.error != YAML_NO_ERROR)
		reader_tell_error(&reader, text, size);
	else if (errors->count == before && root && root->kind != PVCALLS_VALUE_MAP)
		errors_add(errors, root->at, "not a map; expected \"version: 1\" and further keys");
	yaml_parser_delete(&reader.parser);
	free(reader.entries);
	return errors->count == before ? root : NULL;
}

const struct pvcalls_value *tree_get(const struct pvcalls_value *map, const char *key)
{
	uint32_t i;

	if (!map || map->kind != PVCALLS_VALUE_MAP)
		return NULL;
	for (i = 0; i < map->count; i++)
		if (strcmp(map->entries[i].key, key) == 0) {
			map->entries[i].asked = true;
			return map->entries[i].value;
		}
	return NULL;
}

const struct pvcalls_value *tree_item(const struct pvcalls_value *value, uint32_t index)
{
	if (!value || index >= value->count)
		return NULL;
	return value->entries[index].value;
}

void tree_refuse_unknown(const struct pvcalls_value *value, const char *who,
			 const struct pvcalls_value *except, struct errors *errors)
{
	const struct tree_entry *entry;
	uint32_t i;

	if (value == except)
		return;
	for (i = 0; i < value->count; i++) {
		entry = &value->entries[i];
		if (entry->key && !entry->asked)
			errors_add(errors, entry->at,
				   "unknown key \"%.64s\"; expected one that %s knows", entry->key,
				   who);
		else
			tree_refuse_unknown(entry->value, who, except, errors);
	}
}
