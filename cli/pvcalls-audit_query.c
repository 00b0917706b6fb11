/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "pvcalls-audit.h"

#define DEFAULT_COUNT 20

static const char usage[] =
	"usage: pvcalls-audit [query] [OPTION]...\n"
	"Shows records of the audit trail: what guests asked for, what was decided, by whom.\n"
	"\n"
	"Which records (an option again: either; another option: both; --not: not the next one):\n"
	"  --guest NAME|DOMID|UUID  globs allowed       --op OPERATION     connect, accept, ...\n"
	"  --verdict VERDICT        allow, deny, would_deny, fault\n"
	"  --decider NAME           floor, default or a plugin (also: --plugin)\n"
	"  --rule ID                                    --policy NAME\n"
	"  --address NETWORK        of any endpoint: 192.0.2.0/24\n"
	"  --to NETWORK             connections to it   --from NETWORK     accepted from it\n"
	"  --port PORT|FIRST-LAST                       --errno NAME       ok, ECONNREFUSED, unknown\n"
	"  --socket NUMBER          and what it accepted\n"
	"  --serial NUMBER          of the call within its engine\n"
	"  --since TIME, --until TIME\n"
	"                           2026-01-02, 2026-01-02T03:04:05Z, -15m, today, yesterday, boot\n"
	"  --events[=only]          events of the system too, or only they\n"
	"How many, and how they are shown:\n"
	"  --last N                 the last N (20)     --first N          the first N\n"
	"  --all                    every one           -f, --follow       and new ones as they come\n"
	"  -o, --output FORMAT      table, compact, json, jsonl, csv\n"
	"  --trail DIR              the trail's folder (" AUDIT_TRAIL_DIR ")\n"
	"  --help, --version\n"
	"Exit status: 0 found, 1 nothing found, 2 usage, 3 input invalid, 4 trail out of reach,\n"
	"5 not permitted. See pvcalls-audit(1).\n";

enum option_id {
	OPTION_FIELD = 256, /* and one for each enum filter_field */
	OPTION_NOT = OPTION_FIELD + FILTER_FIELDS,
	OPTION_SINCE,
	OPTION_UNTIL,
	OPTION_EVENTS,
	OPTION_LAST,
	OPTION_FIRST,
	OPTION_ALL,
	OPTION_TRAIL,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option options[] = {
	{"guest", required_argument, NULL, OPTION_FIELD + FILTER_GUEST},
	{"op", required_argument, NULL, OPTION_FIELD + FILTER_OPERATION},
	{"call", required_argument, NULL, OPTION_FIELD + FILTER_OPERATION},
	{"verdict", required_argument, NULL, OPTION_FIELD + FILTER_VERDICT},
	{"decider", required_argument, NULL, OPTION_FIELD + FILTER_DECIDER},
	{"plugin", required_argument, NULL, OPTION_FIELD + FILTER_DECIDER},
	{"rule", required_argument, NULL, OPTION_FIELD + FILTER_RULE},
	{"policy", required_argument, NULL, OPTION_FIELD + FILTER_POLICY},
	{"address", required_argument, NULL, OPTION_FIELD + FILTER_ADDRESS},
	{"to", required_argument, NULL, OPTION_FIELD + FILTER_TO},
	{"from", required_argument, NULL, OPTION_FIELD + FILTER_FROM},
	{"port", required_argument, NULL, OPTION_FIELD + FILTER_PORT},
	{"errno", required_argument, NULL, OPTION_FIELD + FILTER_ERRNO},
	{"socket", required_argument, NULL, OPTION_FIELD + FILTER_SOCKET},
	{"serial", required_argument, NULL, OPTION_FIELD + FILTER_SERIAL},
	{"not", no_argument, NULL, OPTION_NOT},
	{"since", required_argument, NULL, OPTION_SINCE},
	{"until", required_argument, NULL, OPTION_UNTIL},
	{"events", optional_argument, NULL, OPTION_EVENTS},
	{"last", required_argument, NULL, OPTION_LAST},
	{"first", required_argument, NULL, OPTION_FIRST},
	{"all", no_argument, NULL, OPTION_ALL},
	{"follow", no_argument, NULL, 'f'},
	{"output", required_argument, NULL, 'o'},
	{"trail", required_argument, NULL, OPTION_TRAIL},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

struct arguments {
	struct query query;
	struct output output;
	bool negate; /* --not was last */
	bool help;
	bool version;
	struct fault fault;
};

/* How an option was taken. */
enum taken {
	TAKEN,
	TAKEN_USAGE,   /* it makes no sense here */
	TAKEN_INVALID, /* its value does not; fault says why */
};

static enum taken take_time(struct arguments *arguments, int64_t *time_ns)
{
	int error = time_parse(optarg, (int64_t)clock_wall_ns(), time_ns, &arguments->fault);
	return error < 0 ? TAKEN_INVALID : TAKEN;
}

static enum taken take_count(struct arguments *arguments, bool first)
{
	arguments->query.first = first;
	if (decimal_read(optarg, UINT64_MAX, &arguments->query.count) == 0)
		return TAKEN;
	fault_set(&arguments->fault, EINVAL, "'%s' is no number of records", optarg);
	return TAKEN_INVALID;
}

static enum taken take_events(struct filter *filter)
{
	filter->events = true;
	if (!optarg)
		return TAKEN;
	filter->calls = false;
	return strcmp(optarg, "only") == 0 ? TAKEN : TAKEN_USAGE;
}

static enum taken take_format(struct arguments *arguments)
{
	if (output_parse(optarg, &arguments->output.format) == 0)
		return TAKEN;
	fprintf(stderr, "pvcalls-audit: '%s' is no format\n", optarg);
	return TAKEN_USAGE;
}

static enum taken take_field(struct arguments *arguments, int option)
{
	bool negate = arguments->negate;
	arguments->negate = false;
	int error = filter_add(&arguments->query.filter, (enum filter_field)(option - OPTION_FIELD),
			       negate, optarg, &arguments->fault);
	return error < 0 ? TAKEN_INVALID : TAKEN;
}

static enum taken take_option(struct arguments *arguments, int option)
{
	struct query *query = &arguments->query;
	if (option >= OPTION_FIELD && option < OPTION_FIELD + FILTER_FIELDS)
		return take_field(arguments, option);
	if (arguments->negate)
		return TAKEN_USAGE;
	switch (option) {
	case OPTION_NOT:
		arguments->negate = true;
		return TAKEN;
	case OPTION_SINCE:
		return take_time(arguments, &query->filter.since_ns);
	case OPTION_UNTIL:
		return take_time(arguments, &query->filter.until_ns);
	case OPTION_EVENTS:
		return take_events(&query->filter);
	case OPTION_LAST:
		return take_count(arguments, false);
	case OPTION_FIRST:
		return take_count(arguments, true);
	case OPTION_ALL:
		query->count = LIMIT_ALL;
		return TAKEN;
	case OPTION_TRAIL:
		query->dir = optarg;
		return TAKEN;
	case OPTION_HELP:
		arguments->help = true;
		return TAKEN;
	case OPTION_VERSION:
		arguments->version = true;
		return TAKEN;
	case 'f':
		query->follow = true;
		return TAKEN;
	case 'o':
		return take_format(arguments);
	default:
		return TAKEN_USAGE;
	}
}

/* Combinations that can't be answered. NULL: none of them. */
static const char *contradiction(const struct arguments *arguments)
{
	const struct query *query = &arguments->query;
	if (arguments->negate)
		return "--not is followed by no filter";
	if (query->follow && query->first)
		return "--follow goes on at the end: it can't be used with --first";
	if (query->follow && arguments->output.format == OUTPUT_JSON)
		return "json is one list, which does not end here: use -o jsonl with --follow";
	if (query->filter.calls && query->filter.events && arguments->output.format == OUTPUT_CSV)
		return "csv has one kind of rows: use --events=only, or another format";
	return NULL;
}

static enum audit_status complain(const char *what)
{
	fprintf(stderr, "pvcalls-audit: %s: see pvcalls-audit --help\n", what);
	return AUDIT_USAGE;
}

enum audit_status query_main(int argc, char **argv)
{
	struct arguments arguments = {
		.query = {.dir = AUDIT_TRAIL_DIR, .count = DEFAULT_COUNT, .filter.calls = true},
		.output = {.file = stdout,
			   .colour = isatty(STDOUT_FILENO) != 0 && !getenv("NO_COLOR")},
	};
	int option = 0;
	while ((option = getopt_long(argc, argv, "fo:", options, NULL)) != -1) {
		enum taken taken = take_option(&arguments, option);
		if (taken == TAKEN_USAGE)
			return complain("an option is not understood");
		if (taken == TAKEN_INVALID) {
			fprintf(stderr, "pvcalls-audit: %s\n", arguments.fault.text);
			return AUDIT_INPUT;
		}
	}
	if (arguments.help || arguments.version) {
		fputs(arguments.help ? usage : "pvcalls-audit " PVCALLS_VERSION "\n", stdout);
		return AUDIT_FOUND;
	}
	if (optind < argc)
		return complain("there is an argument too many");
	const char *wrong = contradiction(&arguments);
	if (wrong)
		return complain(wrong);
	return trail_query(&arguments.query, &arguments.output);
}
