/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes the place of supervisor/writer.c: nothing is stored, all is remembered. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fakes.h"
#include "supervisor/writer.h"

static unsigned int counts[AUDIT_EVENT_KINDS];
static char texts[AUDIT_EVENT_KINDS][AUDIT_EVENT_TEXT_MAX];
static unsigned int queues;
static unsigned int backlog;

int writer_doorbell(const struct writer *writer)
{
	(void)writer;
	return 0; /* any descriptor that can be sent */
}

int writer_add(struct writer *writer, const uint8_t queue_id[16], int memfd, int engine_doorbell)
{
	(void)writer;
	(void)queue_id;
	(void)memfd;
	(void)engine_doorbell;
	queues++;
	return 0;
}

void writer_finish(struct writer *writer, const uint8_t queue_id[16])
{
	(void)writer;
	(void)queue_id;
	queues--;
}

void writer_event(struct writer *writer, enum audit_event kind, const char *guest, uint32_t uid,
		  const char *format, ...)
{
	va_list arguments;

	(void)writer;
	(void)guest;
	(void)uid;
	counts[kind]++;
	va_start(arguments, format);
	vsnprintf(texts[kind], sizeof(texts[kind]), format, arguments);
	va_end(arguments);
}

uint32_t writer_queues(const struct writer *writer)
{
	(void)writer;
	return queues + backlog;
}

void fake_writer_backlog(unsigned int count)
{
	backlog = count;
}

unsigned int fake_writer_events(enum audit_event kind)
{
	return counts[kind];
}

const char *fake_writer_text(enum audit_event kind)
{
	return texts[kind];
}

unsigned int fake_writer_queues(void)
{
	return queues;
}

void fake_writer_forget(void)
{
	memset(counts, 0, sizeof(counts));
	memset(texts, 0, sizeof(texts));
	queues = 0;
	backlog = 0;
}
