/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policies in force, and trying out new ones beside them. */
#ifndef SUPERVISOR_POLICIES_POLICIES_H
#define SUPERVISOR_POLICIES_POLICIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/loop.h"
#include "policy/yaml/source_list.h"

#define POLICIES_CHECK_NS        (10 * NS_PER_S)
#define POLICIES_DIRECTORIES_MAX 16u
#define POLICIES_CHANGES_MAX     352u /* bytes, with the NUL: an event has room for more */

struct job;

struct policy_name {
	char text[PVCALLS_NAME_MAX];
};

/* Filled by the owner, zero from "set" on. Strings are borrowed. */
struct policies {
	struct loop *loop;
	const char *const *directories;
	size_t directory_count;
	bool directories_given; /* a missing one is an error */
	const char *plugin_dir;
	uint32_t check_uid;                 /* what checks run as; UINT32_MAX: stay */
	bool low_ports;                     /* engines may bind to ports below 1024 */
	struct source_list set;             /* in force */
	struct policy_name *names;          /* of the policies of set; NULL: there was no memory */
	char changes[POLICIES_CHANGES_MAX]; /* what the last load changed, in words */
	uint64_t loaded_wall_ns;
	bool stale; /* the last reload was refused */
	struct fault stale_fault;
	/* while a check runs */
	struct job *job;
	struct source_list candidate;
	void (*checked)(void *owner, int error, const struct fault *fault);
	void *owner;
};

/*
 * Reads the directories and checks every file in a child. checked() follows, from the loop: with 0
 * the new ones are in force, and *fault has their warnings; with -EINVAL and all errors nothing has
 * changed. Returns 0, -EBUSY (a check runs already), or -errno with *fault.
 */
int policies_load(struct policies *policies,
		  void (*checked)(void *owner, int error, const struct fault *fault), void *owner,
		  struct fault *fault);
/* The name of a policy in force, by its place in set. */
const char *policies_name(const struct policies *policies, size_t index);
/* Frees the policies and cancels a check; checked() is not called any more. */
void policies_free(struct policies *policies);

#endif
