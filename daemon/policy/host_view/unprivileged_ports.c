/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/host_view/unprivileged_ports.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"

#define UNPRIVILEGED_PORTS "/proc/sys/net/ipv4/ip_unprivileged_port_start"

uint32_t unprivileged_ports_first(void)
{
	autoclose int fd = open(UNPRIVILEGED_PORTS, O_RDONLY | O_CLOEXEC);
	char text[16] = "";
	uint64_t port;
	ssize_t got;

	got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (got > 0 && text[got - 1] == '\n')
		text[got - 1] = '\0';
	return got > 0 && decimal_read(text, UINT16_MAX + 1u, &port) == 0 ? (uint32_t)port
									  : IPPORT_RESERVED;
}
