/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine's end of the local transport.
 *
 * Theory of operation. The guest's memory is one memfd that can neither shrink nor grow, mapped
 * once and whole; grant reference n is its page n. A run of ascending references is therefore a
 * span of that mapping already, and mapping it costs nothing. Other references are stitched
 * together by mapping page after page over a reserved range. The memfd is tmpfs memory: a page can
 * neither vanish nor fail to be there, whatever the guest punches into it, so no access to it can
 * fault.
 *
 * Event channels are bits, see local_wire.h. As on Xen, an event masks its port until it is
 * unmasked.
 */
#include "transport/local_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"
#include "ring/layout.h"
#include "transport/local_wire.h"

_Static_assert(LOCAL_PORTS <= TRANSPORT_PORTS, "every local port has a number above the seam");

#define WORD_BITS         64u
#define SELECTOR_BITS     (WORD_BITS * WORD_BITS)
#define LOCAL_DESCRIPTORS 4 /* memory, event page, our eventfd, the guest's */

struct local_backend {
	struct transport base;
	int memory_fd;
	int guest_eventfd;
	uint8_t *memory;
	uint64_t pages;
	struct local_event_page *events;
	uint64_t bound[LOCAL_PORTS / WORD_BITS];
	uint64_t masked[LOCAL_PORTS / WORD_BITS];
	uint64_t again[LOCAL_PORTS / WORD_BITS]; /* came while masked */
	bool replay; /* some ports of `again` may be unmasked and wait for pending() */
};

static struct local_backend *local_of(struct transport *transport)
{
	return (struct local_backend *)transport;
}

static bool local_port_is_set(const uint64_t *words, uint32_t port)
{
	return words[port / WORD_BITS] >> (port % WORD_BITS) & 1;
}

static void local_port_set(uint64_t *words, uint32_t port)
{
	words[port / WORD_BITS] |= 1ull << (port % WORD_BITS);
}

static void local_port_clear(uint64_t *words, uint32_t port)
{
	words[port / WORD_BITS] &= ~(1ull << (port % WORD_BITS));
}

static void local_close(struct transport *transport)
{
	struct local_backend *local = local_of(transport);

	if (local->memory)
		munmap(local->memory, local->pages * RING_PAGE_SIZE);
	if (local->events)
		munmap(local->events, sizeof(*local->events));
	fd_close(&local->memory_fd);
	fd_close(&local->guest_eventfd);
	fd_close(&local->base.fd);
	free(local);
}

static bool local_refs_are_consecutive(const uint32_t *refs, uint32_t count)
{
	uint32_t i;

	for (i = 1; i < count; i++)
		if (refs[i] != refs[0] + i)
			return false;
	return true;
}

/* Maps the pages one after the other over a reserved range: all or nothing. */
static int local_map_scattered(struct local_backend *local, const uint32_t *refs, uint32_t count,
			       void **span)
{
	size_t bytes = (size_t)count * RING_PAGE_SIZE;
	uint8_t *range = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t i;

	if (range == MAP_FAILED)
		return -errno;
	for (i = 0; i < count; i++) {
		void *page = mmap(range + (size_t)i * RING_PAGE_SIZE, RING_PAGE_SIZE,
				  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, local->memory_fd,
				  (off_t)refs[i] * RING_PAGE_SIZE);

		if (page == MAP_FAILED) {
			int error = -errno;

			munmap(range, bytes);
			return error;
		}
	}
	*span = range;
	return 0;
}

static int local_map(struct transport *transport, const uint32_t *refs, uint32_t count, void **span)
{
	struct local_backend *local = local_of(transport);
	uint32_t i;

	if (count == 0 || count > DATA_REFS_MAX)
		return -EINVAL;
	for (i = 0; i < count; i++)
		if (refs[i] >= local->pages)
			return -EINVAL;
	if (!local_refs_are_consecutive(refs, count))
		return local_map_scattered(local, refs, count, span);
	*span = local->memory + (uint64_t)refs[0] * RING_PAGE_SIZE;
	return 0;
}

static void local_unmap(struct transport *transport, void *span, uint32_t count)
{
	struct local_backend *local = local_of(transport);
	uint8_t *start = span;

	if (start >= local->memory && start < local->memory + local->pages * RING_PAGE_SIZE)
		return; /* a part of the one mapping */
	munmap(span, (size_t)count * RING_PAGE_SIZE);
}

static int local_bind(struct transport *transport, uint32_t remote_port, uint32_t *port)
{
	struct local_backend *local = local_of(transport);

	if (remote_port == 0 || remote_port >= LOCAL_PORTS)
		return -EINVAL;
	if (local_port_is_set(local->bound, remote_port))
		return -EEXIST;
	local_port_set(local->bound, remote_port);
	local_port_clear(local->masked, remote_port);
	local_port_clear(local->again, remote_port);
	*port = remote_port;
	return 0;
}

static void local_unbind(struct transport *transport, uint32_t port)
{
	ASSERT(port < LOCAL_PORTS);
	local_port_clear(local_of(transport)->bound, port);
}

static void local_notify(struct transport *transport, uint32_t port)
{
	struct local_backend *local = local_of(transport);
	struct local_events *events = &local->events->to_frontend;
	uint64_t bit = 1ull << (port % WORD_BITS);

	ASSERT(port < LOCAL_PORTS);
	if (__atomic_fetch_or(&events->word[port / WORD_BITS], bit, __ATOMIC_SEQ_CST) & bit)
		return;
	__atomic_fetch_or(&events->selector[port / SELECTOR_BITS],
			  1ull << (port / WORD_BITS % WORD_BITS), __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&events->asleep, __ATOMIC_SEQ_CST) ||
	    !__atomic_exchange_n(&events->asleep, 0, __ATOMIC_SEQ_CST))
		return;
	/* One that is full, as the guest can make it, wakes the guest all the same. */
	(void)eventfd_write(local->guest_eventfd, 1);
}

/* Delivers the ports of one word that are bound; masked ones are kept for their unmask. */
static size_t local_ports_deliver(struct local_backend *local, uint32_t word, uint64_t bits,
				  uint32_t *ports)
{
	size_t count = 0;
	uint64_t late = bits & local->bound[word] & local->masked[word];
	uint64_t due = bits & local->bound[word] & ~local->masked[word];

	local->again[word] |= late;
	local->masked[word] |= due;
	while (due) {
		ports[count++] = word * WORD_BITS + (uint32_t)__builtin_ctzll(due);
		due &= due - 1;
	}
	return count;
}

static size_t local_ports_replay(struct local_backend *local, uint32_t *ports, size_t max)
{
	size_t count = 0;
	uint32_t word;

	if (!local->replay)
		return 0;
	local->replay = false;
	for (word = 0; word < LOCAL_PORTS / WORD_BITS; word++) {
		uint64_t ready = local->again[word] & ~local->masked[word];

		if (!ready)
			continue;
		if (max - count < WORD_BITS) {
			local->replay = true;
			break;
		}
		local->again[word] &= ~ready;
		count += local_ports_deliver(local, word, ready, ports + count);
	}
	return count;
}

/* Takes the words a selector points at, as long as a whole word's ports still fit. */
static size_t local_ports_take(struct local_backend *local, struct local_events *events,
			       uint32_t index, uint32_t *ports, size_t max)
{
	uint64_t selected = __atomic_exchange_n(&events->selector[index], 0, __ATOMIC_SEQ_CST);
	size_t count = 0;

	while (selected) {
		uint32_t word = index * WORD_BITS + (uint32_t)__builtin_ctzll(selected);
		uint64_t bits;

		if (max - count < WORD_BITS)
			break;
		selected &= selected - 1;
		bits = __atomic_exchange_n(&events->word[word], 0, __ATOMIC_SEQ_CST);
		count += local_ports_deliver(local, word, bits, ports + count);
	}
	if (selected)
		__atomic_fetch_or(&events->selector[index], selected, __ATOMIC_SEQ_CST);
	return count;
}

static int local_pending(struct transport *transport, uint32_t *ports, size_t max)
{
	struct local_backend *local = local_of(transport);
	struct local_events *events = &local->events->to_backend;
	size_t count = local_ports_replay(local, ports, max);
	uint32_t i;

	for (i = 0; i < LOCAL_PORTS / SELECTOR_BITS; i++)
		if (__atomic_load_n(&events->selector[i], __ATOMIC_RELAXED))
			count += local_ports_take(local, events, i, ports + count, max - count);
	return (int)count;
}

static void local_unmask(struct transport *transport, uint32_t port)
{
	struct local_backend *local = local_of(transport);

	ASSERT(port < LOCAL_PORTS);
	if (!local_port_is_set(local->masked, port))
		return;
	local_port_clear(local->masked, port);
	if (local_port_is_set(local->again, port))
		local->replay = true;
}

static bool local_ports_wait(struct local_backend *local)
{
	uint32_t i;

	if (local->replay)
		return true;
	for (i = 0; i < LOCAL_PORTS / SELECTOR_BITS; i++)
		if (__atomic_load_n(&local->events->to_backend.selector[i], __ATOMIC_SEQ_CST))
			return true;
	return false;
}

static bool local_may_sleep(struct transport *transport)
{
	struct local_backend *local = local_of(transport);

	__atomic_store_n(&local->events->to_backend.asleep, 1, __ATOMIC_SEQ_CST);
	if (!local_ports_wait(local))
		return true;
	__atomic_store_n(&local->events->to_backend.asleep, 0, __ATOMIC_SEQ_CST);
	return false;
}

static void local_awake(struct transport *transport)
{
	struct local_backend *local = local_of(transport);
	eventfd_t count;

	/* Only a sender that found us asleep has written to the eventfd, and cleared the flag. */
	if (__atomic_exchange_n(&local->events->to_backend.asleep, 0, __ATOMIC_SEQ_CST))
		return;
	(void)eventfd_read(local->base.fd, &count);
}

static int local_processor(struct transport *transport)
{
	struct local_events *events = &local_of(transport)->events->to_backend;

	return (int)(__atomic_load_n(&events->processor, __ATOMIC_RELAXED) & 0xffffff) - 1;
}

static const struct transport_ops local_ops = {
	.close = local_close,
	.map = local_map,
	.unmap = local_unmap,
	.bind = local_bind,
	.unbind = local_unbind,
	.notify = local_notify,
	.pending = local_pending,
	.unmask = local_unmask,
	.may_sleep = local_may_sleep,
	.awake = local_awake,
	.processor = local_processor,
};

static int local_map_memory(struct local_backend *local)
{
	struct stat status;

	if (fstat(local->memory_fd, &status) < 0)
		return -errno;
	local->pages = (uint64_t)status.st_size / RING_PAGE_SIZE;
	local->memory = mmap(NULL, local->pages * RING_PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_NORESERVE, local->memory_fd, 0);
	if (local->memory == MAP_FAILED) {
		local->memory = NULL;
		return -errno;
	}
	return 0;
}

static int local_map_events(struct local_backend *local, int fd)
{
	local->events =
		mmap(NULL, sizeof(*local->events), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (local->events == MAP_FAILED) {
		local->events = NULL;
		return -errno;
	}
	return 0;
}

static int local_refuse_descriptors(const int *descriptors, size_t count, int error)
{
	while (count > 0)
		close(descriptors[--count]);
	return error;
}

int local_backend_open(struct transport **transport, const int *descriptors, size_t count)
{
	struct local_backend *local;
	int events_fd;
	int error;

	if (count != LOCAL_DESCRIPTORS)
		return local_refuse_descriptors(descriptors, count, -EINVAL);
	local = calloc(1, sizeof(*local));
	if (!local)
		return local_refuse_descriptors(descriptors, count, -ENOMEM);
	local->base.ops = &local_ops;
	local->memory_fd = descriptors[0];
	events_fd = descriptors[1];
	local->base.fd = descriptors[2];
	local->guest_eventfd = descriptors[3];
	error = local_map_memory(local);
	if (!error)
		error = local_map_events(local, events_fd);
	fd_close(&events_fd);
	if (error) {
		local_close(&local->base);
		return error;
	}
	*transport = &local->base;
	return 0;
}
