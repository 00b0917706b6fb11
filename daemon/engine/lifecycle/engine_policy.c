/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/lifecycle/engine_policy.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/lifecycle/engine.h"
#include "policy/compile.h"
#include "policy/policy.h"
#include "policy/yaml/source.h"

static int engine_policy_read(int fd, struct policy_source *source)
{
	struct stat status;
	ssize_t got;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size > POLICY_FILE_MAX)
		return -EFBIG;
	source->size = (size_t)status.st_size;
	source->text = malloc(source->size + 1);
	if (!source->text)
		return -ENOMEM;
	got = pread(fd, source->text, source->size, 0);
	if (got != (ssize_t)source->size)
		return got < 0 ? -errno : -EIO;
	source->text[source->size] = '\0';
	crypto_hash_sha256(source->digest, (const uint8_t *)source->text, source->size);
	return 0;
}

static int engine_policy_compile(struct engine *engine, const char *path, int fd,
				 struct policy **policy, struct fault *fault)
{
	struct policy_source source = {.path = strdup(path)};
	int error = source.path ? engine_policy_read(fd, &source) : -ENOMEM;

	if (error)
		fault_set(fault, -error, "%s: the policy's text can't be read: %s", path,
			  strerror(-error));
	else
		error = policy_compile(policy, &source, engine->plugins, engine->host,
				       &engine->guest, engine->calls.policy, &engine->log, fault);
	free(source.text);
	free(source.path);
	return error;
}

int engine_policy_replace(struct engine *engine, const char *path, int fd, struct fault *fault)
{
	struct policy *policy = NULL;
	int error;

	if (fd >= 0)
		error = engine_policy_compile(engine, path, fd, &policy, fault);
	else
		error = policy_deny_all(&policy, engine->host, &engine->guest, &engine->log);
	if (error)
		return error;
	policy_keep_allowances(policy, engine->allowances);
	if (engine->calls.policy)
		policy_free(engine->calls.policy);
	engine->calls.policy = policy;
	return 0;
}
