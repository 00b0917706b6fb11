/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_xen.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>

#define NODES 32
#define PAGE  4096u

struct fake_xen fake_xen = {.driver = -1};

static struct {
	char path[96];
	char value[96];
} nodes[NODES];

static bool watched;
static unsigned events; /* watch events that were not read */
static int watch_fd = -1;
static int channels_fd = -1;
static bool in_transaction;

static int fake_xen_find(const char *path)
{
	int i;

	for (i = 0; i < NODES; i++)
		if (strcmp(nodes[i].path, path) == 0)
			return i;
	return -1;
}

const char *fake_xen_node(const char *path)
{
	int i = fake_xen_find(path);

	return i < 0 ? NULL : nodes[i].value;
}

static void fake_xen_put(const char *path, const char *value)
{
	int i = fake_xen_find(path);

	if (i < 0)
		i = fake_xen_find("");
	assert(i >= 0);
	snprintf(nodes[i].path, sizeof(nodes[i].path), "%s", path);
	snprintf(nodes[i].value, sizeof(nodes[i].value), "%s", value);
}

static void fake_xen_tell(void)
{
	const uint64_t one = 1;

	if (!watched)
		return;
	events++;
	assert(write(watch_fd, &one, sizeof(one)) == sizeof(one));
}

void fake_xen_set(const char *path, const char *value)
{
	fake_xen_put(path, value);
	if (strcmp(path, FAKE_BACKEND "/state") == 0)
		fake_xen_tell();
}

void fake_xen_remove(void)
{
	memset(nodes, 0, sizeof(nodes));
	fake_xen_tell();
}

void fake_xen_reset(const char *own_state, const char *backend_state)
{
	if (fake_xen.driver >= 0)
		close(fake_xen.driver);
	fake_xen = (struct fake_xen){.driver = -1};
	memset(nodes, 0, sizeof(nodes));
	watched = false;
	fake_xen_put(FAKE_DEVICE "/backend", FAKE_BACKEND);
	fake_xen_put(FAKE_DEVICE "/backend-id", "0");
	fake_xen_put(FAKE_DEVICE "/state", own_state);
	fake_xen_put(FAKE_BACKEND "/state", backend_state);
	fake_xen_put(FAKE_BACKEND "/versions", "1");
	fake_xen_put(FAKE_BACKEND "/max-page-order", "4");
	fake_xen_put(FAKE_BACKEND "/function-calls", "1");
}

/* What the real backends answer to a frontend's state. */
static void fake_xen_answer(const char *state)
{
	static const char *const answers[] = {NULL, "2", NULL, "4", NULL, "5", "6"};
	const char *now = answers[(*state - '0') % 7];

	snprintf(fake_xen.said + strlen(fake_xen.said), 2, "%.1s", state);
	if (*state == '3' && fake_xen.refuse)
		now = "5";
	if (now && !fake_xen.mute)
		fake_xen_set(FAKE_BACKEND "/state", now);
}

/* --- libxenstore --- */

struct xs_handle *xs_open(unsigned long flags)
{
	(void)flags;
	errno = ENOENT;
	if (fake_xen.no_xenstore)
		return NULL;
	watch_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	events = 0;
	return (struct xs_handle *)&fake_xen;
}

void xs_close(struct xs_handle *xsh)
{
	(void)xsh;
	close(watch_fd);
	watch_fd = -1;
	watched = false;
}

int xs_fileno(struct xs_handle *h)
{
	(void)h;
	return watch_fd;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
	const char *value = fake_xen_node(path);

	(void)h;
	(void)t;
	errno = ENOENT;
	if (!value)
		return NULL;
	*len = (unsigned int)strlen(value);
	return strdup(value);
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
	      unsigned int len)
{
	char value[96];

	(void)h;
	snprintf(value, sizeof(value), "%.*s", (int)len, (const char *)data);
	fake_xen.plain += t == XBT_NULL;
	assert(in_transaction == (t != XBT_NULL));
	if (t != XBT_NULL && fake_xen.conflicts > 0)
		return true;
	fake_xen_put(path, value);
	if (strcmp(path, FAKE_DEVICE "/state") == 0)
		fake_xen_answer(value);
	return true;
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	(void)h;
	in_transaction = true;
	return 1;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
	(void)h;
	(void)t;
	in_transaction = false;
	errno = EAGAIN;
	if (abort)
		return true;
	if (fake_xen.conflicts > 0) {
		fake_xen.conflicts--;
		return false;
	}
	fake_xen.transactions++;
	return true;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	(void)h;
	(void)token;
	assert(strcmp(path, FAKE_BACKEND "/state") == 0);
	watched = true;
	fake_xen_tell();
	return true;
}

char **xs_check_watch(struct xs_handle *h)
{
	uint64_t count;

	(void)h;
	if (events == 0) {
		(void)!read(watch_fd, &count, sizeof(count));
		errno = EAGAIN;
		return NULL;
	}
	events--;
	return calloc(1, 2 * sizeof(char *));
}

/* --- libxengnttab --- */

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned open_flags)
{
	(void)logger;
	(void)open_flags;
	return (xengntshr_handle *)&fake_xen;
}

int xengntshr_close(xengntshr_handle *xgs)
{
	(void)xgs;
	return 0;
}

int xengntshr_fd(xengntshr_handle *xgs)
{
	(void)xgs;
	return -1;
}

void *xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs,
			    int writable)
{
	void *pages;
	int i;

	(void)xgs;
	(void)domid;
	assert(writable);
	errno = ENOSPC;
	if (fake_xen.limit && fake_xen.pages + (uint32_t)count > fake_xen.limit)
		return NULL;
	pages = mmap(NULL, (size_t)count * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	assert(pages != MAP_FAILED);
	for (i = 0; i < count; i++)
		refs[i] = 8 + fake_xen.pages++;
	return pages;
}

int xengntshr_unshare(xengntshr_handle *xgs, void *start_address, uint32_t count)
{
	(void)xgs;
	fake_xen.pages -= count;
	return munmap(start_address, (size_t)count * PAGE);
}

/* --- libxenevtchn --- */

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
	int fds[2] = {-1, -1};

	(void)logger;
	(void)flags;
	if (fake_xen.evtchn)
		fds[0] = open(fake_xen.evtchn, O_RDWR | O_CLOEXEC);
	else
		assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	channels_fd = fds[0];
	fake_xen.driver = fds[1];
	return (xenevtchn_handle *)&channels_fd;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
	(void)xce;
	return close(channels_fd);
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
	(void)xce;
	return channels_fd;
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce;
	(void)port;
	fake_xen.notified++;
	return 0;
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *xce, uint32_t domid)
{
	(void)xce;
	(void)domid;
	errno = ENOSPC;
	if (fake_xen.ports_max && fake_xen.ports == fake_xen.ports_max)
		return -1;
	fake_xen.ports++;
	return fake_xen.port_beyond ? 70000 : (int)(20 + fake_xen.ports);
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce;
	(void)port;
	fake_xen.ports--;
	return 0;
}
