/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. Completing the indices of a full segment takes seconds, and meanwhile the
 * writer must go on taking rows; hence a process of its own. The writer has closed the segment
 * before, so the child's connection is its only writing one; the child touches none of the
 * connections it inherited. It dies with its parent and can be cut short at any point.
 */
#include "audit/auditd/sealer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/store/segment.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"

#define SEALER_RETRY_NS (10 * NS_PER_S) /* a reader may have the segment open */
#define SEALER_NICE     10

/* The oldest segment that waits to be sealed; 0: none. */
static uint64_t sealer_find(const char *dir, uint64_t live)
{
	struct segment *list = NULL;
	size_t count = 0;
	uint64_t found = 0;
	if (segment_list(dir, &list, &count) < 0)
		return 0;
	for (size_t i = 0; i < count && found == 0; i++) {
		if (!list[i].sealed && list[i].number < live)
			found = list[i].number;
	}
	free(list);
	return found;
}

__attribute__((noreturn)) static void sealer_child_run(const struct sealer *sealer,
						       struct store *store, uint64_t number)
{
	struct fault fault = {0};
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpriority(PRIO_PROCESS, 0, SEALER_NICE);
	store_forked(store);
	int error = segment_seal(sealer->dir, number, clock_wall_ns(), &fault);
	if (error < 0)
		log_warning(sealer->log, "a segment can't be sealed yet: %s", fault.text);
	_exit(error == 0 ? 0 : 1);
}

static void sealer_reap(struct sealer *sealer, uint64_t now_ns)
{
	int status = 0;
	if (waitpid(sealer->child, &status, WNOHANG) != sealer->child)
		return;
	sealer->child = 0;
	fd_close(&sealer->pidfd);
	sealer->retry_ns =
		WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : now_ns + SEALER_RETRY_NS;
}

uint64_t sealer_turn(struct sealer *sealer, struct store *store, uint64_t now_ns)
{
	if (sealer->child != 0)
		sealer_reap(sealer, now_ns);
	if (sealer->child != 0)
		return UINT64_MAX;
	if (now_ns < sealer->retry_ns)
		return sealer->retry_ns;
	uint64_t live = store_segment(store);
	ASSERT(live > 0);
	uint64_t number = sealer->seen != live ? sealer_find(sealer->dir, live) : 0;
	if (number == 0) {
		sealer->seen = live;
		return UINT64_MAX;
	}
	pid_t child = fork();
	if (child == 0)
		sealer_child_run(sealer, store, number);
	if (child < 0) {
		sealer->retry_ns = now_ns + SEALER_RETRY_NS;
		return sealer->retry_ns;
	}
	sealer->child = child;
	sealer->pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	return UINT64_MAX;
}

void sealer_stop(struct sealer *sealer)
{
	if (sealer->child == 0)
		return;
	kill(sealer->child, SIGKILL);
	waitpid(sealer->child, NULL, 0);
	sealer->child = 0;
	fd_close(&sealer->pidfd);
}
