/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_backend.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "fake_backend_calls.h"

static void fake_backend_say(struct fake_backend *fake, uint32_t kind, uint32_t value,
			     const char *text, const int *fds, size_t count)
{
	struct local_message message = {.kind = kind, .value = value};

	snprintf(message.text, sizeof(message.text), "%s", text);
	(void)fd_send(fake->fd, &message,
		      offsetof(struct local_message, text) + strlen(message.text) + 1, fds, count);
}
static void fake_backend_take_number(const char *line, const char *key, uint32_t *number)
{
	if (strncmp(line, key, strlen(key)) == 0)
		*number = (uint32_t)strtoul(line + strlen(key), NULL, 10);
}

static void fake_backend_take_nodes(struct fake_backend *fake, char *text)
{
	char *rest = NULL;
	char *line;
	uint32_t ref = 0;

	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		fake_backend_take_number(line, "state=", &fake->counts.state);
		fake_backend_take_number(line, "ring-ref=", &ref);
		fake_backend_take_number(line, "port=", &fake->command_port);
	}
	if (fake->counts.state == 3) {
		command_ring_attach(&fake->command, fake_backend_page(fake, ref));
		if (!fake->options.never_connected)
			fake_backend_say(fake, LOCAL_NODES, 0, "state=4\n", NULL, 0);
	}
	if (fake->counts.state == 5) {
		fake->command.page = NULL;
		fake_backend_say(fake, LOCAL_NODES, 0, "state=5\n", NULL, 0);
	}
}

static void fake_backend_welcome(struct fake_backend *fake, int memory)
{
	struct stat status;
	char nodes[192];
	int fds[3];

	fstat(memory, &status);
	fake->memory_size = (size_t)status.st_size;
	fake->memory = mmap(NULL, fake->memory_size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_NORESERVE, memory, 0);
	fds[0] = memfd_create("events", MFD_CLOEXEC);
	assert(ftruncate(fds[0], sizeof(*fake->events)) == 0);
	fake->events =
		mmap(NULL, sizeof(*fake->events), PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	fds[1] = fake->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fds[2] = fake->guest_eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fake_backend_say(fake, LOCAL_WELCOME, 7, "", fds, 3);
	close(fds[0]);
	snprintf(nodes, sizeof(nodes),
		 "versions=%s\nmax-page-order=%u\nfunction-calls=1\nfeature-names=%d\n"
		 "feature-names-on-demand=%d\nfeature-shutdown=%d\nfeature-park=%d\nstate=2\n",
		 fake->options.versions ? fake->options.versions : "1",
		 fake->options.max_order ? fake->options.max_order : DATA_ORDER_MAX,
		 !fake->options.no_names, !fake->options.names_at_once,
		 !fake->options.no_half_close, fake->options.parks);
	fake_backend_say(fake, LOCAL_NODES, 0, nodes, NULL, 0);
}

static void fake_backend_hang_up(struct fake_backend *fake)
{
	fd_close(&fake->fd);
	fd_close(&fake->eventfd);
	fd_close(&fake->guest_eventfd);
	fake->command.page = NULL;
	if (fake->memory)
		munmap(fake->memory, fake->memory_size);
	if (fake->events)
		munmap(fake->events, sizeof(*fake->events));
	fake->memory = NULL;
	fake->events = NULL;
	fake_backend_free_guest(fake);
	memset(fake->parked, 0, sizeof(fake->parked));
	fake->collect_count = 0;
}

static void fake_backend_take_message(struct fake_backend *fake)
{
	struct local_message message;
	int fds[FDS_PER_MESSAGE];
	size_t count;
	ssize_t size = fd_receive(fake->fd, &message, sizeof(message), fds, &count);

	if (size <= 0) {
		fake_backend_hang_up(fake);
		return;
	}
	if (message.kind == LOCAL_HELLO && fake->options.refuse) {
		fake_backend_say(fake, LOCAL_REFUSED, fake->options.refuse, "not in a test", NULL,
				 0);
		fake_backend_hang_up(fake);
	} else if (message.kind == LOCAL_HELLO) {
		fake_backend_welcome(fake, fds[0]);
	} else if (message.kind == LOCAL_NODES) {
		fake_backend_take_nodes(fake, message.text);
	}
	while (count > 0)
		close(fds[--count]);
}

/* Takes the guest's event bits: the rings are all looked at anyway. */
static void fake_backend_clear_events(struct fake_backend *fake)
{
	struct local_events *events = &fake->events->to_backend;
	uint64_t rings;
	size_t i;

	(void)!read(fake->eventfd, &rings, sizeof(rings));
	for (i = 0; i < LOCAL_PORTS / 4096; i++)
		__atomic_store_n(&events->selector[i], 0, __ATOMIC_SEQ_CST);
	for (i = 0; i < LOCAL_PORTS / 64; i++)
		if (events->word[i])
			__atomic_store_n(&events->word[i], 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&events->asleep, 1, __ATOMIC_SEQ_CST);
}

static void fake_backend_turn(struct fake_backend *fake, struct pollfd polled[4])
{
	uint64_t rings;

	if (polled[0].revents)
		(void)!read(fake->control, &rings, sizeof(rings));
	if (fake->die) {
		fake->die = false;
		fake_backend_hang_up(fake);
	}
	if (polled[1].revents && fake->fd < 0)
		fake->fd = accept(fake->listen_fd, NULL, NULL);
	else if (fake->fd >= 0 && polled[2].revents)
		fake_backend_take_message(fake);
	if (fake->events)
		fake_backend_clear_events(fake);
	if (fake->fd >= 0)
		fake_backend_serve(fake);
}

static void *fake_backend_run(void *context)
{
	struct fake_backend *fake = context;

	pthread_mutex_lock(&fake->lock);
	while (!fake->stop) {
		struct pollfd polled[4] = {
			{.fd = fake->control, .events = POLLIN},
			{.fd = fake->fd < 0 ? fake->listen_fd : -1, .events = POLLIN},
			{.fd = fake->fd, .events = POLLIN},
			{.fd = fake->events ? fake->eventfd : -1, .events = POLLIN}};

		pthread_mutex_unlock(&fake->lock);
		poll(polled, 4, 5);
		pthread_mutex_lock(&fake->lock);
		fake_backend_turn(fake, polled);
	}
	fake_backend_hang_up(fake);
	pthread_mutex_unlock(&fake->lock);
	return NULL;
}

struct fake_backend *fake_backend_start(const char *directory,
					const struct fake_backend_options *options)
{
	struct fake_backend *fake = calloc(1, sizeof(*fake));
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	assert(fake);
	if (options)
		fake->options = *options;
	snprintf(fake->path, sizeof(fake->path), "%s/" LOCAL_SOCKET_NAME, directory);
	memcpy(address.sun_path, fake->path, sizeof(address.sun_path));
	unlink(fake->path);
	fake->fd = fake->eventfd = fake->guest_eventfd = -1;
	fake->control = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fake->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert(bind(fake->listen_fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	assert(listen(fake->listen_fd, 8) == 0);
	pthread_mutex_init(&fake->lock, NULL);
	pthread_create(&fake->thread, NULL, fake_backend_run, fake);
	return fake;
}

static void fake_backend_wake(struct fake_backend *fake)
{
	const uint64_t one = 1;

	(void)!write(fake->control, &one, sizeof(one));
}

void fake_backend_stop(struct fake_backend *fake)
{
	pthread_mutex_lock(&fake->lock);
	fake->stop = true;
	pthread_mutex_unlock(&fake->lock);
	fake_backend_wake(fake);
	pthread_join(fake->thread, NULL);
	close(fake->listen_fd);
	close(fake->control);
	unlink(fake->path);
	pthread_mutex_destroy(&fake->lock);
	free(fake);
}

void fake_backend_die(struct fake_backend *fake)
{
	pthread_mutex_lock(&fake->lock);
	fake->die = true;
	pthread_mutex_unlock(&fake->lock);
	fake_backend_wake(fake);
}

void fake_backend_offer(struct fake_backend *fake, uint16_t listener_port, uint16_t mode)
{
	bool done = false;

	while (!done) {
		struct listener *listener;

		pthread_mutex_lock(&fake->lock);
		for (listener = fake->listeners; listener; listener = listener->next)
			if (listener->port == listener_port && listener->listening)
				break;
		if (listener) {
			listener->offered[listener->offers++] = mode;
			fake_backend_match_accepts(fake, listener);
			done = true;
		}
		pthread_mutex_unlock(&fake->lock);
		if (!done)
			usleep(1000);
	}
}

struct fake_backend_counts fake_backend_counts(struct fake_backend *fake)
{
	struct fake_backend_counts counts;

	pthread_mutex_lock(&fake->lock);
	counts = fake->counts;
	pthread_mutex_unlock(&fake->lock);
	return counts;
}

struct fake_backend_counts fake_backend_counts_at_end(struct fake_backend *fake)
{
	bool gone = false;

	for (int tries = 0; !gone && tries < 10000; tries++) {
		pthread_mutex_lock(&fake->lock);
		gone = fake->fd < 0;
		pthread_mutex_unlock(&fake->lock);
		if (!gone)
			usleep(1000);
	}
	return fake_backend_counts(fake);
}
