/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transports/transport_choice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "transports/local_transport.h"
#include "transports/why.h"
#include "transports/xen_transport.h"
#include "transports/xenbus.h"

#define MEMORY_DEFAULT (1ull << 30)
#define MEMORY_MIN     (1ull << 22)
#define ROOT_MAX       64

bool transport_choice_is_xen(const char *root)
{
	char path[ROOT_MAX + 32];
	char type[8] = "";
	ssize_t size;
	int fd;

	snprintf(path, sizeof(path), "%.*s/sys/hypervisor/type", ROOT_MAX, root);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	size = read(fd, type, sizeof(type) - 1);
	close(fd);
	if (size <= 0 || strcmp(type, "xen\n") != 0)
		return false;
	snprintf(path, sizeof(path), "%.*s/dev/xen/xenbus", ROOT_MAX, root);
	return access(path, R_OK | W_OK) == 0;
}

static bool transport_choice_have_device(void)
{
	return transport_choice_is_xen("") && xenbus_has_device();
}

enum pvcalls_front_transport transport_choice_kind(const struct pvcalls_front_options *options,
						   bool (*has_device)(void))
{
	if (options->transport != PVCALLS_FRONT_AUTO)
		return options->transport;
	if (options->runtime_dir || !has_device())
		return PVCALLS_FRONT_LOCAL;
	return PVCALLS_FRONT_XEN;
}

int transport_choice_open(const struct pvcalls_front_options *options,
			  enum pvcalls_front_transport *kind, struct front_transport **transport,
			  char *why)
{
	const char *directory =
		options->runtime_dir ? options->runtime_dir : PVCALLS_FRONT_RUNTIME_DIR;
	uint64_t memory = options->memory ? options->memory : MEMORY_DEFAULT;

	if (memory < MEMORY_MIN)
		memory = MEMORY_MIN;
	*kind = transport_choice_kind(options, transport_choice_have_device);
	if (*kind == PVCALLS_FRONT_XEN)
		return xen_transport_open(transport, memory, options->timeout_ms, why);
	if (*kind == PVCALLS_FRONT_LOCAL && options->name)
		return local_transport_open(transport, directory, options->name, memory,
					    options->timeout_ms, why);
	return why_set(why, EINVAL, "pvcalls_front_open() needs a name and a known transport");
}
