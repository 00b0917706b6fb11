/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any text as a policy: it compiles or tells where it is wrong. What compiles decides calls, and
 * its floor holds unless the text opens it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/chain.h"
#include "policy/compile.h"
#include "policy/host_view/host_view.h"
#include "policy/plugin_host/plugin_registry.h"
#include "policy/policy.h"
#include "policy/policy_tests.h"
#include "policy/yaml/errors.h"
#include "policy/yaml/source.h"

#define TEXT_MAX 16384 /* larger ones only take longer */

static struct plugin_registry *registry;
static struct host_view *host;

static void must(int truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "fuzz_policy: %s\n", what);
	abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const addresses[] = {"127.0.0.0/8", "192.0.2.10"};
	static const uint16_t ports[] = {22};
	struct fault fault;

	(void)argc;
	(void)argv;
	must(plugin_registry_load(&registry, PLUGIN_DIR, &fault) == 0, fault.text);
	must(host_view_fixed(&host, addresses, 2, ports, 1) == 0, "no host");
	return 0;
}

static void ask(struct policy *policy, const char *text, int floor_denies)
{
	static const struct pvcalls_guest guest = {.size = sizeof(guest), .name = "fuzz"};
	struct decision decision;
	struct pvcalls_call call;

	must(policy_test_read_call(text, &call) == 0, text);
	call.guest = &guest;
	call.serial = call.socket = 1;
	policy_decide(policy, &call, &decision);
	policy_observe(policy, &call, &decision, decision.error);
	must(decision.verdict <= VERDICT_FAULT, "no verdict");
	must(decision_permits(&decision) == (decision.error == 0), "an error that is none");
	must(decision.decider[0] != '\0', "nobody decided");
	if (floor_denies && !decision.rewritten)
		must(!decision_permits(&decision), "the floor was passed");
}

static void ask_all(struct policy *policy, int floor_denies)
{
	ask(policy, "socket", 0);
	ask(policy, "connect 8.8.8.8:443", 0);
	ask(policy, "connect 10.20.1.1:25", 0);
	ask(policy, "connect 127.0.0.1:22", floor_denies);
	ask(policy, "connect 192.0.2.10:5432", floor_denies);
	ask(policy, "bind 192.0.2.10:8080", 0);
	ask(policy, "bind 192.0.2.10:22", 1);
	ask(policy, "listen 192.0.2.10:8080", 0);
	ask(policy, "listen", 1);
	ask(policy, "accept 10.0.0.5:4711 at 192.0.2.10:8080", 0);
	ask(policy, "poll", 0);
	ask(policy, "release", 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pvcalls_guest guest = {.size = sizeof(guest), .name = "fuzz"};
	struct policy_source source = {.path = (char[]){"fuzz.yaml"}, .size = size};
	struct errors errors = {0};
	struct policy *policy;
	struct policy *next;
	int floor_denies;
	int result;

	if (size > TEXT_MAX)
		return 0;
	source.text = malloc(size + 1);
	must(source.text != NULL, "no memory");
	memcpy(source.text, data, size);
	source.text[size] = '\0';
	result = policy_compile_telling(&policy, &source, registry, host, &guest, NULL, NULL,
					&errors);
	must((result != 0) == (errors.count != 0), "an error without a line");
	must((result == 0) == (policy != NULL), "neither policy nor error");
	errors_free(&errors);
	if (policy) {
		floor_denies = memmem(data, size, "floor", 5) == NULL;
		ask_all(policy, floor_denies);
		/* And again as a reload of itself. */
		must(policy_compile(&next, &source, registry, host, &guest, policy, NULL, NULL) ==
			     0,
		     "it does not compile twice");
		policy_free(policy);
		ask_all(next, floor_denies);
		policy_free(next);
	}
	free(source.text);
	return 0;
}
