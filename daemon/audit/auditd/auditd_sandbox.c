/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit/auditd/auditd_sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

/* Sanitizers make system calls of their own when they report, and need /proc. */
#ifdef PVCALLS_SANITIZED
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static int auditd_sandbox_become(uint32_t uid, struct fault *fault)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_BOUNDS) != 0)
		return fault_set(fault, EPERM, "capabilities can't be dropped: start as root");
	if (chroot(".") < 0)
		return fault_set(fault, errno, "chroot into the audit folder: %s", strerror(errno));
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return fault_set(fault, errno, "becoming uid %u: %s", uid, strerror(errno));
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return fault_set(fault, EPERM, "capabilities can't be dropped");
	return 0;
}

int auditd_sandbox_files(int folder, uint32_t uid, struct fault *fault)
{
	if (fchdir(folder) < 0)
		return fault_set(fault, errno, "descriptor %d is not the audit folder: %s", folder,
				 strerror(errno));
	int error = uid != AUDITD_SANDBOX_STAY && geteuid() == 0 ? auditd_sandbox_become(uid, fault)
								 : 0;
	if (error == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		error = fault_set(fault, errno, "no_new_privs: %s", strerror(errno));
	return error;
}

static const int allowed[] = {
	/* records, messages, sleep */
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(preadv2),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getrandom),
	SCMP_SYS(close),
	/* the trail */
	SCMP_SYS(openat),
	SCMP_SYS(open),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(lseek),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(chmod),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(fchown),
	SCMP_SYS(utimensat),
	SCMP_SYS(getdents64),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(getcwd),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(flock),
	/* memory and the process itself */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(tgkill),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(uname),
	/* the process that seals */
	SCMP_SYS(wait4),
	SCMP_SYS(kill),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(prctl),
	SCMP_SYS(setpriority),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
};

/* clone() only as fork() uses it, memory only if it can't be executed. */
static int auditd_sandbox_allow_bounded(scmp_filter_ctx filter)
{
	const scmp_datum_t fork_flags = 0xff | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
	int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, ~fork_flags, 0));
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
					 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
					 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return error;
}

int auditd_sandbox_calls(struct fault *fault)
{
	if (SANITIZED)
		return 0;
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!filter)
		return fault_set(fault, ENOMEM, "no memory for the system call filter");
	int error = auditd_sandbox_allow_bounded(filter);
	for (size_t i = 0; error == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (error == 0)
		error = seccomp_load(filter);
	seccomp_release(filter);
	if (error < 0)
		return fault_set(fault, -error, "the system call filter: %s", strerror(-error));
	return 0;
}
