/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for supervisor/children/auditd_process.c: nothing is stored, all is remembered. */
#ifndef TESTS_SUPERVISOR_FAKE_AUDITD_H
#define TESTS_SUPERVISOR_FAKE_AUDITD_H

#include "supervisor/children/auditd_process.h"

/* How many events of this kind there were since fake_auditd_forget(). */
unsigned int fake_auditd_events(enum audit_event kind);
/* The text of the last event of this kind, or "". */
const char *fake_auditd_text(enum audit_event kind);
unsigned int fake_auditd_queues(void); /* added and not yet finished */
/* Makes it say that so many queues of ended engines are not stored. */
void fake_auditd_backlog(unsigned int count);
void fake_auditd_forget(void);

#endif
