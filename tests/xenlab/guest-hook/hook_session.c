// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * The driver's source is included here, unmodified, because it exports nothing. Of it are used: the
 * probe (features, command ring, event channel, xenstore nodes) and the event handler, which copies
 * each response to rsp[req_id] and wakes inflight_req. A wait queue entry of our own hangs there:
 * its function collects what was answered, in the interrupt, and sends what waited for room.
 *
 * What may wait for long, CONNECT and ACCEPT, never takes the last slots of the ring. A backend
 * with feature-park gives their slots back: it answers "later" with a ticket, and tells the outcome
 * by the answer to a COLLECT, of which some are in flight while calls are parked.
 *
 * The driver probes once and never again. Here the probe waits until the backend has written its
 * features (state InitWait), and starts again when the backend comes back after it has gone.
 */
#include <linux/module.h>
#include <linux/mutex.h>

#include "hook_session.h"

/* The driver's own entry point is called by ours. */
#undef module_init
#define module_init(function)                       \
	static int __init session_driver_init(void) \
	{                                           \
		return function();                  \
	}
#include "pvcalls-front.c"

/* So many unanswered ACCEPTs of the ring's 32 slots are worth a warning. */
#define LOST_SLOTS_WARN 8
/* CONNECT and ACCEPT in flight; the other slots are for calls that end at once ... */
#define LONG_CALLS_MAX 24
/* ... and of these, one kind, so that listeners and connects don't keep each other waiting. */
#define LONG_CALLS_SHARE 20

/* feature-park, as daemon/ring/layout.h has it: answers to calls that wait come without a slot. */
#define PARKED_MAX   4096
#define COLLECT      0x100
#define COLLECTS_MAX 4 /* in flight */

static bool extensions = true;
module_param(extensions, bool, 0444);
MODULE_PARM_DESC(extensions, "use what pvcallsd offers beyond the protocol (Y)");

/* What a call's answer waits for. */
enum wait { WAIT_NONE, WAIT_NETWORK, WAIT_PEER, WAITS };

static struct {
	spinlock_t lock;
	struct pvcalls_bedata *bedata; /* NULL: no backend */
	domid_t domid;
	unsigned int order_max;
	unsigned int generation;
	unsigned int lost_slots;
	bool names;           /* the backend writes names into the indexes page ... */
	bool names_on_demand; /* ... and a socket's own when it is asked for */
	bool cancel;          /* it answers ACCEPTs of released listeners */
	bool reuse;           /* it keeps pages mapped that come again */
	bool half_close;      /* it takes the end of what a socket writes */
	struct wait_queue_entry collector;
	bool parks;                      /* it takes calls that wait out of the ring */
	struct list_head waiting[WAITS]; /* for room, first come first */
	struct session_call *inflight[PVCALLS_NR_RSP_PER_RING];
	unsigned int inflight_of[WAITS];
	struct session_call *parked[PARKED_MAX]; /* by their tickets modulo PARKED_MAX */
	unsigned int parked_count;
	struct session_call collect; /* in flight for each COLLECT */
	unsigned int collects;
	struct mutex life; /* begin and end of the session */
} session = {
	.lock = __SPIN_LOCK_UNLOCKED(session.lock),
	.waiting = {LIST_HEAD_INIT(session.waiting[WAIT_NONE]),
		    LIST_HEAD_INIT(session.waiting[WAIT_NETWORK]),
		    LIST_HEAD_INIT(session.waiting[WAIT_PEER])},
	.collect.request.cmd = COLLECT,
	.life = __MUTEX_INITIALIZER(session.life),
};

static int free_id(void)
{
	int id;

	for (id = 0; id < PVCALLS_NR_RSP_PER_RING; id++)
		if (!session.inflight[id])
			return id;
	return -1;
}

static enum wait wait_of(const struct session_call *call)
{
	switch (call->request.cmd) {
	case PVCALLS_CONNECT:
		return WAIT_NETWORK;
	case PVCALLS_ACCEPT:
		return WAIT_PEER;
	default:
		return WAIT_NONE;
	}
}

/* Whether a call of this kind may have one more slot. */
static bool has_share(enum wait wait)
{
	unsigned int others = session.inflight_of[WAIT_NETWORK] + session.inflight_of[WAIT_PEER];

	return wait == WAIT_NONE ||
	       (others < LONG_CALLS_MAX &&
		(session.parks || session.inflight_of[wait] < LONG_CALLS_SHARE));
}

/* There is room for it. */
static void send_call(struct session_call *call, int id)
{
	struct pvcalls_bedata *bedata = session.bedata;
	struct xen_pvcalls_request *request =
		RING_GET_REQUEST(&bedata->ring, bedata->ring.req_prod_pvt);

	*request = call->request;
	request->req_id = id;
	bedata->ring.req_prod_pvt++;
	session.inflight[id] = call;
	session.inflight_of[wait_of(call)]++;
}

/* A COLLECT if there are too few, or the next call that may go out; NULL: none. */
static struct session_call *next_call(void)
{
	struct session_call *call = NULL;
	enum wait wait;

	if (session.collects < min_t(unsigned int, session.parked_count, COLLECTS_MAX)) {
		session.collects++;
		return &session.collect;
	}
	for (wait = WAIT_NONE; wait < WAITS && !call; wait++)
		if (has_share(wait))
			call = list_first_entry_or_null(&session.waiting[wait], struct session_call,
							node);
	if (call)
		list_del_init(&call->node);
	return call;
}

/* The lock is held. */
static void send_waiting(void)
{
	struct pvcalls_bedata *bedata = session.bedata;
	struct session_call *call;
	bool sent = false;
	int notify, id;

	while (!RING_FULL(&bedata->ring) && (id = free_id()) >= 0 && (call = next_call())) {
		send_call(call, id);
		sent = true;
	}
	if (!sent)
		return;
	RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&bedata->ring, notify);
	if (notify)
		notify_remote_via_irq(bedata->irq);
}

/* Outside the lock. Results were stored before, so that one call can look at another's. */
static void finish(struct list_head *answered)
{
	while (!list_empty(answered)) {
		struct session_call *call = list_first_entry(answered, struct session_call, node);

		list_del_init(&call->node);
		call->done(call);
	}
}

static void answer(struct session_call *call, int result, u32 port, struct list_head *answered)
{
	call->result = result;
	call->port = port;
	call->answered = true;
	list_add_tail(&call->node, answered);
}

/* The call has no slot any more. False: the last one with this place was not told of yet. */
static bool park(struct session_call *call, u32 ticket)
{
	struct session_call **place = &session.parked[ticket % PARKED_MAX];

	if (*place)
		return false;
	call->ticket = ticket;
	*place = call;
	session.parked_count++;
	return true;
}

/* The outcome of a parked call. False: it was not parked yet. */
static bool unpark(const struct xen_pvcalls_response *response, struct list_head *answered)
{
	u64 ticket = response->u.poll.id;
	struct session_call **place = &session.parked[ticket % PARKED_MAX];

	if (!*place || (*place)->ticket != ticket)
		return false;
	answer(*place, response->ret, response->pad, answered);
	*place = NULL;
	session.parked_count--;
	session.collects--;
	return true;
}

/* False: something else is to be taken first. */
static bool take_answer(struct session_call *call, const struct xen_pvcalls_response *response,
			struct list_head *answered)
{
	if (call == &session.collect)
		return unpark(response, answered);
	if (session.parks && response->ret == -EINPROGRESS)
		return park(call, response->pad);
	answer(call, response->ret, response->pad, answered);
	return true;
}

static void fail_inflight(int error, struct list_head *answered)
{
	int id;

	for (id = 0; id < PVCALLS_NR_RSP_PER_RING; id++) {
		if (session.inflight[id] && session.inflight[id] != &session.collect)
			answer(session.inflight[id], error, 0, answered);
		session.inflight[id] = NULL;
	}
	for (id = 0; id < PARKED_MAX; id++) {
		if (session.parked[id])
			answer(session.parked[id], error, 0, answered);
		session.parked[id] = NULL;
	}
	memset(session.inflight_of, 0, sizeof(session.inflight_of));
	session.parked_count = 0;
	session.collects = 0;
}

/* Takes what can be taken of what was answered. Returns whether some more can be taken now. */
static bool collect_some(struct list_head *answered)
{
	struct pvcalls_bedata *bedata = session.bedata;
	bool taken = false;
	bool left = false;
	int id;

	for (id = 0; id < PVCALLS_NR_RSP_PER_RING; id++) {
		struct session_call *call = session.inflight[id];
		struct xen_pvcalls_response *response = &bedata->rsp[id];

		if (READ_ONCE(response->req_id) != id)
			continue;
		/* read req_id, then the content */
		smp_rmb();
		if (call && !take_answer(call, response, answered)) {
			left = true;
			continue;
		}
		if (call)
			session.inflight_of[wait_of(call)]--;
		session.inflight[id] = NULL;
		response->req_id = PVCALLS_INVALID_ID;
		taken = true;
	}
	return taken && left;
}

/* In which order they were answered the driver's handler doesn't tell. */
static void collect_answers(struct list_head *answered)
{
	if (READ_ONCE(session.bedata->disabled))
		fail_inflight(-EIO, answered);
	while (collect_some(answered))
		;
}

static int collect(struct wait_queue_entry *entry, unsigned int mode, int sync, void *key)
{
	LIST_HEAD(answered);
	unsigned long flags;

	spin_lock_irqsave(&session.lock, flags);
	if (session.bedata) {
		collect_answers(&answered);
		send_waiting();
	}
	spin_unlock_irqrestore(&session.lock, flags);
	finish(&answered);
	return 0;
}

/* Its socket is released, and the RELEASE would overtake it. */
static void drop_unsent(struct list_head *waiting, u64 id, struct list_head *answered)
{
	struct session_call *call, *next;

	list_for_each_entry_safe(call, next, waiting, node)
	{
		if (call->request.u.release.id != id)
			continue;
		list_del_init(&call->node);
		answer(call, -ECONNABORTED, 0, answered);
	}
}

void session_submit(struct session_call *const calls[], unsigned int count)
{
	LIST_HEAD(answered);
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&session.lock, flags);
	for (i = 0; i < count; i++) {
		calls[i]->answered = false;
		if (calls[i]->request.cmd == PVCALLS_RELEASE) {
			drop_unsent(&session.waiting[WAIT_NETWORK], calls[i]->request.u.release.id,
				    &answered);
			drop_unsent(&session.waiting[WAIT_PEER], calls[i]->request.u.release.id,
				    &answered);
		}
		if (session.bedata && !READ_ONCE(session.bedata->disabled))
			list_add_tail(&calls[i]->node, &session.waiting[wait_of(calls[i])]);
		else
			answer(calls[i], -ENETDOWN, 0, &answered);
	}
	if (session.bedata)
		send_waiting();
	spin_unlock_irqrestore(&session.lock, flags);
	finish(&answered);
}

bool session_forget(struct session_call *call)
{
	bool forgotten = false;
	unsigned long flags;
	int id;

	spin_lock_irqsave(&session.lock, flags);
	for (id = 0; id < PVCALLS_NR_RSP_PER_RING; id++) {
		if (session.inflight[id] != call || session.cancel)
			continue;
		session.inflight[id] = NULL;
		session.inflight_of[WAIT_PEER]--;
		forgotten = true;
		/* The ring has room for 32 requests without answer, and this one stays. */
		if (++session.lost_slots >= LOST_SLOTS_WARN)
			pr_warn("pvcalls-hook: %u of 32 slots of the command ring are lost to listeners that were closed while they waited\n",
				session.lost_slots);
	}
	spin_unlock_irqrestore(&session.lock, flags);
	return forgotten;
}

int session_peer(struct session_peer *peer)
{
	int error = -ENETDOWN;
	unsigned long flags;

	spin_lock_irqsave(&session.lock, flags);
	if (session.bedata) {
		*peer = (struct session_peer){
			.domid = session.domid,
			.order_max = session.order_max,
			.generation = session.generation,
			.names = session.names,
			.names_on_demand = session.names_on_demand,
			.reuse = session.reuse,
			.half_close = session.half_close,
		};
		error = 0;
	}
	spin_unlock_irqrestore(&session.lock, flags);
	return error;
}

struct xen_pvcalls_sring *session_page(int *irq)
{
	struct pvcalls_bedata *bedata = session.bedata;

	if (!bedata)
		return NULL;
	*irq = bedata->irq;
	return bedata->ring.sring;
}

const char *session_node(void)
{
	return pvcalls_front_dev ? pvcalls_front_dev->nodename : NULL;
}

static bool backend_has(struct xenbus_device *dev, const char *feature)
{
	return extensions && xenbus_read_unsigned(dev->otherend, feature, 0) == 1;
}

/* Features are taken back if the backend has none of them: it may be another than last time. */
static int write_features(struct xenbus_device *dev, const struct session_peer *offered,
			  bool cancel, bool parks)
{
	const struct {
		const char *node;
		bool wanted;
	} features[] = {
		{"feature-names", offered->names},
		{"feature-names-on-demand", offered->names_on_demand},
		{"feature-cancel", cancel},
		{"feature-reuse", offered->reuse},
		{"feature-shutdown", offered->half_close},
		{"feature-park", parks},
	};
	unsigned int i;
	int error = 0;

	for (i = 0; i < ARRAY_SIZE(features) && !error; i++)
		error = xenbus_printf(XBT_NIL, dev->nodename, features[i].node, "%d",
				      features[i].wanted);
	return error;
}

/* The mutex is held. */
static int session_begin(struct xenbus_device *dev)
{
	const struct session_peer offered = {
		.names = backend_has(dev, "feature-names"),
		.names_on_demand = backend_has(dev, "feature-names-on-demand"),
		.reuse = backend_has(dev, "feature-reuse"),
		.half_close = backend_has(dev, "feature-shutdown"),
	};
	bool cancel = backend_has(dev, "feature-cancel");
	bool parks = backend_has(dev, "feature-park");
	unsigned int order_max = xenbus_read_unsigned(dev->otherend, "max-page-order", 1);
	struct pvcalls_bedata *bedata;
	unsigned long flags;
	int error = write_features(dev, &offered, cancel, parks);

	if (!error)
		error = pvcalls_front_probe(dev, NULL);
	if (error)
		return error;
	bedata = dev_get_drvdata(&dev->dev);
	init_waitqueue_func_entry(&session.collector, collect);
	add_wait_queue(&bedata->inflight_req, &session.collector);
	spin_lock_irqsave(&session.lock, flags);
	session.bedata = bedata;
	session.domid = dev->otherend_id;
	session.order_max = order_max;
	session.names = offered.names;
	session.names_on_demand = offered.names_on_demand;
	session.cancel = cancel;
	session.reuse = offered.reuse;
	session.half_close = offered.half_close;
	session.parks = parks;
	session.lost_slots = 0;
	session.generation++;
	spin_unlock_irqrestore(&session.lock, flags);
	return 0;
}

static void fail_waiting(struct list_head *waiting, struct list_head *answered)
{
	struct session_call *call, *next;

	list_for_each_entry_safe(call, next, waiting, node)
	{
		list_del_init(&call->node);
		answer(call, -ENETDOWN, 0, answered);
	}
}

/*
 * Instead of the driver's remove: there is nothing of its sockets to remove, and its way to free
 * the page (kfree of a page, which may still be mapped by the backend) is not the right one.
 */
static void session_end(struct xenbus_device *dev)
{
	struct pvcalls_bedata *bedata;
	LIST_HEAD(answered);
	unsigned long flags;
	enum wait wait;

	spin_lock_irqsave(&session.lock, flags);
	bedata = session.bedata;
	session.bedata = NULL;
	session.generation++;
	fail_inflight(-ENETDOWN, &answered);
	for (wait = WAIT_NONE; wait < WAITS; wait++)
		fail_waiting(&session.waiting[wait], &answered);
	spin_unlock_irqrestore(&session.lock, flags);
	if (!bedata)
		return;
	dev_set_drvdata(&dev->dev, NULL);
	pvcalls_front_dev = NULL;
	unbind_from_irqhandler(bedata->irq, dev);
	remove_wait_queue(&bedata->inflight_req, &session.collector);
	finish(&answered);
	gnttab_end_foreign_access(bedata->ref, virt_to_page(bedata->ring.sring));
	kfree(bedata);
	sockets_lost();
}

static int hook_probe(struct xenbus_device *dev, const struct xenbus_device_id *id)
{
	int error = 0;

	/* The rest follows when the backend has written its features. */
	if (xenbus_read_driver_state(dev->otherend) < XenbusStateInitWait)
		return 0;
	mutex_lock(&session.life);
	if (!session.bedata)
		error = session_begin(dev);
	mutex_unlock(&session.life);
	return error;
}

/* The backend has gone, but the device has not: we can begin again when it comes back. */
static void ask_again(struct xenbus_device *dev)
{
	if (xenbus_read_unsigned(dev->otherend, "online", 0))
		xenbus_switch_state(dev, XenbusStateInitialising);
}

static void hook_changed(struct xenbus_device *dev, enum xenbus_state state)
{
	int error;

	mutex_lock(&session.life);
	switch (state) {
	case XenbusStateInitWait:
		if (session.bedata && dev->state == XenbusStateInitialised)
			break; /* it has not looked yet */
		session_end(dev);
		error = session_begin(dev);
		if (error)
			dev_err(&dev->dev, "no session with the backend: %d\n", error);
		break;
	case XenbusStateClosing:
	case XenbusStateClosed:
		session_end(dev);
		pvcalls_front_changed(dev, state);
		if (state == XenbusStateClosed)
			ask_again(dev);
		break;
	case XenbusStateConnected:
		if (session.bedata)
			pvcalls_front_changed(dev, state);
		break;
	default:
		break;
	}
	mutex_unlock(&session.life);
}

static void hook_remove(struct xenbus_device *dev)
{
	mutex_lock(&session.life);
	session_end(dev);
	mutex_unlock(&session.life);
	xenbus_switch_state(dev, XenbusStateClosed);
}

int __init session_register(void)
{
	pvcalls_front_driver.probe = hook_probe;
	pvcalls_front_driver.otherend_changed = hook_changed;
	pvcalls_front_driver.remove = hook_remove;
	return session_driver_init();
}

void session_unregister(void)
{
	xenbus_unregister_driver(&pvcalls_front_driver);
}
