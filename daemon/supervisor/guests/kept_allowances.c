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

/* By then an engine that was left has written its last. */
#define KEPT_LAST_WORD_NS (2 * NS_PER_S)

#define KEPT_OF_ONE_MAX (ALLOWANCES_MAX / 2) /* they fit their sets, but for very few */

/* One name. */
struct kept_guest {
	struct kept_guest *next;
	uint64_t seed; /* of keys: the same for all of its engines */
	uint64_t left_ns;
	uint32_t users; /* engines that have a memory */
	int last;       /* that of the engine that was left last, -1: nothing more can come */
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
	guest->last = -1;
	if (getrandom(&guest->seed, sizeof(guest->seed), 0) != (ssize_t)sizeof(guest->seed)) {
		free(guest);
		return NULL;
	}
	guest->next = kept->list;
	kept->list = guest;
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

	while (*link != guest)
		link = &(*link)->next;
	*link = guest->next;
	kept_guest_set_list(kept, guest, NULL, 0);
	fd_close(&guest->last);
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

/* Hears the last of engines that were left, and forgets what is full; not the guest it is about. */
static void kept_allowances_settle(struct kept_allowances *kept, const struct kept_guest *about)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct kept_guest *guest;
	struct kept_guest *next;
	bool over;

	for (guest = kept->list; guest; guest = next) {
		next = guest->next;
		over = now_ns - guest->left_ns > KEPT_LAST_WORD_NS;
		/* Each memory is read when its guest comes back, and once more when it is closed.
		 */
		if (guest->last >= 0 && (over || guest == about))
			kept_guest_add(kept, guest, guest->last);
		if (over)
			fd_close(&guest->last);
		kept_guest_forget(kept, guest, now_ns);
		if (guest != about && !guest->users && guest->last < 0 && !guest->count)
			kept_guest_remove(kept, guest);
	}
}

/* Those that left first go until there is room. */
static void kept_allowances_make_room(struct kept_allowances *kept)
{
	struct kept_guest *oldest;
	struct kept_guest *guest;

	while (kept->count > KEPT_ALLOWANCES_MAX) {
		oldest = NULL;
		for (guest = kept->list; guest; guest = guest->next)
			if (!guest->users && (!oldest || guest->left_ns < oldest->left_ns))
				oldest = guest;
		if (!oldest)
			return;
		kept_guest_remove(kept, oldest);
	}
}

/* Fills a new memory with what is known. Returns 0 or -errno. */
static int kept_guest_fill(const struct kept_guest *guest, int fd)
{
	struct allowances *memory = calloc(1, sizeof(*memory));
	uint64_t now_ns = clock_monotonic_ns();
	ssize_t wrote;
	uint32_t i;

	if (!memory)
		return -ENOMEM;
	memory->seed = guest->seed;
	for (i = 0; i < guest->count; i++)
		allowances_put(memory, guest->list[i].key, guest->list[i].until_ns, now_ns);
	/* Without more than its head it costs one page, until the engine uses it. */
	wrote = pwrite(fd, memory, guest->count ? sizeof(*memory) : sizeof(memory->seed), 0);
	free(memory);
	return wrote < 0 ? -errno : 0;
}

int kept_allowances_lend(struct kept_allowances *kept, const char *name)
{
	struct kept_guest *guest = kept_guest_find(kept, name);
	autoclose int fd = memfd_create("pvcalls-limits", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error;
	int lent;

	if (fd < 0 || ftruncate(fd, sizeof(struct allowances)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	if (!guest)
		guest = kept_guest_new(kept, name);
	if (!guest)
		return -ENOMEM;
	kept_allowances_settle(kept, guest);
	error = kept_guest_fill(guest, fd);
	if (error)
		return error;
	guest->users++;
	lent = fd;
	fd = -1;
	return lent;
}

void kept_allowances_take_back(struct kept_allowances *kept, const char *name, int fd)
{
	struct kept_guest *guest = kept_guest_find(kept, name);

	if (fd < 0)
		return;
	ASSERT(guest && guest->users);
	guest->users--;
	kept_guest_add(kept, guest, fd);
	fd_close(&guest->last);
	guest->last = fd;
	guest->left_ns = clock_monotonic_ns();
	kept_allowances_make_room(kept);
}

void kept_allowances_free(struct kept_allowances *kept)
{
	while (kept->list)
		kept_guest_remove(kept, kept->list);
}
