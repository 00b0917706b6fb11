/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a policy's text to one that serves a guest.
 *
 * Everything that can fail happens first; only then anything is taken over from the policy it
 * replaces. So a compilation that fails leaves that one as it was.
 */
#ifndef POLICY_COMPILE_H
#define POLICY_COMPILE_H

#include <pvcalls/plugin.h>

#include "base/fault.h"
#include "base/log.h"

struct errors;          /* all errors of a file: policy/yaml/errors.h */
struct host_view;       /* the host's addresses and ports: policy/host_view/host_view.h */
struct plugin_registry; /* loaded plugins: policy/plugin_host/plugin_registry.h */
struct policy;          /* policy/policy.h */
struct policy_source;   /* one file's text, name and digest: policy/yaml/source.h */

/*
 * Compiles source for one guest. previous (may be NULL) is the policy it will replace: counters,
 * buckets and meters are taken over by rule id. host, registry and log are borrowed and must
 * outlive it. Returns 0 and *policy, or -errno with every error of the file in *fault, one per
 * line, as "file:line:column: what is wrong, what was expected".
 */
int policy_compile(struct policy **policy, const struct policy_source *source,
		   const struct plugin_registry *registry, struct host_view *host,
		   const struct pvcalls_guest *guest, struct policy *previous,
		   const struct log *log, struct fault *fault);
/*
 * The same for people who want to see all errors, however many: adds them to *errors. host may be
 * NULL; then nothing is known of the host, and the host rules deny all connects and binds.
 */
int policy_compile_telling(struct policy **policy, const struct policy_source *source,
			   const struct plugin_registry *registry, struct host_view *host,
			   const struct pvcalls_guest *guest, struct policy *previous,
			   const struct log *log, struct errors *errors);
/* A policy that denies every call, for a guest that none matches. Returns 0 or -ENOMEM. */
int policy_deny_all(struct policy **policy, struct host_view *host,
		    const struct pvcalls_guest *guest, const struct log *log);

#endif
