/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract between pvcallsd and its policy plugins.
 *
 * A plugin is a shared object that exports one const object, `pvcalls_plugin`, made with
 * PVCALLS_PLUGIN(); everything else in it is hidden. It is loaded into the engine of every guest
 * whose policy names it, and is trusted like the engine itself: it shares its memory, its sandbox
 * and its fate. It links nothing of pvcallsd; what it needs from the host comes as a table of
 * functions.
 *
 * Threads and time: hooks run on the engine's loop, one at a time, never re-entered. A hook does
 * not block, fork, start threads, install signal handlers or exit. The time of each hook is
 * measured; over PVCALLS_HOOK_SLOW_NS is counted, over PVCALLS_HOOK_FAULT_NS is a fault and the
 * call is denied: at once if it slept, the second time in a row if it used the processor, because a
 * hypervisor may take that away unnoticed.
 *
 * Growth: every struct that crosses the border begins with its size and only ever grows at the end.
 * The reader copies the smaller of both sizes and takes the rest as zero. PVCALLS_ABI_MAJOR changes
 * only when that is not enough, and then old plugins are refused.
 */
#ifndef PVCALLS_PLUGIN_H
#define PVCALLS_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PVCALLS_ABI_MAJOR 1u
#define PVCALLS_ABI_MINOR 0u

#define PVCALLS_NAME_MAX   64u  /* bytes of a guest, policy or plugin name, with its NUL */
#define PVCALLS_RULE_MAX   64u  /* bytes of a rule id, with its NUL */
#define PVCALLS_REASON_MAX 128u /* bytes of a reason, with its NUL */

#define PVCALLS_HOOK_SLOW_NS  100000u  /* 100 us: counted */
#define PVCALLS_HOOK_FAULT_NS 5000000u /* 5 ms: a fault, the call is denied */

/* Operations, numbered as on the wire (xen/io/pvcalls.h). Masks are 1u << operation. */
#define PVCALLS_OP_SOCKET  0u
#define PVCALLS_OP_CONNECT 1u
#define PVCALLS_OP_RELEASE 2u
#define PVCALLS_OP_BIND    3u
#define PVCALLS_OP_LISTEN  4u
#define PVCALLS_OP_ACCEPT  5u
#define PVCALLS_OP_POLL    6u
#define PVCALLS_OP_COUNT   7u

/* What a plugin says of a call. Zeroed memory never grants anything. */
#define PVCALLS_DEFER   0u /* no opinion */
#define PVCALLS_ALLOW   1u
#define PVCALLS_DENY    2u /* with error, and a reason for people */
#define PVCALLS_REWRITE 3u /* with endpoint; no opinion on the verdict; connect and bind only */
#define PVCALLS_DELAY \
	4u /* with delay_ns; the call goes on to the next plugin, and waits at the end */

#define PVCALLS_DELAY_MAX_NS 30000000000u /* 30 s; a longer delay is a fault */

/* An address and port. family is 2 (AF_INET, as on the wire) or 0 for "none". */
struct pvcalls_endpoint {
	uint16_t family;
	uint16_t port;    /* host order */
	uint8_t addr[16]; /* network order; an IPv4 address is the first four bytes, the rest is 0
			   */
};

/* The guest that calls: attested by the host, never by the guest. Valid as long as the instance. */
struct pvcalls_guest {
	uint32_t size;
	uint32_t domid;
	char name[PVCALLS_NAME_MAX];
	char uuid[40]; /* 36 characters and NUL; empty if it has none */
};

/* One call, as the host validated it. Constant, and valid during the hook only. */
struct pvcalls_call {
	uint32_t size;
	uint32_t op;           /* PVCALLS_OP_... */
	uint64_t serial;       /* number of this call within its guest's engine */
	uint64_t wall_ns;      /* UTC, nanoseconds since 1970 */
	uint64_t monotonic_ns; /* CLOCK_MONOTONIC */
	const struct pvcalls_guest *guest;
	uint64_t socket; /* host's number of the socket, never reused; accept: of the new socket */
	uint64_t parent; /* accept, and release of an accepted socket: number of the listener; else
			    0 */
	struct pvcalls_endpoint requested; /* connect, bind: as the guest asked; accept: the peer */
	struct pvcalls_endpoint effective; /* connect, bind: after rewrites; else as requested */
	struct pvcalls_endpoint local;     /* listen, accept: the listener's address; release: its
					      own, family 0 if it is not known */
	uint32_t backlog;                  /* listen, after the host's clamp */
	uint32_t flags;                    /* PVCALLS_CALL_... */
	uint64_t bytes_in;                 /* release: bytes delivered to the guest */
	uint64_t bytes_out;                /* release: bytes taken from the guest */
	uint64_t age_ns;                   /* release: time since the socket was created */
};

/* listen: its bind was to port 0 and let through without a rule, for a connect. */
#define PVCALLS_CALL_BOUND_WITHOUT_RULE 1u

/* A plugin's answer; zeroed by the host before the hook. */
struct pvcalls_verdict {
	uint32_t size;
	uint32_t kind;     /* PVCALLS_DEFER ... PVCALLS_DELAY */
	uint32_t error;    /* DENY: an errno of the protocol's table, positive, Linux numbering; 0:
			      EACCES. One that read_errno_for refuses is a fault. */
	uint32_t flags;    /* PVCALLS_VERDICT_... */
	uint64_t delay_ns; /* DELAY */
	struct pvcalls_endpoint endpoint; /* REWRITE */
	uint32_t meter_in;  /* meter for bytes towards the guest, from host->meter(); 0: none */
	uint32_t meter_out; /* meter for bytes from the guest; 0: none */
	uint32_t enforced; /* with AUDIT_ONLY: PVCALLS_DEFER or PVCALLS_ALLOW, what holds instead */
	uint32_t reserved;
	char rule[PVCALLS_RULE_MAX];
	char reason[PVCALLS_REASON_MAX];
};

/*
 * This one verdict (ALLOW or DENY) is recorded but not enforced: a rule with `mode: audit`. The
 * field `enforced` says what the plugin's other rules make of the call.
 */
#define PVCALLS_VERDICT_AUDIT_ONLY 1u
/*
 * For a bind to port 0: what is bound may connect, and not listen. Such a bind needs no rule; this
 * says that it may not have more, though a rule or the default allows it.
 */
#define PVCALLS_VERDICT_CONNECTS_ONLY 2u

/* What came of a call: given to observe hooks. */
struct pvcalls_outcome {
	uint32_t size;
	uint32_t verdict;    /* PVCALLS_ALLOW or PVCALLS_DENY: what was enforced; PVCALLS_DEFER: the
				call ended before anybody was asked */
	int32_t result;      /* 0 or a negative errno: what the guest was told */
	uint32_t rewritten;  /* 1 if effective differs from requested */
	const char *decider; /* "floor", "default", "protocol" or the plugin's name */
	const char *rule;
	const char *reason;
	const char *rewriter; /* if rewritten: the plugin whose address is the effective one ... */
	const char *rewrite_rule; /* ... and its rule; else empty */
	uint32_t unenforced; /* 1: what decided had denied it, and `mode: audit` let it through */
};

/* A value of a plugin's configuration: a tree as in the policy file, with positions for errors. */
struct pvcalls_value;
#define PVCALLS_VALUE_SCALAR 1u
#define PVCALLS_VALUE_LIST   2u
#define PVCALLS_VALUE_MAP    3u

struct pvcalls_set; /* a set of addresses, or a table from addresses to rules; see sets below */

/*
 * Host services, given to create() and valid for the life of the instance. `host` is passed back as
 * the first argument. Functions that fail return a null pointer or a negative number after they
 * reported the error themselves, so a plugin's create() only has to fail in turn.
 */
struct pvcalls_host {
	uint32_t size;
	uint32_t abi_minor;
	void *handle; /* the host's own */

	/* level: 0 error, 1 warning, 2 information, 3 debug. text is escaped and cut to one line.
	 */
	void (*log)(const struct pvcalls_host *host, uint32_t level, const char *text);
	uint64_t (*monotonic_ns)(const struct pvcalls_host *host);
	/* Memory that is freed with the instance; zeroed. Null if there is none left. */
	void *(*alloc)(const struct pvcalls_host *host, size_t size);

	/* Reports an error at a value's position (file:line:column). Returns -1, for `return`. */
	int32_t (*error_at)(const struct pvcalls_host *host, const struct pvcalls_value *at,
			    const char *text);

	/* Reading configuration. A key that was never asked for is an error after create(). */
	uint32_t (*value_kind)(const struct pvcalls_value *value);
	const char *(*value_text)(const struct pvcalls_value *value);
	uint32_t (*value_count)(const struct pvcalls_value *value); /* list or map: its entries */
	const struct pvcalls_value *(*value_item)(const struct pvcalls_value *list, uint32_t index);
	const struct pvcalls_value *(*value_get)(const struct pvcalls_value *map, const char *key);

	/* Typed readers: 0 and *out, or -1 after error_at(). */
	int32_t (*read_u64)(const struct pvcalls_host *host, const struct pvcalls_value *value,
			    uint64_t min, uint64_t max, uint64_t *out);
	/* One of count words: its index. */
	int32_t (*read_choice)(const struct pvcalls_host *host, const struct pvcalls_value *value,
			       const char *const *words, uint32_t count, uint32_t *index);
	/* "200/s", "30/m", "5/h": nanoseconds from one event to the next, 1 to one hour */
	int32_t (*read_rate)(const struct pvcalls_host *host, const struct pvcalls_value *value,
			     uint64_t *interval_ns);
	/* "100Mbit/s", "2MB/s", "512KiB/s": bytes per second */
	int32_t (*read_bandwidth)(const struct pvcalls_host *host,
				  const struct pvcalls_value *value, uint64_t *bytes_per_s);
	/* "10ms", "2s", "5m": nanoseconds */
	int32_t (*read_duration)(const struct pvcalls_host *host, const struct pvcalls_value *value,
				 uint64_t *ns);
	/* an operation or a list of them: a mask of 1u << PVCALLS_OP_..., within allowed */
	int32_t (*read_ops)(const struct pvcalls_host *host, const struct pvcalls_value *value,
			    uint32_t allowed, uint32_t *mask);
	/* an errno's name of the protocol's table, for denying any operation of the plugin: see
	 * read_errno_for */
	int32_t (*read_errno)(const struct pvcalls_host *host, const struct pvcalls_value *value,
			      uint32_t *error);
	/* a dotted IPv4 address */
	int32_t (*read_address)(const struct pvcalls_host *host, const struct pvcalls_value *value,
				uint8_t addr[16]);
	/* a rule's id: checked for shape, and for being unique in this plugin's section */
	int32_t (*read_id)(const struct pvcalls_host *host, const struct pvcalls_value *value,
			   char id[PVCALLS_RULE_MAX]);

	/*
	 * Sets: an ordered list of rules, each matching operations, addresses and ports, compiled
	 * so that a look-up takes the same time for 10 rules and for 100,000. Add all, then build.
	 * match is a map with the optional keys `net` (address, prefix, group name or a list of
	 * these; absent: any address) and `ports` (a port, a range or a list; absent: any port); a
	 * null match is any address and port. A rule without operations keeps its place in the
	 * order and matches nothing. An endpoint of family 0 is matched only by rules without
	 * conditions.
	 */
#define PVCALLS_SET_QUIET 0x80000000u /* with ops: this rule is never named as a near miss */
	struct pvcalls_set *(*set_create)(const struct pvcalls_host *host);
	int32_t (*set_add)(const struct pvcalls_host *host, struct pvcalls_set *set, uint32_t ops,
			   const struct pvcalls_value *match);
	int32_t (*set_build)(const struct pvcalls_host *host, struct pvcalls_set *set);
	/* The index (0 = first added) of the first rule that matches, or -1. */
	int32_t (*set_find)(const struct pvcalls_set *set, uint32_t op,
			    const struct pvcalls_endpoint *endpoint);
	/*
	 * The nearest miss: the rule that came nearest to matching, and in text what kept it away
	 * ("port 8443 is not in 443, 8000-8100"). A rule for another operation is named only where
	 * none is for this one. -1 if there is none.
	 */
	int32_t (*set_near_miss)(const struct pvcalls_set *set, uint32_t op,
				 const struct pvcalls_endpoint *endpoint, char *text, size_t size);

	/*
	 * Meters: token buckets for bytes, which the host applies to the streams they are attached
	 * to by a verdict. One with the same key already made by this plugin for this guest is
	 * returned as it is, with the new rate. 0 if there are too many. A number got outside of
	 * create() is good for the verdict at hand only: a meter that is full and attached to
	 * nothing may make room for another.
	 */
	uint32_t (*meter)(const struct pvcalls_host *host, const char *key, uint64_t bytes_per_s,
			  uint64_t burst_bytes);

	/* Counters, shown by pvcallsctl status as "plugin.name", summed over all guests, and kept
	 * across reloads by name; for names see metrics. */
	void (*count)(const struct pvcalls_host *host, const char *name, uint64_t add);

	/*
	 * The same as read_errno, for denying these operations (a mask). Refused are errnos that a
	 * program takes for success or for "not yet": EINPROGRESS and EALREADY for any, and EAGAIN,
	 * EINTR and EISCONN for connect, and for socket, which frontends send just before it.
	 */
	int32_t (*read_errno_for)(const struct pvcalls_host *host,
				  const struct pvcalls_value *value, uint32_t ops, uint32_t *error);
	/*
	 * What is left of an allowance, kept under the guest's name beyond reloads, the guest's end
	 * and its engine's: that number `number` of rule `id` is full again at until_ns
	 * (CLOCK_MONOTONIC), and when that is, or 0 if nothing is known. For decide and observe. Go
	 * by memory of your own, recall what you do not know yet, and bound it by what the rule can
	 * come to: what is recalled is to be trusted no more than the guest.
	 */
	uint64_t (*recall)(const struct pvcalls_host *host, const char *id, uint64_t number);
	void (*remember)(const struct pvcalls_host *host, const char *id, uint64_t number,
			 uint64_t until_ns);
	/* The same as set_near_miss, and how far off it was: a mask, smaller is nearer; 0: none. */
#define PVCALLS_MISS_PORT      1u
#define PVCALLS_MISS_ADDRESS   2u
#define PVCALLS_MISS_OPERATION 4u
	int32_t (*set_nearest)(const struct pvcalls_set *set, uint32_t op,
			       const struct pvcalls_endpoint *endpoint, char *text, size_t size,
			       uint32_t *misses);
	/*
	 * For create: this instance looks at which address of the host a peer came to. accept has
	 * it as local then, for the price of a system call; without, local is 0.0.0.0 where the
	 * listener's address is, but for peers that came to loopback.
	 */
	void (*want_local)(const struct pvcalls_host *host);
	/*
	 * What a bind to 0.0.0.0 means: the address with this number, from 0, of those of the host
	 * that are not loopback. Returns 0 and the address, its port 0; -1: there is none of that
	 * number. Not more than 1024 are told of. For decide and check.
	 */
	int32_t (*host_address)(const struct pvcalls_host *host, uint32_t number,
				struct pvcalls_endpoint *address);
	/* As error_at, for what is valid and can't have been meant: told, and nothing fails. */
	void (*warn_at)(const struct pvcalls_host *host, const struct pvcalls_value *at,
			const char *text);
	/*
	 * Of a set that is built: whether rule `index`, which has operation op, is never found for
	 * it, since others before it match all that it does. The index of one of those, or -1: it
	 * is found.
	 */
	int32_t (*set_hidden)(const struct pvcalls_set *set, uint32_t index, uint32_t op);
};

/* Whether a host has one of the functions that were added since 1.0. */
#define PVCALLS_HOST_HAS(host, function) \
	((host)->size >= offsetof(struct pvcalls_host, function) + sizeof((host)->function))

/* What a plugin is. */
struct pvcalls_plugin {
	uint32_t size;
	uint16_t abi_major;
	uint16_t abi_minor;
	const char *name; /* as policies name it: [a-z][a-z0-9-]*, and the file is NAME.so */
	const char *version;
	const char *description; /* one line */
	uint32_t ops;   /* mask of the operations it understands: decide is called for no other */
	uint32_t flags; /* 0 */
	const char *schema; /* JSON Schema of its section, or null */

	/* An instance from its section of a policy; null after an error was reported. */
	void *(*create)(const struct pvcalls_host *host, const struct pvcalls_value *section);
	void (*destroy)(void *instance);
	/* Takes over counters and buckets from the instance a reload replaces; optional. */
	void (*inherit)(void *instance, void *previous);
	/* Optional: the guest this instance serves appears (once, after create) and goes. */
	void (*guest_attach)(void *instance, const struct pvcalls_guest *guest);
	void (*guest_detach)(void *instance, const struct pvcalls_guest *guest);
	/* Once per call; may keep state. Optional for plugins that only observe. */
	void (*decide)(void *instance, const struct pvcalls_call *call,
		       struct pvcalls_verdict *verdict);
	/* Stateless, on the address that will really be used, after a rewrite: deny or defer only.
	 */
	void (*check)(void *instance, const struct pvcalls_call *call,
		      struct pvcalls_verdict *verdict);
	/* After the call, for every call of ops: also those that another plugin denied before
	 * decide was asked. */
	void (*observe)(void *instance, const struct pvcalls_call *call,
			const struct pvcalls_outcome *outcome);
	/* A nearest miss for the reason of a default deny: 0 for none, or how far off it is, 1 or
	 * PVCALLS_MISS_..., and the text. Of all plugins' the nearest is told. rule has
	 * PVCALLS_RULE_MAX bytes, reason PVCALLS_REASON_MAX. */
	int32_t (*explain)(void *instance, const struct pvcalls_call *call, char *rule,
			   char *reason);
	/* The first bytes of a stream, copied; reserved: no host calls it before minor 1. */
	void (*first_bytes)(void *instance, const struct pvcalls_call *call, const uint8_t *bytes,
			    size_t count, struct pvcalls_verdict *verdict);
	/* Writes "name value\n" lines, shown by pvcallsctl status as "plugin.name", summed over all
	 * guests; names are 1 to 63 letters, digits, "_", "." and "-", values are decimal. Returns
	 * the bytes written, at most size. */
	size_t (*metrics)(void *instance, char *text, size_t size);
};

#define PVCALLS_EXPORT __attribute__((visibility("default")))

/* Defines the one exported object: PVCALLS_PLUGIN(.name = "drop", .decide = decide, ...); */
#define PVCALLS_PLUGIN(...)                                               \
	extern PVCALLS_EXPORT const struct pvcalls_plugin pvcalls_plugin; \
	PVCALLS_EXPORT const struct pvcalls_plugin pvcalls_plugin = {     \
		.size = sizeof(struct pvcalls_plugin),                    \
		.abi_major = PVCALLS_ABI_MAJOR,                           \
		.abi_minor = PVCALLS_ABI_MINOR,                           \
		__VA_ARGS__}

#ifdef __cplusplus
}
#endif

#endif
