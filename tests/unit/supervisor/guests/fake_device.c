/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct fake_device *fake_of(struct device *device)
{
	return (struct fake_device *)device;
}

static int fake_read(struct device *device, const char *key, char value[DEVICE_VALUE_MAX])
{
	const struct fake_device *fake = fake_of(device);

	for (size_t i = 0; i < 8; i++) {
		if (strcmp(fake->nodes[i].key, key) != 0)
			continue;
		memcpy(value, fake->nodes[i].value, DEVICE_VALUE_MAX);
		return 0;
	}
	return -ENOENT;
}

static int fake_write(struct device *device, const struct device_node *nodes, size_t count)
{
	struct fake_device *fake = fake_of(device);

	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(fake->written);
		bool state = strcmp(nodes[i].key, "state") == 0;

		if (state || i == 0)
			snprintf(fake->written + used, sizeof(fake->written) - used, "%.1s",
				 state ? nodes[i].value : "n");
	}
	return 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the transport's type */
static size_t fake_descriptors(struct device *device, int *fds)
{
	(void)device;
	(void)fds;
	return 0;
}

static void fake_drop(struct device *device, const char *why)
{
	struct fake_device *fake = fake_of(device);

	fake->dropped = true;
	snprintf(fake->why, sizeof(fake->why), "%s", why);
}

static const struct transport_host_ops fake_ops = {
	.read = fake_read,
	.write = fake_write,
	.descriptors = fake_descriptors,
	.drop = fake_drop,
};

void fake_device_init(struct fake_device *fake, const char *name)
{
	static uint32_t domid = 100;

	*fake = (struct fake_device){.host = {.ops = &fake_ops}};
	fake->device.host = &fake->host;
	fake->device.guest.size = sizeof(fake->device.guest);
	fake->device.guest.domid = domid++;
	snprintf(fake->device.guest.name, sizeof(fake->device.guest.name), "%s", name);
	fake->device.frontend = XENBUS_INITIALISING;
	fake->device.backend = XENBUS_INITIALISING;
	fake->device.online = true;
	fake_device_set(fake, "version", "1");
	fake_device_set(fake, "ring-ref", "8");
	fake_device_set(fake, "port", "9");
}

void fake_device_set(struct fake_device *fake, const char *key, const char *value)
{
	struct device_node *node = fake->nodes;

	while (node->key[0] && strcmp(node->key, key) != 0)
		node++;
	snprintf(node->key, sizeof(node->key), "%s", value[0] ? key : "gone");
	snprintf(node->value, sizeof(node->value), "%s", value);
}
