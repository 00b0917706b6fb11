/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/plugin_host/allowances.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

int allowances_map(struct allowances **allowances, int fd)
{
	struct stat status;
	void *memory;

	*allowances = NULL;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size < (off_t)sizeof(**allowances))
		return -EINVAL;
	memory = mmap(NULL, sizeof(**allowances), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	*allowances = memory;
	return 0;
}

void allowances_unmap(struct allowances *allowances)
{
	if (allowances)
		munmap(allowances, sizeof(*allowances));
}

static uint64_t allowance_mix(uint64_t number)
{
	number ^= number >> 33;
	number *= 0xff51afd7ed558ccdu;
	number ^= number >> 33;
	number *= 0xc4ceb9fe1a85ec53u;
	return number ^ number >> 33;
}

static uint64_t allowance_mix_text(uint64_t sum, const char *text)
{
	for (; *text; text++)
		sum = (sum ^ (unsigned char)*text) * 0x100000001b3u;
	return allowance_mix(sum);
}

uint64_t allowances_key(const struct allowances *allowances, const char *plugin, const char *id,
			uint64_t number)
{
	uint64_t key = allowance_mix_text(allowances->seed, plugin);

	key = allowance_mix_text(key, id);
	key = allowance_mix(key ^ allowance_mix(number ^ allowances->seed));
	return key ? key : 1;
}

static const struct allowance *allowances_set(const struct allowances *allowances, uint64_t key)
{
	return &allowances->list[key % ALLOWANCE_SETS * ALLOWANCE_WAYS];
}

uint64_t allowances_get(const struct allowances *allowances, uint64_t key)
{
	const struct allowance *set = allowances_set(allowances, key);
	uint32_t i;

	for (i = 0; i < ALLOWANCE_WAYS; i++)
		if (set[i].key == key)
			return set[i].until_ns;
	return 0;
}

void allowances_put(struct allowances *allowances, uint64_t key, uint64_t until_ns, uint64_t now_ns)
{
	struct allowance *set = &allowances->list[key % ALLOWANCE_SETS * ALLOWANCE_WAYS];
	struct allowance *place = &set[0];
	uint32_t i;

	for (i = 0; i < ALLOWANCE_WAYS; i++) {
		if (set[i].key == key) {
			set[i].until_ns = until_ns;
			return;
		}
		if (set[i].until_ns < place->until_ns)
			place = &set[i];
	}
	if (place->until_ns > now_ns && place->until_ns > until_ns)
		return;
	/* Whatever moment it ends at, what stands there is said of no other. */
	place->until_ns = 0;
	place->key = key;
	place->until_ns = until_ns;
}
