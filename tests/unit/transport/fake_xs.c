/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions of libxenstore and libxenctrl that the daemon uses. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenstore.h>

#include "fake_store_state.h"

/* --- watches --- */

static void queue(struct xs_handle *h, const char *path, const char *token)
{
	const uint64_t one = 1;
	size_t path_size = strlen(path) + 1;
	size_t token_size = strlen(token) + 1;
	struct fake_event *event = calloc(1, sizeof(*event));
	char **block = malloc(2 * sizeof(*block) + path_size + token_size);

	assert(event && block);
	block[XS_WATCH_PATH] = memcpy(block + 2, path, path_size);
	block[XS_WATCH_TOKEN] = memcpy(block[XS_WATCH_PATH] + path_size, token, token_size);
	event->block = block;
	*h->last = event;
	h->last = &event->next;
	assert(write(h->eventfd, &one, sizeof(one)) == sizeof(one));
}

/* As xenstored does: exact is for what is removed together with its directory. */
void fake_fire(const char *path, bool exact)
{
	struct xs_handle *h;
	size_t i;

	for (h = fake.handles; h; h = h->next)
		for (i = 0; i < h->watch_count && !h->dead; i++)
			if (strcmp(path, h->watches[i].path) == 0 ||
			    (!exact && fake_is_below(path, h->watches[i].path)))
				queue(h, path, h->watches[i].token);
}

static void drop_events(struct xs_handle *h, const char *token)
{
	struct fake_event **link = &h->events;

	while (*link) {
		struct fake_event *event = *link;

		if (token && strcmp(event->block[XS_WATCH_TOKEN], token) != 0) {
			link = &event->next;
			continue;
		}
		*link = event->next;
		free(event->block);
		free(event);
	}
	h->last = link;
}

/* --- libxenstore --- */

/* Takes the lock. False: this connection has ended. A thread that hangs stays where it is. */
static bool enter(const struct xs_handle *h)
{
	pthread_mutex_lock(&fake_lock);
	if (fake.hung) {
		pthread_mutex_unlock(&fake_lock);
		for (;;)
			pause();
	}
	errno = EIO;
	return !h || !h->dead;
}

static bool leave(bool result)
{
	pthread_mutex_unlock(&fake_lock);
	return result;
}

const char *xs_daemon_socket(void)
{
	return fake.socket;
}

struct xs_handle *xs_open(unsigned long flags)
{
	struct xs_handle *h = NULL;

	assert(flags == XS_UNWATCH_FILTER);
	(void)enter(NULL);
	errno = ECONNREFUSED;
	if (!fake.down) {
		h = calloc(1, sizeof(*h));
		assert(h);
		h->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		h->last = &h->events;
		h->next = fake.handles;
		fake.handles = h;
		fake.connections++;
	}
	(void)leave(true);
	return h;
}

void xs_close(struct xs_handle *xsh)
{
	struct xs_handle **link;

	(void)enter(NULL);
	for (link = &fake.handles; *link && *link != xsh; link = &(*link)->next)
		;
	if (*link)
		*link = xsh->next;
	drop_events(xsh, NULL);
	free(xsh->watches);
	close(xsh->eventfd);
	free(xsh);
	(void)leave(true);
}

int xs_fileno(struct xs_handle *h)
{
	return h->eventfd;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
	struct fake_node *node;
	char *value = NULL;

	(void)t;
	if (enter(h)) {
		errno = ENOENT;
		node = fake_find(path);
		if (node) {
			node->reads++;
			value = malloc(node->length + 1);
			assert(value);
			memcpy(value, node->value, node->length + 1);
			if (len)
				*len = node->length;
		}
	}
	(void)leave(true);
	return value;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
	char **block = NULL;

	(void)t;
	*num = 0;
	if (enter(h)) {
		errno = ENOENT;
		block = fake_list(path, num);
	}
	(void)leave(true);
	return block;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
	      unsigned int len)
{
	assert(t != XBT_NULL && len < FAKE_PATH);
	if (!enter(h))
		return leave(false);
	errno = fake.refused;
	if (fake.refused)
		return leave(false);
	assert(fake.staged_count < FAKE_STAGED);
	snprintf(fake.staged[fake.staged_count].path, FAKE_PATH, "%s", path);
	snprintf(fake.staged[fake.staged_count++].value, FAKE_PATH, "%.*s", (int)len,
		 (const char *)data);
	return leave(true);
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	bool alive = enter(h);

	fake.staged_count = 0;
	fake.attempts += alive;
	(void)leave(true);
	return alive ? 1 : XBT_NULL;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
	size_t i;

	assert(t == 1);
	if (!enter(h))
		return leave(false);
	if (abort)
		return leave(true);
	if (fake.conflicts) {
		fake.conflicts--;
		errno = EAGAIN;
		return leave(false);
	}
	for (i = 0; i < fake.staged_count; i++) {
		const struct fake_write *staged = &fake.staged[i];

		fake_put(staged->path, staged->value, strlen(staged->value));
		fake_fire(staged->path, false);
	}
	fake.commits++;
	return leave(true);
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	struct fake_watch *watch;

	if (!enter(h))
		return leave(false);
	h->watches = realloc(h->watches, (h->watch_count + 1) * sizeof(*h->watches));
	assert(h->watches);
	watch = &h->watches[h->watch_count++];
	snprintf(watch->path, sizeof(watch->path), "%s", path);
	snprintf(watch->token, sizeof(watch->token), "%s", token);
	queue(h, path, token); /* xenstored tells of each new watch once */
	return leave(true);
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
	size_t i;

	if (!enter(h))
		return leave(false);
	errno = ENOENT;
	for (i = 0; i < h->watch_count; i++)
		if (strcmp(h->watches[i].path, path) == 0 &&
		    strcmp(h->watches[i].token, token) == 0)
			break;
	if (i == h->watch_count)
		return leave(false);
	h->watches[i] = h->watches[--h->watch_count];
	drop_events(h, token);
	return leave(true);
}

char **xs_check_watch(struct xs_handle *h)
{
	char **block = NULL;
	struct fake_event *event;
	uint64_t rings;

	(void)enter(h);
	errno = EAGAIN;
	event = h->events;
	if (event) {
		h->events = event->next;
		if (!h->events)
			h->last = &h->events;
		block = event->block;
		free(event);
	} else if (read(h->eventfd, &rings, sizeof(rings)) < 0) {
		errno = EAGAIN;
	}
	(void)leave(true);
	return block;
}

char *xs_get_domain_path(struct xs_handle *h, unsigned int domid)
{
	char *path = NULL;

	if (enter(h) && asprintf(&path, "/local/domain/%u", domid) < 0)
		path = NULL;
	(void)leave(true);
	return path;
}

bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid)
{
	bool introduced = enter(h) && domid < FAKE_DOMAINS && fake.introduced[domid];

	return leave(introduced);
}

/* --- libxenctrl --- */

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild_logger,
				unsigned open_flags)
{
	(void)logger;
	(void)dombuild_logger;
	(void)open_flags;
	return fake.no_hypervisor ? NULL : (xc_interface *)&fake;
}

int xc_interface_close(xc_interface *xch)
{
	(void)xch;
	return 0;
}

/* As the hypervisor: the first domains from this number on, not only this one. */
int xc_domain_getinfo(xc_interface *xch, uint32_t first_domid, unsigned int max_doms,
		      xc_dominfo_t *info)
{
	uint32_t domid;
	int found = 0;

	(void)xch;
	assert(max_doms == 1);
	pthread_mutex_lock(&fake_lock);
	for (domid = first_domid; domid < FAKE_DOMAINS && !fake.running[domid]; domid++)
		;
	if (domid < FAKE_DOMAINS) {
		memset(info, 0, sizeof(*info));
		info->domid = domid;
		found = 1;
	}
	pthread_mutex_unlock(&fake_lock);
	return found;
}
