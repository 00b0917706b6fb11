/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local transport: our memory is one sealed memfd that the daemon maps too, and events are bits
 * in a page that the daemon made (see transport/local_wire.h).
 *
 * Grant n is page n of the memfd. It is mapped once and sparse: a page costs memory from its first
 * use on. The seals promise the daemon that it can't be cut away under its hands.
 */
#include "transports/local_transport.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "ring/layout.h"
#include "transport/local_wire.h"
#include "transports/local_link.h"
#include "transports/page_allocator.h"
#include "transports/why.h"

#define WORD_BITS     64u
#define SELECTOR_BITS (WORD_BITS * WORD_BITS)
#define SELECTORS     (LOCAL_PORTS / SELECTOR_BITS)
#define MEMORY_STEP   ((uint64_t)RING_PAGE_SIZE << PAGES_ORDER_MAX)

_Static_assert(FRONT_PORTS == LOCAL_PORTS, "every local port has a number above the seam");

struct local_transport {
	struct front_transport base;
	struct local_link link;
	struct page_allocator pages;
	uint8_t *memory;
	uint64_t memory_bytes;
	struct local_event_page *events;
	int backend_eventfd;
	bool marked;         /* bits were set without waking the backend */
	uint32_t fresh_port; /* ports from here on were never open */
	uint32_t free_ports;
	uint16_t free_port[LOCAL_PORTS];
};

static struct local_transport *local_transport_of(struct front_transport *transport)
{
	return (struct local_transport *)transport;
}

static const struct local_transport *
local_transport_of_const(const struct front_transport *transport)
{
	return (const struct local_transport *)transport;
}

static void local_transport_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void local_transport_close(struct front_transport *transport)
{
	struct local_transport *local = local_transport_of(transport);

	local_link_close(&local->link);
	if (local->events)
		munmap(local->events, sizeof(*local->events));
	if (local->memory)
		munmap(local->memory, local->memory_bytes);
	local_transport_close_fd(&local->backend_eventfd);
	local_transport_close_fd(&local->base.event_fd);
	page_allocator_destroy(&local->pages);
	free(local);
}

static int local_transport_share(struct front_transport *transport, uint32_t order, void **pages,
				 uint32_t *refs)
{
	struct local_transport *local = local_transport_of(transport);
	uint32_t first = page_allocator_take(&local->pages, order);
	uint32_t i;

	if (!first)
		return -ENOMEM;
	for (i = 0; i < 1u << order; i++)
		refs[i] = first + i;
	*pages = local->memory + (uint64_t)first * RING_PAGE_SIZE;
	return 0;
}

static void local_transport_unshare(struct front_transport *transport, void *pages, uint32_t order)
{
	struct local_transport *local = local_transport_of(transport);
	size_t offset = (size_t)((uint8_t *)pages - local->memory);

	page_allocator_give(&local->pages, (uint32_t)(offset / RING_PAGE_SIZE), order);
}

static int local_transport_port_open(struct front_transport *transport, uint32_t *port)
{
	struct local_transport *local = local_transport_of(transport);

	if (local->free_ports > 0)
		*port = local->free_port[--local->free_ports];
	else if (local->fresh_port < LOCAL_PORTS)
		*port = local->fresh_port++;
	else
		return -ENOSPC;
	return 0;
}

static void local_transport_port_close(struct front_transport *transport, uint32_t port)
{
	struct local_transport *local = local_transport_of(transport);

	ASSERT(port > 0 && port < local->fresh_port && local->free_ports < LOCAL_PORTS);
	local->free_port[local->free_ports++] = (uint16_t)port;
}

/*
 * A bit that is still set stands for us too: whoever takes it sees all that was written before.
 * Returns whether it is new.
 */
static bool local_transport_set_bit(struct local_events *events, uint32_t port)
{
	uint64_t bit = 1ull << (port % WORD_BITS);

	ASSERT(port < LOCAL_PORTS);
	if (__atomic_fetch_or(&events->word[port / WORD_BITS], bit, __ATOMIC_SEQ_CST) & bit)
		return false;
	__atomic_fetch_or(&events->selector[port / SELECTOR_BITS],
			  1ull << (port / WORD_BITS % WORD_BITS), __ATOMIC_SEQ_CST);
	return true;
}

/* A backend that is awake looks at the bits before it sleeps, so its eventfd can stay silent. */
static void local_transport_wake_backend(struct front_transport *transport)
{
	struct local_transport *local = local_transport_of(transport);
	struct local_events *events = &local->events->to_backend;
	const uint64_t one = 1;

	local->marked = false;
	if (!__atomic_load_n(&events->asleep, __ATOMIC_SEQ_CST) ||
	    !__atomic_exchange_n(&events->asleep, 0, __ATOMIC_SEQ_CST))
		return;
	/* An eventfd too full to be written is readable. */
	if (write(local->backend_eventfd, &one, sizeof(one)) < 0)
		return;
}

/* Where we run: a backend that moves many bytes does well to run there too, beside its cache. */
static void local_transport_say_processor(struct local_events *events)
{
	uint32_t here = (uint32_t)(sched_getcpu() + 1);

	if (__atomic_load_n(&events->processor, __ATOMIC_RELAXED) != here)
		__atomic_store_n(&events->processor, here, __ATOMIC_RELAXED);
}

static void local_transport_notify(struct front_transport *transport, uint32_t port)
{
	struct local_transport *local = local_transport_of(transport);

	local_transport_say_processor(&local->events->to_backend);
	if (local_transport_set_bit(&local->events->to_backend, port) || local->marked)
		local_transport_wake_backend(transport);
}

static void local_transport_mark(struct front_transport *transport, uint32_t port)
{
	struct local_transport *local = local_transport_of(transport);

	if (local_transport_set_bit(&local->events->to_backend, port))
		local->marked = true;
}

static void local_transport_notify_marked(struct front_transport *transport)
{
	if (local_transport_of(transport)->marked)
		local_transport_wake_backend(transport);
}

/* Takes the words one selector points at, as long as a whole word's ports fit. */
static size_t local_transport_take_selected(struct local_events *events, uint32_t index,
					    uint32_t *ports, size_t max)
{
	uint64_t selected = __atomic_exchange_n(&events->selector[index], 0, __ATOMIC_SEQ_CST);
	size_t count = 0;

	while (selected && max - count >= WORD_BITS) {
		uint32_t word = index * WORD_BITS + (uint32_t)__builtin_ctzll(selected);
		uint64_t bits = __atomic_exchange_n(&events->word[word], 0, __ATOMIC_SEQ_CST);

		selected &= selected - 1;
		for (; bits; bits &= bits - 1)
			ports[count++] = word * WORD_BITS + (uint32_t)__builtin_ctzll(bits);
	}
	if (selected)
		__atomic_fetch_or(&events->selector[index], selected, __ATOMIC_SEQ_CST);
	return count;
}

static size_t local_transport_take(struct front_transport *transport, uint32_t *ports, size_t max)
{
	struct local_events *events = &local_transport_of(transport)->events->to_frontend;
	size_t count = 0;
	uint32_t i;

	for (i = 0; i < SELECTORS; i++)
		if (__atomic_load_n(&events->selector[i], __ATOMIC_RELAXED))
			count += local_transport_take_selected(events, i, ports + count,
							       max - count);
	return count;
}

static bool local_transport_pending(const struct front_transport *transport)
{
	const struct local_events *events =
		&local_transport_of_const(transport)->events->to_frontend;
	uint64_t any = 0;
	uint32_t i;

	for (i = 0; i < SELECTORS; i++)
		any |= __atomic_load_n(&events->selector[i], __ATOMIC_SEQ_CST);
	return any != 0;
}

static bool local_transport_may_sleep(struct front_transport *transport)
{
	struct local_events *events = &local_transport_of(transport)->events->to_frontend;

	__atomic_store_n(&events->asleep, 1, __ATOMIC_SEQ_CST);
	if (!local_transport_pending(transport))
		return true;
	transport->ops->awake(transport);
	return false;
}

static void local_transport_awake(struct front_transport *transport)
{
	struct local_events *events = &local_transport_of(transport)->events->to_frontend;
	uint64_t wakes;

	/* Only a sender that found us asleep writes to it, and it clears the flag first. */
	if (__atomic_exchange_n(&events->asleep, 0, __ATOMIC_SEQ_CST))
		return;
	if (read(transport->event_fd, &wakes, sizeof(wakes)) < 0)
		return;
}

static int local_transport_write(struct front_transport *transport, const char *lines)
{
	return local_link_write(&local_transport_of(transport)->link, lines);
}

static int local_transport_read(const struct front_transport *transport, const char *key,
				char value[FRONT_VALUE_MAX])
{
	return local_link_read(&local_transport_of_const(transport)->link, key, value);
}

static int local_transport_refresh(struct front_transport *transport, char *why)
{
	return local_link_refresh(&local_transport_of(transport)->link, why);
}

static const struct front_transport_ops local_transport_ops = {
	.close = local_transport_close,
	.share = local_transport_share,
	.unshare = local_transport_unshare,
	.port_open = local_transport_port_open,
	.port_close = local_transport_port_close,
	.notify = local_transport_notify,
	.mark = local_transport_mark,
	.notify_marked = local_transport_notify_marked,
	.take = local_transport_take,
	.pending = local_transport_pending,
	.may_sleep = local_transport_may_sleep,
	.awake = local_transport_awake,
	.write = local_transport_write,
	.read = local_transport_read,
	.refresh = local_transport_refresh,
};

/* Makes the guest's memory; returns its descriptor or -errno. */
static int local_transport_make_memory(struct local_transport *local, uint64_t bytes)
{
	int fd = memfd_create("pvcalls-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error;

	if (fd < 0)
		return -errno;
	bytes = (bytes + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP;
	if (ftruncate(fd, (off_t)bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		goto out;
	local->memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (local->memory == MAP_FAILED) {
		local->memory = NULL;
		goto out;
	}
	local->memory_bytes = bytes;
	error = page_allocator_init(&local->pages, (uint32_t)(bytes / RING_PAGE_SIZE));
	if (!error)
		return fd;
	errno = -error;
out:
	error = -errno;
	close(fd);
	return error;
}

static int local_transport_take_welcome(struct local_transport *local,
					const int fds[LOCAL_LINK_WELCOME_FDS], char *why)
{
	void *events = mmap(NULL, sizeof(*local->events), PROT_READ | PROT_WRITE, MAP_SHARED,
			    fds[LOCAL_LINK_EVENTS], 0);
	int error = errno;

	close(fds[LOCAL_LINK_EVENTS]);
	local->backend_eventfd = fds[LOCAL_LINK_BACKEND_EVENTFD];
	local->base.event_fd = fds[LOCAL_LINK_OUR_EVENTFD];
	if (events == MAP_FAILED)
		return why_set(why, error, "the event page can't be mapped: %s", strerror(error));
	local->events = events;
	return 0;
}

int local_transport_open(struct front_transport **transport, const char *runtime_dir,
			 const char *name, uint64_t memory, uint32_t timeout_ms, char *why)
{
	struct local_transport *local = calloc(1, sizeof(*local));
	int fds[LOCAL_LINK_WELCOME_FDS];
	int memory_fd;
	int error;

	if (!local)
		return why_set(why, ENOMEM, "no memory for the transport");
	local->base.ops = &local_transport_ops;
	local->base.event_fd = -1;
	local->backend_eventfd = -1;
	local->fresh_port = 1;
	error = local_link_open(&local->link, runtime_dir, why);
	if (error)
		goto out;
	memory_fd = local_transport_make_memory(local, memory);
	if (memory_fd < 0) {
		error = why_set(why, -memory_fd, "no memory of %llu bytes to share: %s",
				(unsigned long long)memory, strerror(-memory_fd));
		goto out;
	}
	error = local_link_hello(&local->link, name, memory_fd, timeout_ms, fds, why);
	close(memory_fd);
	if (!error)
		error = local_transport_take_welcome(local, fds, why);
	if (error)
		goto out;
	local->base.store_fd = local->link.fd;
	*transport = &local->base;
	return 0;
out:
	local_transport_close(&local->base);
	return error;
}
