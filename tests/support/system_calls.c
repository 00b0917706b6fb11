/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "system_calls.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NO_LISTENER_YET (-4096) /* no -errno, no descriptor */

struct counted_thread {
	void (*work)(void *);
	void *owner;
	atomic_int listener; /* a descriptor or -errno, as soon as the filter is there */
};

/* From here on each system call of this thread waits for the listener's answer. */
static int counted_thread_filter(void)
{
	struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	struct sock_fprog program = {.len = 1, .filter = &all};
	long listener;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			   &program);
	return listener < 0 ? -errno : (int)listener;
}

static void *counted_thread_run(void *argument)
{
	struct counted_thread *thread = argument;
	int listener = counted_thread_filter();

	atomic_store(&thread->listener, listener);
	if (listener >= 0)
		thread->work(thread->owner);
	return NULL;
}

/* Notes one call and lets it go on. Returns false if there are no more. */
static bool counted_thread_next(int listener, struct system_calls *counts, system_calls_fn seen,
				void *owner)
{
	struct pollfd event = {.fd = listener, .events = POLLIN};
	struct seccomp_notif call;
	struct seccomp_notif_resp answer = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
	uint32_t number;

	if (poll(&event, 1, -1) < 0)
		return errno == EINTR;
	if (!(event.revents & POLLIN))
		return false;
	memset(&call, 0, sizeof(call));
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
		return errno == EINTR || errno == ENOENT;
	number = (uint32_t)call.data.nr;
	counts->of[number < SYSTEM_CALLS_MAX ? number : SYSTEM_CALLS_MAX - 1]++;
	seen(owner, &call.data);
	answer.id = call.id;
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0 || errno == ENOENT;
}

int system_calls_count(struct system_calls *counts, void (*work)(void *), system_calls_fn seen,
		       void *owner)
{
	struct counted_thread thread = {.work = work, .owner = owner, .listener = NO_LISTENER_YET};
	pthread_t id;
	int listener;
	int error = -pthread_create(&id, NULL, counted_thread_run, &thread);

	if (error)
		return error;
	while ((listener = atomic_load(&thread.listener)) == NO_LISTENER_YET)
		sched_yield();
	while (listener >= 0 && counted_thread_next(listener, counts, seen, owner))
		;
	/* A thread that is held by nobody is let go, with errors. */
	if (listener >= 0)
		close(listener);
	pthread_join(id, NULL);
	return listener < 0 ? listener : 0;
}

uint32_t system_calls_sum(const struct system_calls *counts)
{
	uint32_t sum = 0;
	uint32_t number;

	for (number = 0; number < SYSTEM_CALLS_MAX; number++)
		sum += counts->of[number];
	return sum;
}

const char *system_calls_name(uint32_t number)
{
	static const struct {
		uint32_t number;
		const char *name;
	} names[] = {
		{SYS_socket, "socket"},
		{SYS_connect, "connect"},
		{SYS_accept4, "accept4"},
		{SYS_bind, "bind"},
		{SYS_listen, "listen"},
		{SYS_getsockname, "getsockname"},
		{SYS_getsockopt, "getsockopt"},
		{SYS_setsockopt, "setsockopt"},
		{SYS_shutdown, "shutdown"},
		{SYS_close, "close"},
		{SYS_close_range, "close_range"},
		{SYS_read, "read"},
		{SYS_write, "write"},
		{SYS_readv, "readv"},
		{SYS_writev, "writev"},
		{SYS_recvfrom, "recvfrom"},
		{SYS_sendto, "sendto"},
		{SYS_recvmsg, "recvmsg"},
		{SYS_sendmsg, "sendmsg"},
		{SYS_ioctl, "ioctl"},
		{SYS_ppoll, "ppoll"},
		{SYS_epoll_ctl, "epoll_ctl"},
		{SYS_epoll_pwait, "epoll_pwait"},
		{SYS_epoll_pwait2, "epoll_pwait2"},
#ifdef SYS_epoll_wait
		{SYS_epoll_wait, "epoll_wait"},
		{SYS_poll, "poll"},
#endif
		{SYS_clock_gettime, "clock_gettime"},
		{SYS_getrusage, "getrusage"},
		{SYS_sched_yield, "sched_yield"},
		{SYS_sched_setaffinity, "sched_setaffinity"},
		{SYS_setpriority, "setpriority"},
		{SYS_mmap, "mmap"},
		{SYS_munmap, "munmap"},
		{SYS_madvise, "madvise"},
		{SYS_futex, "futex"},
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].number == number)
			return names[i].name;
	return NULL;
}
