/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A store as its owner sees it, on the fake xenstored: what the tests of devices and store share.
 */
#ifndef TESTS_TRANSPORT_STORE_WORLD_H
#define TESTS_TRANSPORT_STORE_WORLD_H

#include <stdbool.h>

#include "fake_store.h"
#include "transport/xen_store.h"

#define GUEST   7u /* the domain whose device 0 most tests are about */
#define SOON_MS 5000

/* cmocka's: a store on an empty tree; one with the guest's device there before it. */
int store_begin_empty(void **state);
int store_begin_with_guest(void **state);
int store_end(void **state);

/* Takes the next snapshot; false: none came for SOON_MS. */
bool store_take(struct xen_store *store, struct xen_snapshot *snapshot);
/* Whether nothing comes for so long. */
bool store_is_quiet(struct xen_store *store, int ms);
/* Writes one node of a device as the owner; the result is xen_store_write()'s. */
int store_write(struct xen_store *store, uint32_t domid, const char *key, const char *value);
void store_sleep(int ms);

/* Takes snapshots until condition holds; fails if none comes any more. */
#define TAKE_UNTIL(store, snapshot, condition)                  \
	do {                                                    \
		if (!store_take(store, snapshot))               \
			fail_msg("never came: %s", #condition); \
	} while (!(condition))

/* Waits until condition holds. */
#define EVENTUALLY(condition)                                                    \
	do {                                                                     \
		int left_ms_ = SOON_MS;                                          \
                                                                                 \
		while (!(condition)) {                                           \
			if (left_ms_-- == 0)                                     \
				fail_msg("did not become true: %s", #condition); \
			store_sleep(1);                                          \
		}                                                                \
	} while (0)

#endif
