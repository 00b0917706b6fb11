/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/match/address.h"

#include <errno.h>
#include <string.h>

#include "base/decimal.h"

uint32_t address_of_endpoint(const struct pvcalls_endpoint *endpoint)
{
	return (uint32_t)endpoint->addr[0] << 24 | (uint32_t)endpoint->addr[1] << 16 |
	       (uint32_t)endpoint->addr[2] << 8 | endpoint->addr[3];
}

void address_write(uint32_t address, uint8_t bytes[16])
{
	memset(bytes, 0, 16);
	bytes[0] = (uint8_t)(address >> 24);
	bytes[1] = (uint8_t)(address >> 16);
	bytes[2] = (uint8_t)(address >> 8);
	bytes[3] = (uint8_t)address;
}

bool address_is_ipv4(const struct pvcalls_endpoint *endpoint)
{
	static const uint8_t zeros[12];

	return endpoint->family == ADDRESS_FAMILY_INET &&
	       memcmp(endpoint->addr + 4, zeros, sizeof(zeros)) == 0;
}

/* Moves *text behind a number. Leading zeros are refused: to many programs they mean octal. */
static int address_read_number(const char **text, uint32_t max, uint32_t *out)
{
	const char *end;
	uint64_t number;
	int error = decimal_read_head(*text, &end, max, &number);

	if (error)
		return error;
	if (**text == '0' && end != *text + 1)
		return -EINVAL;
	*text = end;
	*out = (uint32_t)number;
	return 0;
}

static int address_read_quad(const char **text, uint32_t *address)
{
	uint32_t part;
	int i;

	*address = 0;
	for (i = 0; i < 4; i++) {
		if (i && *(*text)++ != '.')
			return -EINVAL;
		if (address_read_number(text, 255, &part))
			return -EINVAL;
		*address = *address << 8 | part;
	}
	return 0;
}

int address_read(const char *text, uint32_t *address)
{
	if (address_read_quad(&text, address) || *text)
		return -EINVAL;
	return 0;
}

int prefix_read(const char *text, struct range *range, const char **problem)
{
	uint32_t bits = 32;
	uint32_t host;

	*problem = "no IPv4 address; expected a.b.c.d or a.b.c.d/bits";
	if (address_read_quad(&text, &range->first))
		return -EINVAL;
	if (*text == '/') {
		text++;
		*problem = "bad prefix length; expected /0 to /32";
		if (address_read_number(&text, 32, &bits))
			return -EINVAL;
	}
	if (*text)
		return -EINVAL;
	host = bits ? (uint32_t)((1ull << (32 - bits)) - 1) : UINT32_MAX;
	*problem = "bits behind the prefix are set; expected them to be 0";
	if (range->first & host)
		return -EINVAL;
	range->last = range->first | host;
	return 0;
}

int port_range_read(const char *text, struct range *range, const char **problem)
{
	*problem = "no port; expected 0 to 65535, or a range like 8000-8100";
	if (address_read_number(&text, UINT16_MAX, &range->first))
		return -EINVAL;
	range->last = range->first;
	if (*text == '-') {
		text++;
		if (address_read_number(&text, UINT16_MAX, &range->last))
			return -EINVAL;
	}
	if (*text)
		return -EINVAL;
	*problem = "the range ends before it begins; expected first-last";
	return range->first <= range->last ? 0 : -EINVAL;
}
