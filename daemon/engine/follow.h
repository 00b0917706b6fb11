/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running where the guest runs.
 *
 * Bytes that one processor has just written are slow to read on another, so a guest and its engine
 * that hand many bytes to each other do better on the same one, in turns, than side by side. The
 * scheduler can't know; it only sees two programs that are busy. So now and then, by bytes moved,
 * an engine goes to where its guest says it runs. It does not stay bound to it: if the processor is
 * wanted, the scheduler moves it away as ever.
 */
#ifndef ENGINE_FOLLOW_H
#define ENGINE_FOLLOW_H

/* What a call counts for: guest and engine hand each other a request and an answer. */
#define FOLLOW_CALL_BYTES (64u << 10)

struct engine;

/* Remembers where the engine may run; before the sandbox is closed. */
void follow_init(struct engine *engine);
/* Goes to the guest's processor, if many bytes have moved and it is another one. */
void follow_guest(struct engine *engine);

#endif
