/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for libxenstore and libxenctrl in a test program: a tree of nodes with watches and
 * transactions, domains, and a xenstored that can fail. The library's functions may be called in
 * another thread than those below.
 */
#ifndef TESTS_TRANSPORT_FAKE_STORE_H
#define TESTS_TRANSPORT_FAKE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_BASE "/local/domain/0/backend/pvcalls"

/* Starts anew: an empty tree, no domains, no faults. Connections of before are forgotten. */
void fake_store_reset(void);

/* Nodes, as somebody else changes them: watches fire. */
void fake_store_set(const char *path, const char *value);
void fake_store_set_bytes(const char *path, const void *bytes, size_t size);
void fake_store_remove(const char *path);
/* Whether this node has this value; NULL: whether it is there. */
bool fake_store_is(const char *path, const char *value);

/* Domains come and go; what the tree says of them is not touched. */
void fake_store_introduce(uint32_t domid);
void fake_store_release(uint32_t domid);
/* The hypervisor no longer has it, and xenstored doesn't know. */
void fake_store_kill(uint32_t domid);

/* Faults. */
void fake_store_lose(bool keep);          /* all connections end; keep: the tree stays */
void fake_store_come_back(void);          /* connections are taken again */
void fake_store_hang(void);               /* whoever asks from now on waits for ever */
void fake_store_conflict(unsigned times); /* so many transactions end with EAGAIN */
void fake_store_refuse_writes(int error); /* 0: none is refused any more */
void fake_store_socket(const char *path); /* where xenstored's socket is */
void fake_store_no_hypervisor(void);

/* What was seen. */
unsigned fake_store_reads(const char *path); /* of a node that is there */
unsigned fake_store_watches(const char *path);
unsigned fake_store_commits(void);  /* transactions that were done */
unsigned fake_store_attempts(void); /* and those that were tried */
unsigned fake_store_connections(void);

/*
 * What a toolstack writes for a device: both directories in state 1, online, and the domain's name
 * ("guest-DOMID") and vm ("/vm/" FAKE_UUID), as one transaction; then it introduces the domain if
 * it was not.
 */
#define FAKE_UUID "5e1a9b1c-7a0e-4f3e-9c3d-2a1f00c0ffee"
void fake_device_add(uint32_t domid, uint32_t devid);
void fake_device_remove(uint32_t domid, uint32_t devid);
/* Writes a node of the device's directory in the backend's or the frontend's domain. */
void fake_device_back(uint32_t domid, uint32_t devid, const char *key, const char *value);
void fake_device_front(uint32_t domid, uint32_t devid, const char *key, const char *value);
/* The path of such a node, in a buffer that the next call uses again. */
const char *fake_back_path(uint32_t domid, uint32_t devid, const char *key);
const char *fake_front_path(uint32_t domid, uint32_t devid, const char *key);

#endif
