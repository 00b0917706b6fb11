/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What guests have used of their limits, from one engine to the next; no engine can take it back.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "policy/plugin_host/allowances.h"
#include "supervisor/guests/kept_allowances.h"

/* An engine with its memory. */
struct engine {
	struct allowances *memory;
	int fd;
};

static struct engine begin(struct kept_allowances *kept, const char *name)
{
	struct engine engine = {.fd = kept_allowances_lend(kept, name)};

	assert_int_equal(fcntl(engine.fd, F_GETFD), FD_CLOEXEC);
	assert_true(engine.fd >= 0);
	assert_int_equal(allowances_map(&engine.memory, engine.fd), 0);
	return engine;
}

static void end(struct kept_allowances *kept, const char *name, struct engine *engine)
{
	kept_allowances_take_back(kept, name, engine->fd);
	assert_int_equal(fcntl(engine->fd, F_GETFD), -1); /* nothing is left open */
	allowances_unmap(engine->memory);
}

static uint64_t key_of(const struct engine *engine, uint64_t number)
{
	return allowances_key(engine->memory, "ratelimit", "r", number);
}

static void put(const struct engine *engine, uint64_t number, uint64_t until_ns)
{
	allowances_put(engine->memory, key_of(engine, number), until_ns, clock_monotonic_ns());
}

static void expect(const struct engine *engine, uint64_t number, uint64_t until_ns)
{
	assert_int_equal(allowances_get(engine->memory, key_of(engine, number)), until_ns);
}

static void from_one_to_the_next(void **state)
{
	uint64_t later = clock_monotonic_ns() + 1000 * NS_PER_S;
	struct kept_allowances kept = {0};
	struct engine engine;

	(void)state;
	engine = begin(&kept, "a");
	put(&engine, 1, later);
	end(&kept, "a", &engine);
	engine = begin(&kept, "b");
	expect(&engine, 1, 0);
	end(&kept, "b", &engine);
	engine = begin(&kept, "a");
	expect(&engine, 1, later);
	put(&engine, 1, later + 7);
	put(&engine, 2, later);
	end(&kept, "a", &engine);
	engine = begin(&kept, "a");
	expect(&engine, 1, later + 7);
	expect(&engine, 2, later);
	end(&kept, "a", &engine);
	kept_allowances_free(&kept);
}

/* An engine that still sends what its guest left is heard when the next begins, and at its end. */
static void one_beside_the_next(void **state)
{
	uint64_t later = clock_monotonic_ns() + 1000 * NS_PER_S;
	struct kept_allowances kept = {0};
	struct engine next;
	struct engine engine;

	(void)state;
	engine = begin(&kept, "a");
	put(&engine, 1, later);
	next = begin(&kept, "a");
	expect(&next, 1, later);
	put(&engine, 2, later);
	put(&next, 3, later);
	end(&kept, "a", &next);
	end(&kept, "a", &engine);
	next = begin(&kept, "a");
	expect(&next, 1, later);
	expect(&next, 2, later);
	expect(&next, 3, later);
	end(&kept, "a", &next);
	kept_allowances_free(&kept);
}

/* An engine that its guest has captured gives nothing back, and pushes nothing out. */
static void nothing_is_given_back(void **state)
{
	uint64_t later = clock_monotonic_ns() + 1000 * NS_PER_S;
	struct kept_allowances kept = {0};
	struct engine engine;
	uint64_t i;

	(void)state;
	engine = begin(&kept, "a");
	for (i = 0; i < 100; i++)
		put(&engine, i, later + i);
	end(&kept, "a", &engine);
	engine = begin(&kept, "a");
	for (i = 0; i < 50; i++)
		put(&engine, i, 1);
	engine.memory->seed = 0;
	end(&kept, "a", &engine);
	engine = begin(&kept, "a");
	memset(engine.memory->list, 0, sizeof(engine.memory->list));
	end(&kept, "a", &engine);
	engine = begin(&kept, "a");
	for (i = 0; i < ALLOWANCES_MAX; i++)
		engine.memory->list[i] = (struct allowance){1 + i, UINT64_MAX};
	assert_true(ftruncate(engine.fd, 0) < 0);
	end(&kept, "a", &engine);
	engine = begin(&kept, "a");
	for (i = 0; i < 100; i++)
		expect(&engine, i, later + i);
	end(&kept, "a", &engine);
	kept_allowances_free(&kept);
}

/* Whatever an engine writes, other guests have what they had, and its own names no other key. */
static void nonsense_harms_its_guest_only(void **state)
{
	uint64_t later = clock_monotonic_ns() + 1000 * NS_PER_S;
	struct kept_allowances kept = {0};
	struct engine other;
	struct engine evil;
	unsigned int seed = 1;
	size_t i;
	int n;

	(void)state;
	other = begin(&kept, "other");
	put(&other, 1, later);
	end(&kept, "other", &other);
	for (n = 0; n < 20; n++) {
		evil = begin(&kept, "evil");
		for (i = 0; i < sizeof(*evil.memory); i++)
			((unsigned char *)evil.memory)[i] = (unsigned char)rand_r(&seed);
		end(&kept, "evil", &evil);
		assert_in_range(kept.count, 2, 1 + ALLOWANCES_MAX / 2);
	}
	evil = begin(&kept, "evil");
	other = begin(&kept, "other");
	expect(&other, 1, later);
	assert_int_not_equal(evil.memory->seed, other.memory->seed);
	expect(&evil, 1, 0);
	end(&kept, "other", &other);
	end(&kept, "evil", &evil);
	kept_allowances_free(&kept);
}

static void what_is_full_is_forgotten(void **state)
{
	uint64_t now = clock_monotonic_ns();
	struct kept_allowances kept = {0};
	struct engine engine;

	(void)state;
	engine = begin(&kept, "a");
	engine.memory->list[0] = (struct allowance){5, now - 1};
	engine.memory->list[1] = (struct allowance){6, now + 1000 * NS_PER_S};
	engine.memory->list[2] = (struct allowance){0, now + 1000 * NS_PER_S};
	engine.memory->list[3] = (struct allowance){6, now + 2000 * NS_PER_S}; /* twice */
	end(&kept, "a", &engine);
	assert_int_equal(kept.count, 1);
	engine = begin(&kept, "a");
	assert_int_equal(allowances_get(engine.memory, 6), now + 2000 * NS_PER_S);
	end(&kept, "a", &engine);
	kept_allowances_free(&kept);
	assert_int_equal(kept.count, 0);
}

/* However much guests leave behind, so much is kept and no more, and who left little keeps it. */
static void memory_is_bounded(void **state)
{
	uint64_t later = clock_monotonic_ns() + 1000 * NS_PER_S;
	struct kept_allowances kept = {0};
	struct engine engine;
	char name[32];
	uint64_t i;
	int n;

	(void)state;
	engine = begin(&kept, "little");
	put(&engine, 1, later);
	end(&kept, "little", &engine);
	for (n = 0; n < 100; n++) {
		snprintf(name, sizeof(name), "guest-%d", n);
		engine = begin(&kept, name);
		for (i = 0; i < ALLOWANCES_MAX; i++)
			engine.memory->list[i] = (struct allowance){1 + i, later};
		end(&kept, name, &engine);
		assert_in_range(kept.count, 1, KEPT_ALLOWANCES_MAX);
	}
	engine = begin(&kept, name);
	assert_int_equal(allowances_get(engine.memory, 1), later);
	end(&kept, name, &engine);
	engine = begin(&kept, "little");
	expect(&engine, 1, later);
	end(&kept, "little", &engine);
	engine = begin(&kept, "guest-0");
	assert_int_equal(allowances_get(engine.memory, 1), 0);
	end(&kept, "guest-0", &engine);
	kept_allowances_free(&kept);
}

/* Of too many names those that left last are known, and one that has an engine. */
static void names_are_bounded(void **state)
{
	uint64_t later = clock_monotonic_ns() + 1000 * NS_PER_S;
	struct kept_allowances kept = {0};
	struct engine engine;
	struct engine stays;
	char name[32];
	unsigned int n;

	(void)state;
	stays = begin(&kept, "stays");
	put(&stays, 1, later);
	for (n = 0; n < KEPT_NAMES_MAX + 3; n++) {
		snprintf(name, sizeof(name), "guest-%u", n);
		engine = begin(&kept, name);
		put(&engine, 1, later);
		end(&kept, name, &engine);
		assert_in_range(kept.names, 2, KEPT_NAMES_MAX + 1);
	}
	end(&kept, "stays", &stays);
	assert_int_equal(kept.names, KEPT_NAMES_MAX);
	engine = begin(&kept, name);
	expect(&engine, 1, later);
	end(&kept, name, &engine);
	engine = begin(&kept, "stays");
	expect(&engine, 1, later);
	end(&kept, "stays", &engine);
	engine = begin(&kept, "guest-0");
	expect(&engine, 1, 0);
	end(&kept, "guest-0", &engine);
	kept_allowances_free(&kept);
}

/* A guest of which nothing is to be known leaves nothing. */
static void nothing_is_kept_of_nothing(void **state)
{
	struct kept_allowances kept = {0};
	struct engine engine;

	(void)state;
	engine = begin(&kept, "a");
	put(&engine, 1, clock_monotonic_ns());
	end(&kept, "a", &engine);
	assert_null(kept.list);
	assert_int_equal(kept.names, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_one_to_the_next),
		cmocka_unit_test(one_beside_the_next),
		cmocka_unit_test(nothing_is_given_back),
		cmocka_unit_test(what_is_full_is_forgotten),
		cmocka_unit_test(nonsense_harms_its_guest_only),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(names_are_bounded),
		cmocka_unit_test(nothing_is_kept_of_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
