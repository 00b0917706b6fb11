/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `tests` of a policy: calls, and what is expected of them. */
#ifndef POLICY_POLICY_TESTS_H
#define POLICY_POLICY_TESTS_H

#include "call/call.h"
#include "policy/yaml/errors.h"
#include "policy/yaml/value_tree.h"

/* One entry of `tests`. */
struct policy_test {
	struct position at;
	const char *call_text; /* the policy's, as written */
	const char *expect_text;
	struct pvcalls_call call;
	uint32_t verdict;           /* VERDICT_ALLOW, VERDICT_DENY or VERDICT_WOULD_DENY */
	char who[PVCALLS_NAME_MAX]; /* expected rule or decider; empty: any */
};

struct policy; /* policy/policy.h */

/* Adds an error for each entry that is not one. tests may be NULL. Returns 0 or -EINVAL. */
int policy_tests_check(const struct pvcalls_value *tests, struct errors *errors);

/* How many tests the policy has. */
uint32_t policy_test_count(const struct policy *policy);
/*
 * Runs one test (index below the count) of a policy that serves no guest. Tests don't meet in
 * limits: each is made an hour after the one before by the call's clock, on a socket of its own.
 * Fills *test and *decision; returns whether the decision is the expected one.
 */
bool policy_test_run(struct policy *policy, uint32_t index, struct policy_test *test,
		     struct decision *decision);

/* Runs all, and adds an error for each that fails. Returns 0 or -EINVAL. */
int policy_tests_run(struct policy *policy, struct errors *errors);

/*
 * Reads "connect 192.0.2.1:443", "listen 192.0.2.7:8080", "accept 10.0.0.5:4711 at 192.0.2.7:8080"
 * or "socket". Returns 0, or -EINVAL.
 */
int policy_test_read_call(const char *text, struct pvcalls_call *call);

#endif
