/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transport/xen_nodes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <xenstore.h>

#include "base/decimal.h"
#include "base/fd.h"

#define STATE_INITIALISING "1" /* enum xenbus_state, as xenstore has it */
#define TRANSACTIONS_MAX   16  /* attempts at one; others rarely write into our directories */

/* Whether somebody listens at xenstored's socket; true also if there is no socket at all. */
static bool xen_nodes_socket_answers(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s", xs_daemon_socket());

	if (fd < 0 || length < 0 || (size_t)length >= sizeof(address.sun_path))
		return true;
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == ENOENT;
}

struct xs_handle *xen_nodes_connect(void)
{
	if (xen_nodes_socket_answers())
		return xs_open(XS_UNWATCH_FILTER);
	errno = ECONNREFUSED;
	return NULL;
}

bool xen_nodes_answer(struct xs_handle *xs)
{
	char *path = xs_get_domain_path(xs, 0);
	bool answer = !!path;

	free(path);
	return answer;
}

int xen_nodes_text(struct xs_handle *xs, const char *dir, const char *key, char *text, size_t size)
{
	char path[XEN_PATH_MAX];
	unsigned int length = 0;
	int used = snprintf(path, sizeof(path), "%s%s%s", dir, dir[0] ? "/" : "", key);
	char *value;
	int error = 0;

	if (used < 0 || (size_t)used >= sizeof(path))
		return -ENAMETOOLONG;
	value = xs_read(xs, XBT_NULL, path, &length);
	if (!value)
		return errno ? -errno : -EIO;
	if (length >= size)
		error = -E2BIG;
	else if (strlen(value) != length)
		error = -EINVAL;
	else
		memcpy(text, value, length + 1);
	free(value);
	return error;
}

int xen_nodes_parse(const char *text, uint32_t max, uint32_t *number)
{
	uint64_t value;

	if (decimal_read(text, max, &value))
		return -EINVAL;
	*number = (uint32_t)value;
	return 0;
}

int xen_nodes_number(struct xs_handle *xs, const char *dir, const char *key, uint32_t max,
		     uint32_t *number)
{
	char text[DEVICE_VALUE_MAX];
	int error = xen_nodes_text(xs, dir, key, text, sizeof(text));

	return error ? error : xen_nodes_parse(text, max, number);
}

int xen_nodes_list(struct xs_handle *xs, const char *dir, uint32_t *numbers, size_t max)
{
	unsigned int count = 0;
	char **names = xs_directory(xs, XBT_NULL, dir, &count);
	size_t found = 0;
	unsigned int i;

	if (!names)
		return errno == ENOENT ? 0 : -errno;
	for (i = 0; i < count && found < max; i++)
		if (xen_nodes_parse(names[i], UINT32_MAX, &numbers[found]) == 0)
			found++;
	free(names);
	return (int)found;
}

/* Whether dir/key has this value; NULL: any. 0, -ENOENT if it is not there, or -errno. */
static int xen_nodes_compare(struct xs_handle *xs, xs_transaction_t transaction, const char *dir,
			     const char *key, const char *value, bool *equal)
{
	char path[XEN_PATH_MAX];
	char *found;

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	found = xs_read(xs, transaction, path, NULL);
	if (!found)
		return -errno;
	*equal = !value || strcmp(found, value) == 0;
	free(found);
	return 0;
}

/* Returns 0 if the device in dir is there, and not another than the one that was written to. */
static int xen_nodes_check_place(struct xs_handle *xs, xs_transaction_t transaction,
				 const char *dir, bool written)
{
	bool equal = false;
	int error = xen_nodes_compare(xs, transaction, dir, "frontend", NULL, &equal);

	if (error || !written)
		return error;
	error = xen_nodes_compare(xs, transaction, dir, "state", STATE_INITIALISING, &equal);
	return error ? error : equal ? -ENOENT : 0;
}

static int xen_nodes_write_all(struct xs_handle *xs, xs_transaction_t transaction, const char *dir,
			       bool written, const struct device_node *nodes, size_t count)
{
	char path[XEN_PATH_MAX];
	size_t i;
	int error = xen_nodes_check_place(xs, transaction, dir, written);

	if (error)
		return error;
	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, nodes[i].key);
		if (!xs_write(xs, transaction, path, nodes[i].value,
			      (unsigned int)strlen(nodes[i].value)))
			return -errno;
	}
	return 0;
}

int xen_nodes_write(struct xs_handle *xs, const char *dir, bool written,
		    const struct device_node *nodes, size_t count)
{
	int attempt;

	for (attempt = 0; attempt < TRANSACTIONS_MAX; attempt++) {
		xs_transaction_t transaction = xs_transaction_start(xs);
		int error;

		if (transaction == XBT_NULL)
			return -errno;
		error = xen_nodes_write_all(xs, transaction, dir, written, nodes, count);
		if (xs_transaction_end(xs, transaction, error != 0) || error)
			return error;
		if (errno != EAGAIN)
			return -errno;
	}
	return -EAGAIN;
}
