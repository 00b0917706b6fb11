/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_auditd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static unsigned int counts[AUDIT_EVENT_KINDS];
static char texts[AUDIT_EVENT_KINDS][AUDIT_EVENT_TEXT_MAX];
static unsigned int queues;
static unsigned int backlog;

int auditd_process_eventfd(const struct auditd_process *auditd)
{
	(void)auditd;
	return 0; /* any descriptor that can be sent */
}

int auditd_process_add(struct auditd_process *auditd, const uint8_t queue_id[16], int memfd,
		       int engine_eventfd)
{
	(void)auditd;
	(void)queue_id;
	(void)memfd;
	(void)engine_eventfd;
	queues++;
	return 0;
}

void auditd_process_finish(struct auditd_process *auditd, const uint8_t queue_id[16])
{
	(void)auditd;
	(void)queue_id;
	queues--;
}

bool auditd_process_ended_in_hook(const struct auditd_process *auditd, const uint8_t queue_id[16],
				  struct hook_mark *mark)
{
	(void)auditd;
	(void)queue_id;
	(void)mark;
	return false;
}

void auditd_process_event(struct auditd_process *auditd, enum audit_event kind, const char *guest,
			  uint32_t uid, const char *format, ...)
{
	va_list arguments;

	(void)auditd;
	(void)guest;
	(void)uid;
	counts[kind]++;
	va_start(arguments, format);
	vsnprintf(texts[kind], sizeof(texts[kind]), format, arguments);
	va_end(arguments);
}

uint32_t auditd_process_queues(const struct auditd_process *auditd)
{
	(void)auditd;
	return queues + backlog;
}

void fake_auditd_backlog(unsigned int count)
{
	backlog = count;
}

unsigned int fake_auditd_events(enum audit_event kind)
{
	return counts[kind];
}

const char *fake_auditd_text(enum audit_event kind)
{
	return texts[kind];
}

unsigned int fake_auditd_queues(void)
{
	return queues;
}

void fake_auditd_forget(void)
{
	memset(counts, 0, sizeof(counts));
	memset(texts, 0, sizeof(texts));
	queues = 0;
	backlog = 0;
}
