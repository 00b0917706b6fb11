/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A compiled policy with its plugin instances, serving one guest: deciding calls, and hearing of
 * them. */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/meter.h"
#include "call/call.h"

struct policy;
struct policy_source;   /* one file's text, name and digest: policy/source.h */
struct plugin_registry; /* loaded plugins: policy/plugin.h */
struct host_view;       /* the host's addresses and ports: policy/host.h */
struct errors;          /* all errors of a file: policy/errors.h */

#define POLICY_DIGEST_BYTES 32

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
 * NULL; then nothing is known of the host, and the floor denies all connects and binds.
 */
int policy_compile_telling(struct policy **policy, const struct policy_source *source,
			   const struct plugin_registry *registry, struct host_view *host,
			   const struct pvcalls_guest *guest, struct policy *previous,
			   const struct log *log, struct errors *errors);
/* A policy that denies every call, for a guest that none matches. */
int policy_deny_all(struct policy **policy, struct host_view *host,
		    const struct pvcalls_guest *guest, const struct log *log);
void policy_free(struct policy *policy);

const char *policy_name(const struct policy *policy);
const uint8_t *policy_digest(const struct policy *policy); /* POLICY_DIGEST_BYTES */

/*
 * Floor, chain, and after a rewrite floor and checks again. Cannot fail: a plugin's fault is a
 * verdict. Fills *decision wholly. The view's effective endpoint is updated as plugins rewrite.
 */
void policy_decide(struct policy *policy, struct pvcalls_call *view, struct decision *decision);

/*
 * For a call that policy_decide() permitted, that has waited since (for a delay), and that is about
 * to be executed: the host may be another now. Refreshes what is known of it and lets the floor
 * judge anew the effective address of connect and bind, and the local one of listen; plugins are
 * not asked again. If it denies, or the host can't be read, *decision becomes that denial: decider
 * "floor", no delay, no meters, the effective address and rewritten as they were. Returns whether
 * it does; if not, *decision is as it was. The view is the one that was decided on: its local
 * address must be the socket's of now, its effective one is set from *decision.
 */
bool policy_judge_waited(struct policy *policy, struct pvcalls_call *view,
			 struct decision *decision);

/* The thread that decides sleeps now, or may: see policy/hooks.h. */
void policy_slept(struct policy *policy);

/* Tells every plugin what came of a call that policy_decide() saw. */
void policy_observe(struct policy *policy, const struct pvcalls_call *view,
		    const struct decision *decision, int32_t result);

/* The meter behind a handle of a decision, with a reference for the caller; NULL for 0. */
struct meter *policy_meter(struct policy *policy, uint32_t handle);

/* Writes "name value\n" lines of all plugins and counters into text; returns bytes written. */
size_t policy_metrics(struct policy *policy, char *text, size_t size);

#endif
