/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/glob.h"

struct pair {
	const char *pattern;
	const char *text;
};

static void test_what_fits(void **state)
{
	static const struct pair pairs[] = {
		{"", ""},
		{"*", ""},
		{"**", "any"},
		{"web-*", "web-"},
		{"web-*", "web-12"},
		{"web-??", "web-12"},
		{"*a*b*c", "xxaxxbxxbc"},
		{"[abc]", "b"},
		{"[a-c0-9]", "7"},
		{"[a-c0-9]*", "c-and-more"},
		{"[!a-c]", "d"},
		{"[^a-c]", "d"},
		{"[]a]", "]"},
		{"[!]a]", "b"},
		{"[-a]", "-"},
		{"[a-]", "-"},
		{"[\\]a]", "]"},
		{"[\\[]", "["},
		{"[a\\-c]", "-"},
		{"[\\a-\\c]", "b"},
		{"[!\x01-\x7f]*", "\xc3\xa4"},
		{"\\*", "*"},
		{"a\\?b", "a?b"},
		{"\\\\", "\\"},
		{"*[0-9]", "a1b2"},
		{"]", "]"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		assert_true(glob_is_valid(pairs[i].pattern));
		if (!glob_matches(pairs[i].pattern, pairs[i].text))
			fail_msg("'%s' does not fit '%s'", pairs[i].text, pairs[i].pattern);
	}
}

static void test_what_does_not_fit(void **state)
{
	static const struct pair pairs[] = {
		{"", "a"},
		{"a", ""},
		{"a", "A"},
		{"?", ""},
		{"web-??", "web-1"},
		{"web", "web1"},
		{"*a*b*c", "xxaxxbxxb"},
		{"[abc]", "d"},
		{"[a-c]", "d"},
		{"[!a-c]", "b"},
		{"[!a-c]", ""},
		{"[a\\-c]", "b"},
		{"\\*", "x"},
		{"\\?", "x"},
		{"*[0-9]", "a1b"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		assert_true(glob_is_valid(pairs[i].pattern));
		if (glob_matches(pairs[i].pattern, pairs[i].text))
			fail_msg("'%s' fits '%s'", pairs[i].text, pairs[i].pattern);
	}
}

/* What is no pattern fits nothing, the text that it is least of all. */
static void test_what_is_no_pattern(void **state)
{
	static const char *const patterns[] = {
		"[",      "[]",   "[!]", "[a",   "a[b",  "*[",    "[a-",
		"[b-a]",  "\\",   "a\\", "[\\",  "[a\\", "[a-\\", "[[:alpha:]]",
		"[a-[]]", "[a-c", "x[!", "[\\]", "*\\",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		if (glob_is_valid(patterns[i]))
			fail_msg("'%s' is taken for a pattern", patterns[i]);
		assert_false(glob_matches(patterns[i], patterns[i]));
		assert_false(glob_matches(patterns[i], ""));
	}
}

/* With each "*" trying all lengths anew this would take longer than the world lasts. */
static void test_hostile_pattern_ends_soon(void **state)
{
	uint64_t start_ns = clock_monotonic_ns();
	char pattern[2 * 64 + 2];
	char text[1025];

	(void)state;
	for (size_t i = 0; i < 64; i++) {
		pattern[2 * i] = '*';
		pattern[2 * i + 1] = 'a';
	}
	memcpy(pattern + 2 * 64, "b", 2);
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_false(glob_matches(pattern, text));
	assert_true(clock_monotonic_ns() - start_ns < 5 * NS_PER_S);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_fits),
		cmocka_unit_test(test_what_does_not_fit),
		cmocka_unit_test(test_what_is_no_pattern),
		cmocka_unit_test(test_hostile_pattern_ends_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
