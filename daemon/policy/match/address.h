/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv4 addresses, prefixes and ports: as people write them, as numbers, and as a call has them. */
#ifndef POLICY_MATCH_ADDRESS_H
#define POLICY_MATCH_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#include "policy/match/ranges.h"

#define ADDRESS_FAMILY_INET 2u /* of an endpoint: AF_INET of Linux, whatever system this is */

/* The IPv4 address of an endpoint, in host order. */
uint32_t address_of_endpoint(const struct pvcalls_endpoint *endpoint);
/* Puts an address in host order into the 16 bytes that an endpoint has; those behind are 0. */
void address_write(uint32_t address, uint8_t bytes[16]);
/* Whether the endpoint is of the family that the protocol carries, its unused bytes 0. */
bool address_is_ipv4(const struct pvcalls_endpoint *endpoint);

/* Whether it lies in 127.0.0.0/8. */
static inline bool address_is_loopback(const struct pvcalls_endpoint *endpoint)
{
	return endpoint->addr[0] == 127;
}

/* Strictly "a.b.c.d" in decimal without leading zeros. Returns 0, or -EINVAL. */
int address_read(const char *text, uint32_t *address);
/* An address or "a.b.c.d/bits". 0, or -EINVAL with *problem in words (a constant). */
int prefix_read(const char *text, struct range *range, const char **problem);
/* "443" or "8000-8100". 0, or -EINVAL with *problem. */
int port_range_read(const char *text, struct range *range, const char **problem);

#endif
