/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transports/xen_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ring/layout.h"
#include "transports/node_text.h"
#include "transports/why.h"

#define LIMIT_PATH  "/sys/module/xen_gntalloc/parameters/limit"
#define LIMIT_LEAST 1024u

int xen_pages_open(struct xen_pages *pages, struct xentoollog_logger *logger, uint32_t domid,
		   uint64_t memory, char *why)
{
	uint64_t most = memory / RING_PAGE_SIZE;

	*pages = (struct xen_pages){.domid = domid,
				    .most = most < XEN_PAGES_MOST ? (uint32_t)most : XEN_PAGES_MOST,
				    .limit_path = LIMIT_PATH,
				    .shares = xengntshr_open(logger, 0)};
	if (!pages->shares)
		return why_set(why, errno,
			       "/dev/xen/gntalloc can't be opened: %s; modprobe xen-gntalloc, and "
			       "be root",
			       strerror(errno));
	/* The library does not; COMMAND has no business with it. */
	fcntl(xengntshr_fd(pages->shares), F_SETFD, FD_CLOEXEC);
	return 0;
}

void xen_pages_close(struct xen_pages *pages)
{
	if (pages->shares)
		xengntshr_close(pages->shares);
	pages->shares = NULL;
}

/* The driver's limit, or 0. */
static uint32_t xen_pages_read_limit(const struct xen_pages *pages)
{
	char text[16] = "";
	uint32_t limit = 0;
	int fd = open(pages->limit_path, O_RDONLY | O_CLOEXEC);
	ssize_t size;

	if (fd < 0)
		return 0;
	size = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (size <= 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return node_text_number(text, INT32_MAX, &limit) ? 0 : limit;
}

static int xen_pages_write_limit(const struct xen_pages *pages, uint32_t limit)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u\n", limit);
	int fd = open(pages->limit_path, O_WRONLY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	error = write(fd, text, (size_t)length) < 0 ? -errno : 0;
	close(fd);
	return error;
}

/* Makes room for more pages. 0, or -errno and the reason in pages->shortage. */
static int xen_pages_raise_limit(struct xen_pages *pages)
{
	uint32_t limit = xen_pages_read_limit(pages);
	uint32_t wanted = limit < LIMIT_LEAST ? 2 * LIMIT_LEAST : 2 * limit;

	if (limit == 0 || limit >= pages->most) {
		pages->shortage = "as many pages are shared with the backend as may be (the "
				  "guest's grant table holds no more)";
		return -ENOMEM;
	}
	if (wanted > pages->most)
		wanted = pages->most;
	if (xen_pages_write_limit(pages, wanted) == 0)
		return 0;
	pages->shortage = "no more pages can be shared with the backend: write a larger number, "
			  "17 for each connection, into " LIMIT_PATH;
	return -ENOMEM;
}

int xen_pages_share(struct xen_pages *pages, uint32_t order, void **span, uint32_t *refs)
{
	uint32_t count = 1u << order;

	pages->shortage = NULL;
	for (;;) {
		*span = xengntshr_share_pages(pages->shares, pages->domid, (int)count, refs, 1);
		if (*span)
			return 0;
		if (errno != ENOSPC) {
			pages->shortage = "no memory for pages to share with the backend";
			return -ENOMEM;
		}
		if (xen_pages_raise_limit(pages))
			return -ENOMEM;
	}
}

void xen_pages_unshare(struct xen_pages *pages, void *span, uint32_t order)
{
	xengntshr_unshare(pages->shares, span, 1u << order);
}
