// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * With the module's parameter rogue=1, /proc/pvcalls-rogue can be written. Writing "NAME seed=1
 * count=1000 to=10.0.0.1:80" does what the table below says of NAME, `count` times, and returns
 * when that is done or the backend has ended the session. The same seed does the same again.
 * Reading tells the names and what came of the last one.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/inet.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/proc_fs.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>
#include <xen/page.h>
#include <xen/xenbus.h>

#include "hook_rogue.h"
#include "hook_socket.h"

#define NODE           "device/pvcalls/0"
#define LINE_MAX       128
#define PATIENCE       (5 * HZ)
#define STORM_SIZE     1000
#define STATES         100 /* of a round */
#define STATES_WRITERS 8
#define SLOTS          __CONST_RING_SIZE(xen_pvcalls, XEN_PAGE_SIZE)

static bool rogue;
module_param(rogue, bool, 0600);
MODULE_PARM_DESC(rogue, "let /proc/pvcalls-rogue break the protocol on purpose (0)");

struct run {
	struct rnd_state random;
	unsigned int seed;
	unsigned int count;
	unsigned int port;
	__be32 address;
	unsigned int rounds;  /* done */
	unsigned int granted; /* calls that the backend took for good */
	unsigned int refused; /* calls that it answered with an error */
	unsigned int silent;  /* calls that it did not answer in time */
	int ended;            /* why before `count` */
};

static DEFINE_MUTEX(lock); /* one at a time */
static struct run last;
static char last_name[LINE_MAX] = "nothing";

static u32 draw(struct run *run, u32 below)
{
	return prandom_u32_state(&run->random) % below;
}

/* Numbers that are near limits more often than chance would have it. */
static u32 odd_number(struct run *run)
{
	static const u32 odd[] = {0,  1,   7,   8,          31,         32,
				  33, 511, 512, 0x7fffffff, 0x80000000, 0xffffffff};

	return draw(run, 2) ? odd[draw(run, ARRAY_SIZE(odd))] : prandom_u32_state(&run->random);
}

/* Calls that are well-formed but for the lie. */

struct told_call {
	struct session_call call;
	struct completion answered;
};

static void told_done(struct session_call *call)
{
	complete(&container_of(call, struct told_call, call)->answered);
}

/* Sends it and waits; an unanswered one stays with the session for ever. */
static int tell(struct run *run, const struct xen_pvcalls_request *request)
{
	struct told_call *told = kzalloc(sizeof(*told), GFP_KERNEL);
	struct session_call *call;
	int result;

	if (!told)
		return -ENOMEM;
	call = &told->call;
	call->request = *request;
	call->done = told_done;
	init_completion(&told->answered);
	session_submit(&call, 1);
	if (!wait_for_completion_timeout(&told->answered, PATIENCE)) {
		run->silent++;
		return -ETIMEDOUT;
	}
	result = told->call.result;
	kfree(told);
	if (result)
		run->refused++;
	else
		run->granted++;
	return result == -ENETDOWN ? result : 0;
}

static void fill_socket(struct xen_pvcalls_request *request, u64 id)
{
	*request = (struct xen_pvcalls_request){.cmd = PVCALLS_SOCKET};
	request->u.socket.id = id;
	request->u.socket.domain = AF_INET;
	request->u.socket.type = SOCK_STREAM;
}

static void fill_connect(struct run *run, struct xen_pvcalls_request *request, u64 id,
			 const struct data_ring *ring)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(run->port),
		.sin_addr.s_addr = run->address,
	};

	*request = (struct xen_pvcalls_request){.cmd = PVCALLS_CONNECT};
	request->u.connect.id = id;
	memcpy(request->u.connect.addr, &address, sizeof(address));
	request->u.connect.len = sizeof(address);
	request->u.connect.ref = ring->ref;
	request->u.connect.evtchn = ring->port;
}

/* SOCKET, a CONNECT that lie() has changed, RELEASE. */
static int connect_with(struct run *run, void (*lie)(struct run *run, struct data_ring *ring,
						     struct xen_pvcalls_connect *connect))
{
	struct xen_pvcalls_request request;
	struct session_peer peer;
	struct data_ring *ring;
	u64 id = socket_new_id();
	int error = session_peer(&peer);

	if (error)
		return error;
	ring = ring_get(&peer);
	if (!ring)
		return -ENOBUFS;
	fill_socket(&request, id);
	error = tell(run, &request);
	fill_connect(run, &request, id, ring);
	lie(run, ring, &request.u.connect);
	if (!error)
		error = tell(run, &request);
	request = (struct xen_pvcalls_request){.cmd = PVCALLS_RELEASE};
	request.u.release.id = id;
	if (!error)
		error = tell(run, &request);
	ring_put(ring);
	return error;
}

static void lie_refs(struct run *run, struct data_ring *ring, struct xen_pvcalls_connect *connect)
{
	unsigned int i = draw(run, ring->refs);

	switch (draw(run, 5)) {
	case 0:
		connect->ref = odd_number(run);
		break;
	case 1:
		ring->shared->ref[i] = odd_number(run);
		break;
	case 2:
		ring->shared->ref[i] = ring->data_ref[draw(run, ring->refs)]; /* a page twice */
		break;
	case 3:
		ring->shared->ref[i] = ring->ref; /* the indexes as data */
		break;
	default:
		connect->ref = ring->data_ref[i]; /* data as the indexes */
		break;
	}
}

static void lie_order(struct run *run, struct data_ring *ring, struct xen_pvcalls_connect *connect)
{
	ring->shared->ring_order = draw(run, 2) ? draw(run, 40) : odd_number(run);
}

static void lie_port(struct run *run, struct data_ring *ring, struct xen_pvcalls_connect *connect)
{
	/* Small ones are those of xenstore, the console and the command ring. */
	connect->evtchn = draw(run, 2) ? draw(run, 64) : odd_number(run);
}

static int do_refs(struct run *run)
{
	return connect_with(run, lie_refs);
}

static int do_orders(struct run *run)
{
	return connect_with(run, lie_order);
}

static int do_ports(struct run *run)
{
	return connect_with(run, lie_port);
}

/* The command ring. */

static int do_requests(struct run *run)
{
	struct xen_pvcalls_request request;
	u8 *bytes = (u8 *)&request;
	size_t i;

	for (i = 0; i < sizeof(request); i++)
		bytes[i] = draw(run, 4) ? 0 : draw(run, 256);
	request.cmd = draw(run, 9);
	request.u.socket.id = draw(run, 8);
	/* An ACCEPT of a listener would leave `tell` waiting, and so would each POLL. */
	if (request.cmd == PVCALLS_POLL)
		request.cmd = PVCALLS_ACCEPT;
	if (request.cmd == PVCALLS_ACCEPT)
		request.u.socket.id = 1000 + draw(run, 8);
	return tell(run, &request);
}

/*
 * What the driver's event handler can bear: it believes what it is answered, and an answer repeats
 * the request's number and the id, which it takes for a pointer if the call is POLL.
 */
static void make_bearable(struct xen_pvcalls_request *request)
{
	static u8 scratch[PAGE_SIZE];

	request->req_id %= SLOTS;
	if (request->cmd == PVCALLS_POLL)
		request->u.poll.id = (uintptr_t)scratch;
}

static void scribble_slot(struct run *run, union xen_pvcalls_sring_entry *slot)
{
	union xen_pvcalls_sring_entry odd;
	u8 *bytes = (u8 *)&odd;
	unsigned long flags;
	size_t i;

	for (i = 0; i < sizeof(odd); i++)
		bytes[i] = draw(run, 3) ? draw(run, 8) : draw(run, 256);
	make_bearable(&odd.req);
	local_irq_save(flags);
	*slot = odd;
	local_irq_restore(flags);
}

static int do_command_slots(struct run *run)
{
	int irq;
	struct xen_pvcalls_sring *page = session_page(&irq);
	unsigned int i;

	if (!page)
		return -ENETDOWN;
	for (i = 0; i < SLOTS; i++)
		scribble_slot(run, &page->ring[i]);
	virt_wmb();
	page->req_prod += draw(run, 32);
	notify_remote_via_irq(irq);
	usleep_range(100, 1000);
	return 0;
}

static int do_command_indexes(struct run *run)
{
	int irq;
	struct xen_pvcalls_sring *page = session_page(&irq);

	if (!page)
		return -ENETDOWN;
	switch (draw(run, 4)) {
	case 0:
		page->req_prod = odd_number(run);
		break;
	case 1:
		page->req_event = odd_number(run);
		break;
	case 2:
		page->rsp_prod = odd_number(run);
		break;
	default:
		page->rsp_event = odd_number(run);
		break;
	}
	virt_wmb();
	notify_remote_via_irq(irq);
	usleep_range(100, 1000);
	return 0;
}

/* The data rings of whatever is connected. */

static void scribble_indexes(struct data_ring *ring, void *context)
{
	struct run *run = context;

	if (draw(run, 2))
		ring->shared->in_cons = odd_number(run);
	else
		ring->shared->out_prod = odd_number(run);
	ring_notify(ring);
}

static void scribble_page(struct data_ring *ring, void *context)
{
	u32 *words = (u32 *)ring->shared;
	struct run *run = context;

	words[draw(run, PAGE_SIZE / sizeof(*words))] = odd_number(run);
	ring_notify(ring);
}

static int each_ring(struct run *run, void (*scribble)(struct data_ring *ring, void *context))
{
	struct session_peer peer;
	int error = session_peer(&peer);

	if (error)
		return error;
	sockets_each_ring(scribble, run);
	usleep_range(100, 1000);
	return 0;
}

static int do_data_indexes(struct run *run)
{
	return each_ring(run, scribble_indexes);
}

static int do_data_pages(struct run *run)
{
	return each_ring(run, scribble_page);
}

/* Events and xenstore. */

static void ring_bell(struct data_ring *ring, void *context)
{
	ring_notify(ring);
}

static int do_events(struct run *run)
{
	unsigned int i;
	int irq;

	for (i = 0; i < STORM_SIZE; i++) {
		if (!session_page(&irq))
			return -ENETDOWN;
		notify_remote_via_irq(irq);
		if (i % 100 == 0)
			sockets_each_ring(ring_bell, run);
	}
	return 0;
}

/* The states of a round, and its writers: each write is a round trip to Dom0, so they overlap. */
struct states {
	atomic_t next;
	int error;
	u8 state[STATES];
	struct states_writer {
		struct work_struct work;
		struct states *states;
	} writer[STATES_WRITERS];
};

static void write_states(struct work_struct *work)
{
	struct states *states = container_of(work, struct states_writer, work)->states;
	int next;

	while ((next = atomic_fetch_inc(&states->next)) < STATES) {
		int error = xenbus_printf(XBT_NIL, NODE, "state", "%u", states->state[next]);

		if (error)
			WRITE_ONCE(states->error, error);
	}
}

/* Goes on after the session has ended: xenstore is still there. */
static int do_states(struct run *run)
{
	struct states *states = kzalloc(sizeof(*states), GFP_KERNEL);
	unsigned int i;
	int error;

	if (!states)
		return -ENOMEM;
	for (i = 0; i < STATES; i++)
		states->state[i] = draw(run, 10);
	for (i = 0; i < STATES_WRITERS; i++) {
		states->writer[i].states = states;
		INIT_WORK(&states->writer[i].work, write_states);
		queue_work(system_unbound_wq, &states->writer[i].work);
	}
	for (i = 0; i < STATES_WRITERS; i++)
		flush_work(&states->writer[i].work);
	error = states->error;
	kfree(states);
	return error;
}

static int do_nodes(struct run *run)
{
	static const char *const names[] = {"version",
					    "ring-ref",
					    "port",
					    "feature-names",
					    "feature-names-on-demand",
					    "feature-cancel",
					    "feature-reuse",
					    "feature-shutdown",
					    "state"};
	static const char *const values[] = {
		"",     " ",  "-1",   "1 1",        "99999999999999999999",
		"0x10", "\n", "%s%n", "4294967296", "one"};
	const char *name = names[draw(run, ARRAY_SIZE(names))];

	if (draw(run, 4) == 0)
		return xenbus_printf(XBT_NIL, NODE, name, "%u", odd_number(run));
	return xenbus_write(XBT_NIL, NODE, name, values[draw(run, ARRAY_SIZE(values))]);
}

static const struct {
	const char *name;
	int (*round)(struct run *run);
	const char *what;
} deeds[] = {
	{"requests", do_requests, "random requests, each waited for"},
	{"refs", do_refs, "connects with false grant references"},
	{"orders", do_orders, "connects with false ring orders"},
	{"ports", do_ports, "connects with false event channels"},
	{"command-slots", do_command_slots, "random bytes all over the command ring"},
	{"command-indexes", do_command_indexes, "false indexes of the command ring"},
	{"data-indexes", do_data_indexes, "false indexes of every open connection"},
	{"data-pages", do_data_pages, "random words in every open connection's indexes page"},
	{"events", do_events, "1,000 events each time"},
	{"states", do_states, "100 random xenstore states each time, by 8 writers at once"},
	{"nodes", do_nodes, "nonsense in the frontend's xenstore nodes"},
};

static int find_deed(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(deeds); i++)
		if (!strcmp(deeds[i].name, name))
			return i;
	return -EINVAL;
}

static int parse_word(struct run *run, char *word)
{
	const char *end;

	if (sscanf(word, "seed=%u", &run->seed) == 1 || sscanf(word, "count=%u", &run->count) == 1)
		return 0;
	if (strncmp(word, "to=", 3) || !in4_pton(word + 3, -1, (u8 *)&run->address, ':', &end))
		return -EINVAL;
	return sscanf(end, ":%u", &run->port) == 1 ? 0 : -EINVAL;
}

static int parse(struct run *run, char *line, int *deed)
{
	char *word = strsep(&line, " ");
	int error = 0;

	*deed = find_deed(word);
	while (*deed >= 0 && !error && (word = strsep(&line, " ")))
		error = *word ? parse_word(run, word) : 0;
	return *deed < 0 ? *deed : error;
}

static void perform(struct run *run, int deed)
{
	prandom_seed_state(&run->random, run->seed);
	while (run->rounds < run->count && !run->ended && !fatal_signal_pending(current)) {
		run->ended = deeds[deed].round(run);
		run->rounds++;
		cond_resched();
	}
}

static ssize_t rogue_write(struct file *file, const char __user *buffer, size_t length,
			   loff_t *offset)
{
	struct run run = {.seed = 1, .count = 1000, .port = 9, .address = htonl(INADDR_LOOPBACK)};
	char line[LINE_MAX];
	int deed, error;

	if (!READ_ONCE(rogue))
		return -EPERM;
	if (length >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, buffer, length))
		return -EFAULT;
	line[length] = '\0';
	strim(line);
	error = parse(&run, line, &deed);
	if (error)
		return error;
	mutex_lock(&lock);
	perform(&run, deed);
	last = run;
	strscpy(last_name, deeds[deed].name, sizeof(last_name));
	mutex_unlock(&lock);
	return length;
}

static int rogue_show(struct seq_file *file, void *data)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(deeds); i++)
		seq_printf(file, "%-16s %s\n", deeds[i].name, deeds[i].what);
	mutex_lock(&lock);
	seq_printf(file, "last: %s seed=%u rounds=%u granted=%u refused=%u silent=%u ended=%d\n",
		   last_name, last.seed, last.rounds, last.granted, last.refused, last.silent,
		   last.ended);
	mutex_unlock(&lock);
	return 0;
}

static int rogue_open(struct inode *inode, struct file *file)
{
	return single_open(file, rogue_show, NULL);
}

static const struct proc_ops rogue_ops = {
	.proc_open = rogue_open,
	.proc_read = seq_read,
	.proc_write = rogue_write,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
};

int __init rogue_init(void)
{
	if (!proc_create("pvcalls-rogue", 0600, NULL, &rogue_ops))
		return -ENOMEM;
	return 0;
}

void rogue_exit(void)
{
	remove_proc_entry("pvcalls-rogue", NULL);
}
