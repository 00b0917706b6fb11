// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Takes AF_INET from the kernel's own TCP/IP: stream sockets of programs become PV Calls sockets,
 * everything else (UDP, raw, sockets of the kernel itself) still goes to TCP/IP.
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/net.h>
#include <net/sock.h>

#include "hook_rogue.h"
#include "hook_socket.h"

static const struct net_proto_family *original;

static const struct proto_ops hook_ops = {
	.family = PF_INET,
	.owner = THIS_MODULE,
	.release = socket_release,
	.bind = socket_bind,
	.connect = socket_connect,
	.socketpair = sock_no_socketpair,
	.accept = socket_accept,
	.getname = socket_getname,
	.poll = socket_poll,
	.ioctl = socket_ioctl,
	.gettstamp = sock_gettstamp,
	.listen = socket_listen,
	.shutdown = socket_shutdown,
	.setsockopt = socket_setsockopt,
	.getsockopt = socket_getsockopt,
	.sendmsg = socket_sendmsg,
	.recvmsg = socket_recvmsg,
	.mmap = sock_no_mmap,
	.sendpage = sock_no_sendpage,
};

static int hook_create(struct net *net, struct socket *sock, int protocol, int kern)
{
	/* Users of TCP inside the kernel look into their sockets, so they get the real thing. */
	if (kern || sock->type != SOCK_STREAM)
		return original ? original->create(net, sock, protocol, kern) : -ESOCKTNOSUPPORT;
	if (protocol && protocol != IPPROTO_TCP)
		return -EPROTONOSUPPORT;
	sock->ops = &hook_ops;
	return socket_create(net, sock, kern);
}

static const struct net_proto_family hook_family = {
	.family = PF_INET,
	.create = hook_create,
	.owner = THIS_MODULE,
};

/* The kernel exports neither inet_family_ops nor the way to look for it; a probe finds the latter.
 */
static const struct net_proto_family *find_original(void)
{
	unsigned long (*lookup)(const char *name);
	struct kprobe probe = {.symbol_name = "kallsyms_lookup_name"};

	if (register_kprobe(&probe))
		return NULL;
	lookup = (void *)probe.addr;
	unregister_kprobe(&probe);
	return (const struct net_proto_family *)lookup("inet_family_ops");
}

static int __init hook_init(void)
{
	int error = sockets_init();

	if (error)
		return error;
	original = find_original();
	if (!original) {
		pr_warn("pvcalls-hook: TCP/IP's family was not found: no UDP, and no unloading\n");
		__module_get(THIS_MODULE);
	}
	error = session_register();
	if (error)
		goto out_sockets;
	sock_unregister(PF_INET);
	error = sock_register(&hook_family);
	if (!error)
		error = rogue_init();
	if (!error)
		return 0;
	sock_unregister(PF_INET);
	if (original)
		sock_register(original);
	session_unregister();
out_sockets:
	sockets_exit();
	return error;
}

/* Not reached while a socket of ours exists: each one holds the module. */
static void __exit hook_exit(void)
{
	rogue_exit();
	sock_unregister(PF_INET);
	sock_register(original);
	session_unregister();
	sockets_exit();
}

module_init(hook_init);
module_exit(hook_exit);
MODULE_ALIAS("xen:pvcalls");
MODULE_LICENSE("GPL");
