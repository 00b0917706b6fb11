// SPDX-License-Identifier: GPL-2.0-or-later
#include <asm/xen/hypercall.h>
#include <linux/gfp.h>
#include <linux/interrupt.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <xen/grant_table.h>
#include <xen/page.h>

#include "hook_ring.h"

/*
 * A large ring spares both sides sleeping and waking, a small one spares memory. A few connections
 * get large ones, many get small ones: a new ring takes at most a quarter of what is left. 8 is
 * 512 KiB for each direction, 4 is 32 KiB, which is what the driver has.
 */
#define RING_ORDER_FLOOR 4u
#define RING_SHARE       4u /* of what is left, at most one of so many parts */
#define MEMORY_SHARE     16u

static unsigned int ring_order = 8;
module_param(ring_order, uint, 0644);
MODULE_PARM_DESC(ring_order,
		 "pages of a connection's data ring as a power of two, 1 to 9, at most (8)");

static unsigned int ring_memory;
module_param(ring_memory, uint, 0644);
MODULE_PARM_DESC(ring_memory,
		 "MiB of memory for rings larger than order 4 (a sixteenth of the memory)");

static unsigned int ring_pool = 64;
module_param(ring_pool, uint, 0644);
MODULE_PARM_DESC(ring_pool, "data rings kept for later connections (64)");

static DEFINE_SPINLOCK(pool_lock);
static LIST_HEAD(pool);   /* large ones first */
static unsigned int kept; /* in the pool, or with a place there */
static atomic_t pages_used;

static irqreturn_t ring_interrupt(int irq, void *data)
{
	struct data_ring *ring = data;
	unsigned long flags;

	spin_lock_irqsave(&ring->lock, flags);
	if (ring->owner)
		ring->event(ring->owner);
	spin_unlock_irqrestore(&ring->lock, flags);
	return IRQ_HANDLED;
}

void ring_own(struct data_ring *ring, struct sock *owner, void (*event)(struct sock *owner))
{
	unsigned long flags;

	spin_lock_irqsave(&ring->lock, flags);
	ring->owner = owner;
	ring->event = event;
	spin_unlock_irqrestore(&ring->lock, flags);
}

void ring_notify(struct data_ring *ring)
{
	notify_remote_via_irq(ring->irq);
}

static int open_port(struct data_ring *ring)
{
	struct evtchn_alloc_unbound unbound = {
		.dom = DOMID_SELF,
		.remote_dom = ring->domid,
	};
	struct evtchn_close close;
	int error = HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, &unbound);

	if (error == -ENOSPC)
		pr_warn_ratelimited(
			"pvcalls-hook: no event channel is left: raise max_event_channels in the guest's configuration, one for each connection\n");
	if (error)
		return error;
	ring->irq =
		bind_evtchn_to_irqhandler(unbound.port, ring_interrupt, 0, "pvcalls-hook", ring);
	if (ring->irq < 0) {
		close.port = unbound.port;
		HYPERVISOR_event_channel_op(EVTCHNOP_close, &close);
		return ring->irq;
	}
	ring->port = unbound.port;
	return 0;
}

static int grant(struct data_ring *ring)
{
	unsigned int pages = 1u << ring->order;
	int ref;

	while (ring->refs < pages) {
		u8 *page = ring->in + ((size_t)ring->refs << PAGE_SHIFT);

		ref = gnttab_grant_foreign_access(ring->domid, virt_to_gfn(page), 0);
		if (ref < 0)
			return ref;
		ring->data_ref[ring->refs++] = ref;
	}
	ref = gnttab_grant_foreign_access(ring->domid, virt_to_gfn(ring->shared), 0);
	if (ref < 0)
		return ref;
	ring->ref = ref;
	return 0;
}

/*
 * A page the backend still maps stays allocated until it doesn't: the grant table takes care of
 * that if it gets the page.
 */
static void ring_free(struct data_ring *ring)
{
	unsigned int pages = 1u << ring->order;
	unsigned int i;

	if (ring->irq > 0)
		unbind_from_irqhandler(ring->irq, ring);
	for (i = 0; ring->in && i < pages; i++) {
		struct page *page = virt_to_page(ring->in + ((size_t)i << PAGE_SHIFT));

		if (i < ring->refs)
			gnttab_end_foreign_access(ring->data_ref[i], page);
		else
			__free_page(page);
	}
	if (ring->ref)
		gnttab_end_foreign_access(ring->ref, virt_to_page(ring->shared));
	else
		free_page((unsigned long)ring->shared);
	atomic_sub(pages, &pages_used);
	kfree(ring);
}

void ring_reset(struct data_ring *ring)
{
	unsigned int i;

	memset(ring->shared, 0, sizeof(*ring->shared));
	ring->shared->ring_order = ring->order;
	for (i = 0; i < ring->refs; i++)
		ring->shared->ref[i] = ring->data_ref[i];
	ring->in_cons = 0;
	ring->out_prod = 0;
	ring->ended = false;
}

static struct data_ring *ring_new(const struct session_peer *peer, unsigned int order)
{
	const gfp_t gfp = GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN;
	struct data_ring *ring = kzalloc(struct_size(ring, data_ref, 1u << order), GFP_KERNEL);

	if (!ring)
		return NULL;
	spin_lock_init(&ring->lock);
	INIT_LIST_HEAD(&ring->node);
	atomic_add(1 << order, &pages_used);
	ring->order = order;
	ring->size = XEN_FLEX_RING_SIZE(order);
	ring->generation = peer->generation;
	ring->domid = peer->domid;
	ring->terse = peer->names;
	ring->half_close = peer->half_close;
	ring->shared = (void *)__get_free_page(gfp);
	ring->in = alloc_pages_exact(PAGE_SIZE << order, gfp);
	if (!ring->shared || !ring->in || grant(ring) || open_port(ring)) {
		ring_free(ring);
		return NULL;
	}
	ring->out = ring->in + ring->size;
	ring_reset(ring);
	return ring;
}

static struct data_ring *pool_take(void)
{
	struct data_ring *ring = NULL;

	spin_lock(&pool_lock);
	if (!list_empty(&pool)) {
		ring = list_first_entry(&pool, struct data_ring, node);
		list_del_init(&ring->node);
		ring->kept = false;
		kept--;
	}
	spin_unlock(&pool_lock);
	return ring;
}

static unsigned int order_limit(const struct session_peer *peer)
{
	return clamp(READ_ONCE(ring_order), 1u, min(peer->order_max, 9u));
}

static long pages_left(void)
{
	unsigned long all = (unsigned long)READ_ONCE(ring_memory) << (20 - PAGE_SHIFT);

	return (long)(all ?: totalram_pages() / MEMORY_SHARE) - atomic_read(&pages_used);
}

/* What a ring that is made now may have. */
static unsigned int order_now(unsigned int limit)
{
	long share = pages_left() / RING_SHARE;

	while (limit > RING_ORDER_FLOOR && 1L << limit > share)
		limit--;
	return limit;
}

/* The largest one of this session, if it is as large as a new one would be. */
static struct data_ring *pool_get(const struct session_peer *peer, unsigned int limit)
{
	struct data_ring *ring;

	while ((ring = pool_take())) {
		bool useful = ring->generation == peer->generation && ring->order <= limit;

		if (useful && ring->order >= order_now(limit))
			return ring;
		ring_free(ring);
		if (useful)
			break;
	}
	return NULL;
}

struct data_ring *ring_get(const struct session_peer *peer)
{
	unsigned int limit = order_limit(peer);
	struct data_ring *ring = pool_get(peer, limit);
	unsigned int order = order_now(limit);

	if (ring) {
		ring_reset(ring);
		return ring;
	}
	/* Memory may be too scattered for a large one. */
	do
		ring = ring_new(peer, order);
	while (!ring && order-- > 1);
	return ring;
}

/* The place is given up if the pages are of no use by now. */
static bool use_place(struct data_ring *ring, bool useful)
{
	struct data_ring *other;
	bool use;

	spin_lock(&pool_lock);
	use = useful && ring->kept;
	if (!use && ring->kept)
		kept--;
	if (use) {
		list_for_each_entry(other, &pool, node)
		{
			if (other->order <= ring->order)
				break;
		}
		list_add_tail(&ring->node, &other->node);
	}
	spin_unlock(&pool_lock);
	return use;
}

bool ring_keep(struct data_ring *ring)
{
	spin_lock(&pool_lock);
	if (!ring->kept && kept < READ_ONCE(ring_pool)) {
		ring->kept = true;
		kept++;
	}
	spin_unlock(&pool_lock);
	return ring->kept;
}

void ring_put(struct data_ring *ring)
{
	struct session_peer peer;
	bool useful = !session_peer(&peer) && peer.generation == ring->generation;

	ring_own(ring, NULL, NULL);
	ring_keep(ring);
	if (!use_place(ring, useful))
		ring_free(ring);
}

void rings_drain(void)
{
	struct data_ring *ring;

	while ((ring = pool_take()))
		ring_free(ring);
}

u32 ring_readable(const struct data_ring *ring)
{
	u32 bytes = READ_ONCE(ring->shared->in_prod) - READ_ONCE(ring->in_cons);

	return bytes > ring->size ? 0 : bytes;
}

u32 ring_unsent(const struct data_ring *ring)
{
	u32 bytes = READ_ONCE(ring->out_prod) - READ_ONCE(ring->shared->out_cons);

	return bytes > ring->size ? ring->size : bytes;
}

u32 ring_room(const struct data_ring *ring)
{
	return ring->size - ring_unsent(ring);
}

int ring_in_error(const struct data_ring *ring)
{
	return (int)READ_ONCE(ring->shared->in_error);
}

int ring_out_error(const struct data_ring *ring)
{
	return (int)READ_ONCE(ring->shared->out_error);
}

void ring_names(const struct data_ring *ring, struct ring_names *names)
{
	BUILD_BUG_ON(sizeof(*names) > sizeof(ring->shared->pad1));
	memcpy(names, ring->shared->pad1, sizeof(*names));
}

/* local_wanted and local_known of struct indexes_page of the daemon: behind out_end and the names.
 */
void ring_ask_local(struct data_ring *ring)
{
	u32 *wanted = (u32 *)ring->shared->pad2 + 1;

	WRITE_ONCE(*wanted, 1);
	ring_notify(ring);
}

bool ring_local_known(const struct data_ring *ring)
{
	const u32 *known = (const u32 *)(ring->shared->pad1 + sizeof(struct ring_names));

	return smp_load_acquire(known) != 0;
}

static size_t copy_out(const u8 *from, size_t length, struct iov_iter *to)
{
	return to ? copy_to_iter(from, length, to) : length;
}

ssize_t ring_read(struct data_ring *ring, struct iov_iter *to, size_t length, bool peek, u32 offset)
{
	u32 before = ring->in_cons;
	u32 start = (before + offset) & (ring->size - 1);
	u32 bytes = ring_readable(ring);
	size_t first, copied;

	/* indexes, then bytes */
	virt_rmb();
	bytes = bytes > offset ? min_t(size_t, bytes - offset, length) : 0;
	if (!bytes)
		return 0;
	first = min(bytes, ring->size - start);
	copied = copy_out(ring->in + start, first, to);
	if (copied == first)
		copied += copy_out(ring->in, bytes - first, to);
	if (peek)
		return copied ?: -EFAULT;
	/* bytes, then index */
	virt_mb();
	WRITE_ONCE(ring->in_cons, before + copied);
	WRITE_ONCE(ring->shared->in_cons, ring->in_cons);
	virt_mb();
	/*
	 * Ours waits for room only if it had seen the ring full before this read. Linux's goes to
	 * sleep after it has filled the room that it had seen, and wants to be told of each read.
	 */
	if (!ring->terse || READ_ONCE(ring->shared->in_prod) - before >= ring->size)
		ring_notify(ring);
	return copied ?: -EFAULT;
}

ssize_t ring_write(struct data_ring *ring, struct iov_iter *from, size_t length)
{
	u32 before = ring->out_prod;
	u32 start = before & (ring->size - 1);
	u32 bytes = min_t(size_t, ring_room(ring), length);
	size_t first, copied;

	if (ring->ended)
		return -EPIPE;
	/* indexes, then bytes */
	virt_mb();
	if (!bytes)
		return 0;
	first = min(bytes, ring->size - start);
	copied = copy_from_iter(ring->out + start, first, from);
	if (copied == first)
		copied += copy_from_iter(ring->out, bytes - first, from);
	if (!copied)
		return -EFAULT;
	/* bytes, then index */
	virt_wmb();
	WRITE_ONCE(ring->out_prod, before + copied);
	WRITE_ONCE(ring->shared->out_prod, ring->out_prod);
	virt_mb();
	/*
	 * Ours waits for bytes only if it had taken all before these. Linux's looks at out_prod
	 * without a barrier after it has written out_cons, and could miss these if it weren't told.
	 */
	if (!ring->terse || READ_ONCE(ring->shared->out_cons) == before)
		ring_notify(ring);
	return copied;
}

/* Our extension, in the page's second padding: out_end of struct indexes_page of the daemon. */
void ring_end(struct data_ring *ring)
{
	u32 *out_end = (u32 *)ring->shared->pad2;

	BUILD_BUG_ON(offsetof(struct pvcalls_data_intf, pad2) != 76);
	if (ring->ended)
		return;
	ring->ended = true;
	if (!ring->half_close)
		return;
	/* bytes and their index, then the end */
	virt_wmb();
	WRITE_ONCE(*out_end, 1);
	ring_notify(ring);
}
