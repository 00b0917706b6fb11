/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/guests/guest_device.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/decimal.h"

#define GUEST_NODE_NEEDED UINT64_MAX /* instead of a value for an absent node */

int guest_device_set_state(struct device *device, enum xenbus_state state)
{
	struct device_node node = {.key = "state"};
	int error;

	ASSERT(state < XENBUS_STATES);
	snprintf(node.value, sizeof(node.value), "%u", (unsigned int)state);
	error = device->host->ops->write(device, &node, 1);
	device->backend = state;
	return error;
}

int guest_device_publish(struct device *device)
{
	static const struct device_node nodes[] = {
		{"versions", GUEST_VERSIONS},
		{"max-page-order", GUEST_MAX_PAGE_ORDER},
		{"function-calls", GUEST_FUNCTION_CALLS},
		{"feature-names", GUEST_FEATURE_NAMES},
		{"feature-names-on-demand", GUEST_FEATURE_NAMES_ON_DEMAND},
		{"feature-cancel", GUEST_FEATURE_CANCEL},
		{"feature-reuse", GUEST_FEATURE_REUSE},
		{"feature-shutdown", GUEST_FEATURE_SHUTDOWN},
		{"feature-park", GUEST_FEATURE_PARK},
		{"state", "2"},
	};
	int error;

	_Static_assert(XENBUS_INIT_WAIT == 2, "the state among the nodes");
	_Static_assert(sizeof(nodes) / sizeof(nodes[0]) <= DEVICE_NODES_MAX, "one transaction");
	error = device->host->ops->write(device, nodes, sizeof(nodes) / sizeof(nodes[0]));
	if (!error)
		device->backend = XENBUS_INIT_WAIT;
	return error;
}

/* Reads a number of the frontend's; *value is absent if the node is. Returns 0 or -errno. */
static int guest_device_read_number(struct device *device, const char *key, uint64_t absent,
				    uint64_t *value)
{
	char text[DEVICE_VALUE_MAX];
	int error = device->host->ops->read(device, key, text);

	if (error == -ENOENT && absent != GUEST_NODE_NEEDED) {
		*value = absent;
		return 0;
	}
	return error ? error : decimal_read(text, UINT32_MAX, value);
}

/* Reads which extensions the frontend asks for. Returns NULL, or what is wrong. */
static const char *guest_device_read_features(struct device *device,
					      struct engine_attach_args *attach)
{
	const struct {
		const char *key;
		uint32_t *wanted;
		const char *wrong;
	} features[] = {
		{"feature-names", &attach->names, "its node feature-names is no number"},
		{"feature-names-on-demand", &attach->names_on_demand,
		 "its node feature-names-on-demand is no number"},
		{"feature-cancel", &attach->cancel, "its node feature-cancel is no number"},
		{"feature-reuse", &attach->reuse, "its node feature-reuse is no number"},
		{"feature-shutdown", &attach->half_close, "its node feature-shutdown is no number"},
		{"feature-park", &attach->park, "its node feature-park is no number"},
	};
	size_t i;

	for (i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		uint64_t value;

		if (guest_device_read_number(device, features[i].key, 0, &value))
			return features[i].wrong;
		*features[i].wanted = value == 1;
	}
	return NULL;
}

const char *guest_device_read_ring(struct device *device, struct engine_attach_args *attach)
{
	uint64_t ref;
	uint64_t port;
	uint64_t version;

	if (guest_device_read_number(device, "ring-ref", GUEST_NODE_NEEDED, &ref))
		return "its node ring-ref is missing or no number";
	if (guest_device_read_number(device, "port", GUEST_NODE_NEEDED, &port))
		return "its node port is missing or no number";
	if (guest_device_read_number(device, "version", 1, &version) || version != 1)
		return "its node version is not 1";
	*attach = (struct engine_attach_args){.ring_ref = (uint32_t)ref, .port = (uint32_t)port};
	return guest_device_read_features(device, attach);
}
