/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a guest must be cut off: it broke the protocol in a way that no honest frontend does, so
 * nothing else that it wrote can be trusted either. Set where that is found; nothing of the guest
 * is served from then on, and the end of the turn cuts it off.
 */
#ifndef ENGINE_CONNECTIONS_PROTOCOL_VIOLATION_H
#define ENGINE_CONNECTIONS_PROTOCOL_VIOLATION_H

#define PROTOCOL_VIOLATION_MAX 160 /* bytes of the text, with its NUL; cut beyond */

/* Empty text: none. */
struct protocol_violation {
	char text[PROTOCOL_VIOLATION_MAX];
};

/* Notes what the guest did; the first one counts. */
void protocol_violation_set(struct protocol_violation *violation, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
