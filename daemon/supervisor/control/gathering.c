/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/control/gathering.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "supervisor/children/engine_questions.h"
#include "supervisor/settings/exit_status.h"

struct gathering {
	struct control_client *client;
	json_t *items; /* the answer */
	unsigned int waiting;
	gathering_add_fn add;
};

/* One engine's part of it. */
struct gathering_part {
	struct gathering *gathering;
	json_t *about;
};

static void gathering_send(struct gathering *gathering)
{
	control_reply_result(gathering->client, gathering->items);
	free(gathering);
}

static void gathering_part_answered(void *owner, int error, const char *text)
{
	struct gathering_part *part = owner;
	struct gathering *gathering = part->gathering;

	ASSERT(gathering->waiting > 0);
	gathering->add(gathering->items, part->about, error, text);
	json_decref(part->about);
	free(part);
	if (--gathering->waiting == 0)
		gathering_send(gathering);
}

struct gathering *gathering_create(struct control_client *client, json_t *items,
				   gathering_add_fn add)
{
	struct gathering *gathering = calloc(1, sizeof(*gathering));

	if (!gathering) {
		json_decref(items);
		control_reply_error(client, STATUS_ENVIRONMENT, "no memory");
		return NULL;
	}
	*gathering = (struct gathering){.client = client, .items = items, .add = add};
	return gathering;
}

void gathering_ask(struct gathering *gathering, struct guest *guest, json_t *about,
		   enum engine_status what)
{
	struct gathering_part *part = calloc(1, sizeof(*part));
	int error = -EPIPE;

	if (part && guest->engine) {
		*part = (struct gathering_part){.gathering = gathering, .about = about};
		error = engine_questions_ask(guest->engine, ENGINE_MESSAGE_STATUS, what, 0,
					     GATHERING_ANSWER_NS, gathering_part_answered, part);
	}
	if (!error) {
		gathering->waiting++;
		return;
	}
	gathering->add(gathering->items, about, error, "");
	json_decref(about);
	free(part);
}

void gathering_close(struct gathering *gathering)
{
	if (!gathering->waiting)
		gathering_send(gathering);
}

const char *gathering_why_no_answer(int error)
{
	if (error == -ETIMEDOUT)
		return "no answer within 1 s";
	return error == -EBUSY ? "busy" : "no engine";
}
