/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit/queue/queue_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

int queue_memory_map(struct queue_memory **memory, int memfd)
{
	struct stat status;
	if (fstat(memfd, &status) < 0)
		return -errno;
	if (status.st_size != (off_t)sizeof(struct queue_memory))
		return -EINVAL;
	/* Unsealed memory could be cut away under us: reading it would be SIGBUS. */
	int seals = fcntl(memfd, F_GET_SEALS);
	if (seals < 0 || (seals & QUEUE_SEALS) != QUEUE_SEALS)
		return -EINVAL;
	void *map = mmap(NULL, sizeof(struct queue_memory), PROT_READ | PROT_WRITE, MAP_SHARED,
			 memfd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*memory = map;
	return 0;
}

bool queue_memory_is_known(const struct queue_memory *memory)
{
	return memory->magic == QUEUE_MAGIC && memory->version == QUEUE_VERSION &&
	       memory->slots == AUDIT_QUEUE_SLOTS;
}

void queue_memory_unmap(struct queue_memory *memory)
{
	if (memory)
		munmap(memory, sizeof(*memory));
}
