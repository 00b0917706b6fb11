/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/lifecycle/engine_sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "policy/host_view/unprivileged_ports.h"

/* Descriptors beside the guest's sockets: loop, queue, bells, netlink, and those about to be reset.
 */
#define SPARE_DESCRIPTORS 64u

/*
 * What serving a guest takes. No open, no exec, no fork, no memory that can be executed. socket()
 * is allowed for AF_INET only: the netlink sockets are open already.
 */
static const int allowed_calls[] = {
	/* loop, clocks, waiting */
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(getrusage),
	SCMP_SYS(sched_yield),
	SCMP_SYS(getcpu),
	SCMP_SYS(restart_syscall),
	/* sockets and streams */
	SCMP_SYS(connect),
	SCMP_SYS(bind),
	SCMP_SYS(listen),
	SCMP_SYS(accept4),
	SCMP_SYS(getsockname),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(shutdown),
	SCMP_SYS(readv),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvfrom),
	/* bells, log, control */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	/* a new policy's text comes as a memfd */
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(lseek),
	SCMP_SYS(pread64),
	/* memory */
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(sysinfo), /* glibc's qsort() asks before it takes memory */
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	/* signals, the end (alarm() is setitimer where there is no such call) */
	SCMP_SYS(alarm),
	SCMP_SYS(setitimer),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(tgkill),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
#ifdef PVCALLS_SANITIZED
	/* what the sanitizers' runtime does beside */
	SCMP_SYS(sigaltstack),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(prctl),
	SCMP_SYS(getrlimit),
	SCMP_SYS(prlimit64),
	SCMP_SYS(readlink),
	SCMP_SYS(openat),
	SCMP_SYS(clone),
	SCMP_SYS(wait4),
	SCMP_SYS(ptrace),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(pipe),
	SCMP_SYS(kill),
	SCMP_SYS(getppid),
	SCMP_SYS(ioctl),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(getdents64),
	SCMP_SYS(process_vm_readv),
#endif
};

int engine_sandbox_drop_privileges(uint32_t uid, bool low_ports, struct fault *fault)
{
	capng_clear(CAPNG_SELECT_BOTH);
	if (low_ports)
		capng_update(CAPNG_ADD,
			     (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET),
			     CAP_NET_BIND_SERVICE);
	if (uid == UINT32_MAX) {
		/* An ordinary user has nothing to give up, and may not touch the bounding set. */
		if (capng_apply(CAPNG_SELECT_CAPS) < 0 && geteuid() == 0)
			return fault_set(fault, EPERM, "capabilities can't be dropped");
	} else if (capng_change_id((int)uid, (int)uid,
				   (capng_flags_t)(CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING)) <
		   0) {
		return fault_set(fault, EPERM, "the engine can't become uid %u: %s", uid,
				 strerror(errno));
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fault_set(fault, errno, "no_new_privs can't be set: %s", strerror(errno));
	return 0;
}

uint32_t engine_sandbox_first_port(void)
{
	bool low_ports = capng_get_caps_process() == 0 &&
			 capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_BIND_SERVICE);

	return low_ports ? 0 : unprivileged_ports_first();
}

int engine_sandbox_raise_limits(uint32_t sockets, struct fault *fault)
{
	struct rlimit files = {.rlim_cur = sockets + SPARE_DESCRIPTORS,
			       .rlim_max = sockets + SPARE_DESCRIPTORS};
	struct rlimit no_core = {0, 0};

	/* A core would hold the guest's memory. */
	if (setrlimit(RLIMIT_CORE, &no_core) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0)
		return fault_set(fault, errno,
				 "no room for %u descriptors: %s; lower engine.sockets in "
				 "pvcallsd.yaml or raise the limit of open files (ulimit -n)",
				 sockets + SPARE_DESCRIPTORS, strerror(errno));
	return 0;
}

/* Where the sanitizers' runtime may make any, a narrower rule can't be added. */
static int engine_sandbox_allow_ioctls(scmp_filter_ctx filter, const struct transport *transport)
{
	int error = 0;
#ifndef PVCALLS_SANITIZED
	size_t i;

	for (i = 0; i < transport->ioctl_count && !error; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
					 SCMP_A1(SCMP_CMP_EQ, transport->ioctls[i], 0));
#else
	(void)filter;
	(void)transport;
#endif
	return error;
}

static int engine_sandbox_add_rules(scmp_filter_ctx filter, const struct transport *transport)
{
	size_t i;
	int error = 0;

	for (i = 0; i < sizeof(allowed_calls) / sizeof(allowed_calls[0]) && !error; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
					 SCMP_A0(SCMP_CMP_EQ, AF_INET, 0));
	/* Not F_SETFL: an eventfd that blocks would stall whoever shares it. */
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
					 SCMP_A1(SCMP_CMP_EQ, F_GETFL, 0));
	/* Of its own only, to run where the guest runs, and before or after its peers. */
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sched_setaffinity), 1,
					 SCMP_A0(SCMP_CMP_EQ, 0, 0));
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setpriority), 2,
					 SCMP_A0(SCMP_CMP_EQ, PRIO_PROCESS, 0),
					 SCMP_A1(SCMP_CMP_EQ, 0, 0));
	/* Only memory that can't be executed. */
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
					 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
					 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!error)
		error = engine_sandbox_allow_ioctls(filter, transport);
	return error;
}

int engine_sandbox_close(const struct transport *transport, struct fault *fault)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int error;

	if (!filter)
		return fault_set(fault, ENOMEM, "no memory for the system call filter");
	error = engine_sandbox_add_rules(filter, transport);
	if (!error)
		error = seccomp_load(filter);
	seccomp_release(filter);
	if (error)
		return fault_set(fault, -error, "the system call filter can't be loaded: %s",
				 strerror(-error));
	return 0;
}
