/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/guests/kept_allowances.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "policy/plugin_host/allowances.h"

#define KEPT_OF_ONE_MAX (ALLOWANCES_MAX / 2) /* they fit their sets, but for very few */

/* A memory that an engine has. */
struct kept_loan {
	struct kept_loan *next;
	int fd;
};

/* One name. */
struct kept_guest {
	struct kept_guest *next;
	uint64_t seed;    /* of keys: the same for all of its engines */
	uint64_t left_ns; /* CLOCK_MONOTONIC: the end of its last engine */
	struct kept_loan *loans;
	uint32_t count;
	struct allowance *list; /* count of them, sorted by key */
	char name[];
};

static struct kept_guest *kept_guest_find(const struct kept_allowances *kept, const char *name)
{
	struct kept_guest *guest;

	for (guest = kept->list; guest; guest = guest->next)
		if (strcmp(guest->name, name) == 0)
			return guest;
	return NULL;
}

static struct kept_guest *kept_guest_new(struct kept_allowances *kept, const char *name)
{
	struct kept_guest *guest = calloc(1, sizeof(*guest) + strlen(name) + 1);

	if (!guest)
		return NULL;
	memcpy(guest->name, name, strlen(name) + 1);
	if (getrandom(&guest->seed, sizeof(guest->seed), 0) != (ssize_t)sizeof(guest->seed)) {
		free(guest);
		return NULL;
	}
	guest->next = kept->list;
	kept->list = guest;
	kept->names++;
	return guest;
}

static void kept_guest_set_list(struct kept_allowances *kept, struct kept_guest *guest,
				struct allowance *list, uint32_t count)
{
	ASSERT(kept->count >= guest->count);
	kept->count += count - guest->count;
	free(guest->list);
	guest->list = list;
	guest->count = count;
}

static void kept_guest_remove(struct kept_allowances *kept, struct kept_guest *guest)
{
	struct kept_guest **link = &kept->list;

	ASSERT(!guest->loans && kept->names);
	while (*link != guest)
		link = &(*link)->next;
	*link = guest->next;
	kept->names--;
	kept_guest_set_list(kept, guest, NULL, 0);
	free(guest);
}

static int allowance_compare(const void *a, const void *b)
{
	const struct allowance *one = a;
	const struct allowance *other = b;

	if (one->key != other->key)
		return one->key < other->key ? -1 : 1;
	/* Of two the later comes first. */
	return one->until_ns > other->until_ns ? -1 : one->until_ns < other->until_ns;
}

/* What a memory says that is not full, sorted by key. Returns their number. */
static uint32_t allowances_sort(struct allowances *memory, uint64_t now_ns)
{
	struct allowance *list = memory->list;
	uint32_t count = 0;
	uint32_t i;

	for (i = 0; i < ALLOWANCES_MAX; i++)
		if (list[i].key && list[i].until_ns > now_ns)
			list[count++] = list[i];
	if (count)
		qsort(list, count, sizeof(*list), allowance_compare);
	return count;
}

/*
 * Merges two sorted lists into one that has room for both. What was known stays, and of what both
 * say the later counts: an engine can't give back what was taken before it came, nor push it out.
 */
static uint32_t allowances_merge(const struct kept_guest *known, const struct allowances *said,
				 uint32_t said_count, struct allowance *into)
{
	uint32_t room = KEPT_OF_ONE_MAX > known->count ? KEPT_OF_ONE_MAX - known->count : 0;
	uint32_t count = 0;
	uint32_t at = 0;
	uint32_t i;

	for (i = 0; i < said_count; i++) {
		while (at < known->count && known->list[at].key < said->list[i].key)
			into[count++] = known->list[at++];
		if (count && into[count - 1].key == said->list[i].key)
			continue; /* said twice */
		if (at < known->count && known->list[at].key == said->list[i].key) {
			into[count] = known->list[at++];
			if (into[count].until_ns < said->list[i].until_ns)
				into[count].until_ns = said->list[i].until_ns;
			count++;
		} else if (room) {
			into[count++] = said->list[i];
			room--;
		}
	}
	while (at < known->count)
		into[count++] = known->list[at++];
	return count;
}

/* Adds what stands in a memory. */
static void kept_guest_add(struct kept_allowances *kept, struct kept_guest *guest, int fd)
{
	struct allowances *said = malloc(sizeof(*said));
	struct allowance *list = NULL;
	uint32_t count = 0;

	/* A copy: the engine may still write. Its size is sealed, so all of it is there. */
	if (said && pread(fd, said, sizeof(*said), 0) == (ssize_t)sizeof(*said))
		count = allowances_sort(said, clock_monotonic_ns());
	if (count)
		list = calloc((size_t)count + guest->count, sizeof(*list));
	if (list)
		kept_guest_set_list(kept, guest, list, allowances_merge(guest, said, count, list));
	free(said);
}

/* Forgets what is full. */
static void kept_guest_forget(struct kept_allowances *kept, struct kept_guest *guest,
			      uint64_t now_ns)
{
	uint32_t left = 0;
	uint32_t i;

	for (i = 0; i < guest->count; i++)
		if (guest->list[i].until_ns > now_ns)
			guest->list[left++] = guest->list[i];
	kept->count -= guest->count - left;
	guest->count = left;
}

/* Forgets what is full by now, and the names of which nothing is left. */
static void kept_allowances_forget(struct kept_allowances *kept)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct kept_guest *guest;
	struct kept_guest *next;

	for (guest = kept->list; guest; guest = next) {
		next = guest->next;
		kept_guest_forget(kept, guest, now_ns);
		if (!guest->loans && !guest->count)
			kept_guest_remove(kept, guest);
	}
}

/* Whether of two names without an engine the first is to be forgotten rather than the other. */
static bool kept_guest_goes_first(const struct kept_guest *one, const struct kept_guest *other,
				  bool by_size)
{
	if (by_size && one->count != other->count)
		return one->count > other->count;
	return one->left_ns < other->left_ns;
}

/* Who is to be forgotten next, of those without an engine; NULL if there is none. */
static struct kept_guest *kept_allowances_first_to_go(const struct kept_allowances *kept,
						      bool by_size)
{
	struct kept_guest *first = NULL;
	struct kept_guest *guest;

	for (guest = kept->list; guest; guest = guest->next)
		if (!guest->loans && (!first || kept_guest_goes_first(guest, first, by_size)))
			first = guest;
	return first;
}

/*
 * Those that have most go until there is room, so that whoever makes many does it at its own cost;
 * of too many names those that left first.
 */
static void kept_allowances_make_room(struct kept_allowances *kept)
{
	const struct kept_guest *guest;
	struct kept_guest *first;
	uint32_t names = 0;
	uint32_t count = 0;

	for (guest = kept->list; guest; guest = guest->next) {
		names += !guest->loans;
		count += guest->loans ? 0 : guest->count;
	}
	while (count > KEPT_ALLOWANCES_MAX || names > KEPT_NAMES_MAX) {
		first = kept_allowances_first_to_go(kept, count > KEPT_ALLOWANCES_MAX);
		ASSERT(first);
		names--;
		count -= first->count;
		kept_guest_remove(kept, first);
	}
}

/* Fills a new memory with what is known. Returns 0 or -errno. */
static int kept_guest_fill(const struct kept_guest *guest, int fd)
{
	struct allowances *memory;
	uint64_t now_ns = clock_monotonic_ns();
	ssize_t wrote;
	uint32_t i;

	/* Without more than its head it costs one page, until the engine uses it. */
	if (!guest->count)
		return pwrite(fd, &guest->seed, sizeof(guest->seed), 0) < 0 ? -errno : 0;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	memory->seed = guest->seed;
	for (i = 0; i < guest->count; i++)
		allowances_put(memory, guest->list[i].key, guest->list[i].until_ns, now_ns);
	wrote = pwrite(fd, memory, sizeof(*memory), 0);
	free(memory);
	return wrote < 0 ? -errno : 0;
}

/* A memory of a size that its engine can't change. Returns its descriptor or -errno. */
static int kept_loan_create(void)
{
	int fd = memfd_create("pvcalls-limits", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, sizeof(struct allowances)) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

/* Fills a new memory with all that is known, also of engines that are not at their end yet. */
static int kept_loan_fill(struct kept_allowances *kept, struct kept_guest *guest, int fd)
{
	const struct kept_loan *loan;

	for (loan = guest->loans; loan; loan = loan->next)
		kept_guest_add(kept, guest, loan->fd);
	kept_guest_forget(kept, guest, clock_monotonic_ns());
	return kept_guest_fill(guest, fd);
}

int kept_allowances_lend(struct kept_allowances *kept, const char *name)
{
	struct kept_loan *loan = calloc(1, sizeof(*loan));
	struct kept_guest *guest;
	int error = -ENOMEM;

	if (!loan)
		return -ENOMEM;
	kept_allowances_forget(kept);
	guest = kept_guest_find(kept, name);
	if (!guest)
		guest = kept_guest_new(kept, name);
	loan->fd = kept_loan_create();
	if (loan->fd < 0)
		error = loan->fd;
	else if (guest)
		error = kept_loan_fill(kept, guest, loan->fd);
	if (error) {
		fd_close(&loan->fd);
		free(loan);
		return error;
	}
	loan->next = guest->loans;
	guest->loans = loan;
	return loan->fd;
}

/* Takes the loan with this descriptor out of the guest's. */
static struct kept_loan *kept_guest_take_loan(struct kept_guest *guest, int fd)
{
	struct kept_loan **link = &guest->loans;
	struct kept_loan *loan;

	while (*link && (*link)->fd != fd)
		link = &(*link)->next;
	loan = *link;
	ASSERT(loan);
	*link = loan->next;
	return loan;
}

void kept_allowances_take_back(struct kept_allowances *kept, const char *name, int fd)
{
	struct kept_guest *guest = kept_guest_find(kept, name);
	struct kept_loan *loan;

	ASSERT(guest);
	loan = kept_guest_take_loan(guest, fd);
	kept_guest_add(kept, guest, fd);
	fd_close(&loan->fd);
	free(loan);
	guest->left_ns = clock_monotonic_ns();
	if (!guest->loans && !guest->count)
		kept_guest_remove(kept, guest);
	kept_allowances_make_room(kept);
}

void kept_allowances_free(struct kept_allowances *kept)
{
	while (kept->list)
		kept_guest_remove(kept, kept->list);
}
