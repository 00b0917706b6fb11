/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/policy_tests.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "policy/chain.h"
#include "policy/match/address.h"
#include "policy/policy_state.h"

#define TEST_WORD_BYTES 32
#define TEST_WORDS_MAX  4
#define TEST_APART_NS   3600000000000ull /* no rate gives less than one call in an hour */

/* Splits text at single blanks into at most TEST_WORDS_MAX words. Returns their number, or -EINVAL.
 */
static int policy_test_split(const char *text, char words[TEST_WORDS_MAX][TEST_WORD_BYTES])
{
	size_t length;
	int count = 0;

	while (*text) {
		length = strcspn(text, " ");
		if (!length || length >= TEST_WORD_BYTES || count == TEST_WORDS_MAX)
			return -EINVAL;
		memcpy(words[count], text, length);
		words[count++][length] = '\0';
		text += length;
		text += *text == ' ';
	}
	return count;
}

/* "192.0.2.1:443" */
static int policy_test_read_endpoint(char *word, struct pvcalls_endpoint *endpoint)
{
	char *colon = strchr(word, ':');
	const char *problem;
	struct range port;
	uint32_t address;

	if (!colon)
		return -EINVAL;
	*colon = '\0';
	if (address_read(word, &address) || strchr(colon + 1, '-') ||
	    port_range_read(colon + 1, &port, &problem))
		return -EINVAL;
	endpoint->family = ADDRESS_FAMILY_INET;
	endpoint->port = (uint16_t)port.first;
	address_write(address, endpoint->addr);
	return 0;
}

int policy_test_read_call(const char *text, struct pvcalls_call *call)
{
	char words[TEST_WORDS_MAX][TEST_WORD_BYTES];
	int count = policy_test_split(text, words);

	memset(call, 0, sizeof(*call));
	call->size = sizeof(*call);
	if (count < 1)
		return -EINVAL;
	for (call->op = 0; call->op < PVCALLS_OP_COUNT; call->op++)
		if (strcmp(call_operations[call->op].name, words[0]) == 0)
			break;
	switch (call->op) {
	case PVCALLS_OP_CONNECT:
	case PVCALLS_OP_BIND:
		return count == 2 ? policy_test_read_endpoint(words[1], &call->requested) : -EINVAL;
	case PVCALLS_OP_LISTEN:
		if (count == 1) /* without bind */
			return 0;
		return count == 2 ? policy_test_read_endpoint(words[1], &call->local) : -EINVAL;
	case PVCALLS_OP_ACCEPT:
		if (count == 4 && strcmp(words[2], "at") == 0 &&
		    policy_test_read_endpoint(words[3], &call->local) == 0)
			count = 2;
		return count == 2 ? policy_test_read_endpoint(words[1], &call->requested) : -EINVAL;
	case PVCALLS_OP_COUNT:
		return -EINVAL;
	default:
		return count == 1 ? 0 : -EINVAL;
	}
}

static int policy_test_read_expect(const char *text, struct policy_test *test)
{
	static const char *const words[] = {"allow", "deny", "would_deny"};
	static const uint32_t verdicts[] = {VERDICT_ALLOW, VERDICT_DENY, VERDICT_WOULD_DENY};
	size_t length = strcspn(text, " ");
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlen(words[i]) == length && strncmp(words[i], text, length) == 0)
			break;
	if (i == sizeof(words) / sizeof(words[0]))
		return -EINVAL;
	test->verdict = verdicts[i];
	text += length;
	text += *text == ' ';
	if (strlen(text) >= sizeof(test->who) || strchr(text, ' '))
		return -EINVAL;
	memcpy(test->who, text, strlen(text) + 1);
	return 0;
}

static int policy_test_read(const struct pvcalls_value *value, struct policy_test *test,
			    struct errors *errors)
{
	const struct pvcalls_value *call = tree_get(value, "call");
	const struct pvcalls_value *expect = tree_get(value, "expect");

	memset(test, 0, sizeof(*test));
	if (!call || !expect || call->kind != PVCALLS_VALUE_SCALAR ||
	    expect->kind != PVCALLS_VALUE_SCALAR)
		return errors_add(errors, value->at,
				  "not a test; expected {call: connect 192.0.2.1:443, expect: "
				  "allow RULE}");
	test->at = value->at;
	test->call_text = call->text;
	test->expect_text = expect->text;
	if (policy_test_read_call(call->text, &test->call))
		return errors_add(errors, call->at,
				  "\"%.64s\" is no call; expected e.g. connect 192.0.2.1:443 or "
				  "accept 10.0.0.5:4711 at 192.0.2.7:8080",
				  call->text);
	if (policy_test_read_expect(expect->text, test))
		return errors_add(errors, expect->at,
				  "\"%.64s\" can not be expected; expected allow, deny or "
				  "would_deny, and a rule's id",
				  expect->text);
	return 0;
}

int policy_tests_check(const struct pvcalls_value *tests, struct errors *errors)
{
	struct policy_test test;
	int result = 0;
	uint32_t i;

	if (!tests)
		return 0;
	if (tests->kind != PVCALLS_VALUE_LIST)
		return errors_add(errors, tests->at, "not a list; expected tests");
	for (i = 0; i < tests->count; i++)
		if (policy_test_read(tree_item(tests, i), &test, errors))
			result = -EINVAL;
	return result;
}

uint32_t policy_test_count(const struct policy *policy)
{
	return policy->tests ? policy->tests->count : 0;
}

/* The socket that a test's call was made on is released: it counts in no other test. */
static void policy_test_release(struct policy *policy, const struct pvcalls_call *tested)
{
	struct pvcalls_call release = *tested;
	struct decision decision;

	if (tested->op == PVCALLS_OP_RELEASE)
		return;
	release.op = PVCALLS_OP_RELEASE;
	release.requested = release.effective = (struct pvcalls_endpoint){0};
	policy_decide(policy, &release, &decision);
	policy_observe(policy, &release, &decision, 0);
}

bool policy_test_run(struct policy *policy, uint32_t index, struct policy_test *test,
		     struct decision *decision)
{
	struct errors none = {.path = ""};

	ASSERT(index < policy_test_count(policy));
	/* It was read without error before, or the policy would not serve. */
	policy_test_read(tree_item(policy->tests, index), test, &none);
	errors_free(&none);
	test->call.serial = index + 1;
	test->call.socket = index + 1;
	test->call.guest = &policy->shared.guest;
	test->call.wall_ns = clock_wall_ns();
	test->call.monotonic_ns = clock_monotonic_ns() + index * TEST_APART_NS;
	policy_decide(policy, &test->call, decision);
	policy_observe(policy, &test->call, decision, decision->error);
	policy_test_release(policy, &test->call);
	if (decision->verdict != test->verdict)
		return false;
	return !test->who[0] || strcmp(test->who, decision->rule) == 0 ||
	       strcmp(test->who, decision->decider) == 0;
}

static const char *policy_test_verdict_name(uint32_t verdict)
{
	switch (verdict) {
	case VERDICT_ALLOW:
		return "allow";
	case VERDICT_WOULD_DENY:
		return "would_deny";
	case VERDICT_FAULT:
		return "fault";
	default:
		return "deny";
	}
}

int policy_tests_run(struct policy *policy, struct errors *errors)
{
	char who[PVCALLS_NAME_MAX + PVCALLS_RULE_MAX];
	struct policy_test test;
	struct decision made;
	bool named;
	int result = 0;
	uint32_t i;

	for (i = 0; i < policy_test_count(policy); i++) {
		if (policy_test_run(policy, i, &test, &made))
			continue;
		named = made.rule[0] && strcmp(made.rule, made.decider) != 0;
		snprintf(who, sizeof(who), "%s%s%s", made.decider, named ? " " : "",
			 named ? made.rule : "");
		result = errors_add(errors, test.at,
				    "test \"%.64s\" failed: it came out as %s by %s%s%s; expected "
				    "%.96s",
				    test.call_text, policy_test_verdict_name(made.verdict), who,
				    made.reason[0] ? ": " : "", made.reason, test.expect_text);
	}
	return result;
}
