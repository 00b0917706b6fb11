/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to the audit trail. Each subcommand has a file of its own. */
#include "pvcalls-audit.h"

#include <stdio.h>
#include <string.h>

#include "pvcalls-audit_query.h"

struct subcommand {
	const char *name;
	enum audit_status (*run)(int argc, char **argv);
};

static const struct subcommand subcommands[] = {
	{"query", query_main},
};

int main(int argc, char **argv)
{
	/* Without a subcommand: query. */
	if (argc < 2 || argv[1][0] == '-')
		return (int)query_main(argc, argv);
	for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
		if (strcmp(argv[1], subcommands[i].name) == 0)
			return (int)subcommands[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "pvcalls-audit: no command '%s': see pvcalls-audit --help\n", argv[1]);
	return AUDIT_USAGE;
}
