/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transports/node_text.h"

#include <errno.h>
#include <string.h>

#include "base/decimal.h"

bool node_text_next(const char **lines, char key[NODE_KEY_MAX], char value[FRONT_VALUE_MAX])
{
	const char *line = *lines;
	size_t whole = strcspn(line, "\n");
	size_t name = strcspn(line, "=\n");

	if (name == 0 || name >= NODE_KEY_MAX || name >= whole)
		return false;
	if (whole - name - 1 >= FRONT_VALUE_MAX)
		return false;
	memcpy(key, line, name);
	key[name] = '\0';
	memcpy(value, line + name + 1, whole - name - 1);
	value[whole - name - 1] = '\0';
	*lines = line + whole + (line[whole] == '\n');
	return true;
}

int node_text_number(const char *text, uint32_t max, uint32_t *number)
{
	uint64_t value;

	if (decimal_read(text, max, &value))
		return -EINVAL;
	*number = (uint32_t)value;
	return 0;
}

enum front_state node_text_state(const char *text)
{
	uint32_t number;

	if (node_text_number(text, FRONT_CLOSED, &number))
		return FRONT_UNKNOWN;
	return (enum front_state)number;
}
