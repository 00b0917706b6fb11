/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pvcallsd.yaml; pvcallsd.yaml(5) documents it. */
#ifndef SUPERVISOR_SETTINGS_CONFIG_H
#define SUPERVISOR_SETTINGS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

#define CONFIG_FILE_MAX   65536u /* bytes */
#define CONFIG_UIDS_FIRST 2000000000u
#define CONFIG_UIDS_COUNT 512u
#define CONFIG_AUDIT_UID  (CONFIG_UIDS_FIRST + CONFIG_UIDS_COUNT)
#define CONFIG_SOCKETS    4096u

/* Users, by number. */
struct uid_list {
	uint32_t *uids;
	size_t count;
};

/* Who may be the guests whose names match a glob. */
struct guest_grant {
	char *glob;
	struct uid_list users;
};

struct config {
	bool sync;           /* durability: responses wait for the commit */
	uint32_t uids_first; /* one user id for each engine */
	uint32_t uids_count;
	bool low_ports;
	uint32_t sockets;    /* most of one guest */
	bool adapt_priority; /* of engines: see engine/scheduling/priority.h */
	bool read_local;     /* by engines: see engine/connections/local_name.h */
	uint32_t audit_uid;
	uint64_t segment_bytes; /* 0: as the writer chooses */
	uint32_t segment_age_s; /* 0: as the writer chooses */
	struct guest_grant *grants;
	size_t grant_count;
	struct uid_list readers; /* may ask the control socket for what is */
};

/* Reads text as pvcallsd.yaml into *config. Returns 0, or -errno with "path:line:column: ...". */
int config_parse(struct config *config, const char *path, const char *text, size_t size,
		 struct fault *fault);
/*
 * Reads the file at path; where it need not exist and does not, sets the defaults. Returns 0 or
 * -errno with *fault.
 */
int config_load(struct config *config, const char *path, bool must_exist, struct fault *fault);
void config_clear(struct config *config);

/*
 * Whether uid may be the guest of this (valid) name: root and the daemon's own user any, others
 * what a grant says. Returns false with *fault if not.
 */
bool config_permits_guest(const struct config *config, uint32_t uid, const char *name,
			  struct fault *fault);
bool uid_list_has(const struct uid_list *list, uint32_t uid);

#endif
