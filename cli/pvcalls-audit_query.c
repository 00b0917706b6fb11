/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pvcalls-audit_query.h"

#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/query/query.h"
#include "audit/query/query_time.h"
#include "base/clock.h"
#include "base/decimal.h"
#include "pvcalls-audit_output.h"

#define DEFAULT_COUNT 20
#define FOLLOW_NS     (200 * NS_PER_MS) /* between two looks for new records */
#define COUNT_NS      NS_PER_S          /* what counting the records that are not shown may take */

static const char usage[] =
	"usage: pvcalls-audit [query] [OPTION]...\n"
	"Shows records of the audit trail: what guests asked for, what was decided, by whom.\n"
	"\n"
	"Which records (an option again: either; another option: both; --not: not the next one):\n"
	"  --guest NAME|DOMID|UUID  globs allowed       --op OPERATION     connect, accept, ...\n"
	"  --verdict VERDICT        allow, deny, would_deny, fault, none\n"
	"  --outcome OUTCOME        ok, error, cancelled, unknown\n"
	"  --decider NAME           floor, default or a plugin (also: --plugin)\n"
	"  --rule ID                                    --policy NAME\n"
	"  --rewriter NAME          plugin that changed the address\n"
	"  --rewrite-rule ID        and its rule\n"
	"  --address NETWORK        of any endpoint: 192.0.2.0/24\n"
	"  --to NETWORK             connections to it   --from NETWORK     accepted from it\n"
	"  --port PORT|FIRST-LAST                       --errno NAME       ok, ECONNREFUSED, unknown\n"
	"  --socket NUMBER          and what it accepted\n"
	"  --serial NUMBER          of the call within its engine\n"
	"  --since TIME, --until TIME\n"
	"                           2026-01-02, 2026-01-02T03:04:05Z, -15m, today, yesterday, boot\n"
	"  --events[=only]          events of the system too, or only they\n"
	"How many, and how they are shown:\n"
	"  -n, --last N             the last N          --first N          the first N\n"
	"  --all                    every one           -f, --follow       and new ones as they come\n"
	"                           Without them: every one with --since or --until, else the last 20\n"
	"  -o, --output FORMAT      table, compact, json, jsonl, csv\n"
	"  --trail DIR              the trail's folder (" AUDIT_TRAIL_DIR ")\n"
	"  --help, --version\n"
	"Exit status: 0 found, 1 nothing found, 2 usage, 3 input invalid, 4 trail out of reach,\n"
	"5 not permitted. See pvcalls-audit(1).\n";

enum option_id {
	OPTION_FIELD = 256, /* and one for each enum query_field */
	OPTION_NOT = OPTION_FIELD + QUERY_FIELDS,
	OPTION_SINCE,
	OPTION_UNTIL,
	OPTION_EVENTS,
	OPTION_FIRST,
	OPTION_ALL,
	OPTION_TRAIL,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option options[] = {
	{"guest", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_GUEST},
	{"op", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_OPERATION},
	{"call", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_OPERATION},
	{"verdict", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_VERDICT},
	{"outcome", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_OUTCOME},
	{"decider", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_DECIDER},
	{"plugin", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_DECIDER},
	{"rule", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_RULE},
	{"rewriter", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_REWRITER},
	{"rewrite-rule", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_REWRITE_RULE},
	{"policy", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_POLICY},
	{"address", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_ADDRESS},
	{"to", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_TO},
	{"from", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_FROM},
	{"port", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_PORT},
	{"errno", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_ERRNO},
	{"socket", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_SOCKET},
	{"serial", required_argument, NULL, OPTION_FIELD + QUERY_FIELD_SERIAL},
	{"not", no_argument, NULL, OPTION_NOT},
	{"since", required_argument, NULL, OPTION_SINCE},
	{"until", required_argument, NULL, OPTION_UNTIL},
	{"events", optional_argument, NULL, OPTION_EVENTS},
	{"last", required_argument, NULL, 'n'},
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
	bool follow;  /* go on with new records until killed */
	bool negate;  /* --not was last */
	bool counted; /* it was said how many ... */
	bool bounded; /* ... and since or until when */
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

static enum taken query_take_time(struct arguments *arguments, int64_t *time_ns)
{
	int error = query_time_parse(optarg, (int64_t)clock_wall_ns(), time_ns, &arguments->fault);
	arguments->bounded = true;
	/* 0 is no bound to a filter; no record lies between it and the nanosecond after it. */
	if (*time_ns == 0)
		*time_ns = 1;
	return error < 0 ? TAKEN_INVALID : TAKEN;
}

static enum taken query_take_count(struct arguments *arguments, bool first)
{
	arguments->query.first = first;
	arguments->counted = true;
	if (decimal_read(optarg, UINT64_MAX, &arguments->query.count) == 0)
		return TAKEN;
	fault_set(&arguments->fault, EINVAL, "'%s' is no number of records", optarg);
	return TAKEN_INVALID;
}

static enum taken query_take_events(struct query_filter *filter)
{
	filter->events = true;
	if (!optarg)
		return TAKEN;
	filter->calls = false;
	return strcmp(optarg, "only") == 0 ? TAKEN : TAKEN_USAGE;
}

static enum taken query_take_format(struct arguments *arguments)
{
	if (output_parse(optarg, &arguments->output.format) == 0)
		return TAKEN;
	fprintf(stderr, "pvcalls-audit: '%s' is no format\n", optarg);
	return TAKEN_USAGE;
}

static enum taken query_take_field(struct arguments *arguments, int option)
{
	bool negate = arguments->negate;
	arguments->negate = false;
	int error = query_filter_add(&arguments->query.filter,
				     (enum query_field)(option - OPTION_FIELD), negate, optarg,
				     &arguments->fault);
	return error < 0 ? TAKEN_INVALID : TAKEN;
}

static enum taken query_take_option(struct arguments *arguments, int option)
{
	struct query *query = &arguments->query;
	if (option >= OPTION_FIELD && option < OPTION_FIELD + QUERY_FIELDS)
		return query_take_field(arguments, option);
	if (arguments->negate)
		return TAKEN_USAGE;
	switch (option) {
	case OPTION_NOT:
		arguments->negate = true;
		return TAKEN;
	case OPTION_SINCE:
		return query_take_time(arguments, &query->filter.since_ns);
	case OPTION_UNTIL:
		return query_take_time(arguments, &query->filter.until_ns);
	case OPTION_EVENTS:
		return query_take_events(&query->filter);
	case 'n':
		return query_take_count(arguments, false);
	case OPTION_FIRST:
		return query_take_count(arguments, true);
	case OPTION_ALL:
		query->count = QUERY_ALL;
		arguments->counted = true;
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
		arguments->follow = true;
		return TAKEN;
	case 'o':
		return query_take_format(arguments);
	default:
		return TAKEN_USAGE;
	}
}

/* Combinations that can't be answered. NULL: none of them. */
static const char *query_contradiction(const struct arguments *arguments)
{
	const struct query *query = &arguments->query;
	if (arguments->negate)
		return "--not is followed by no filter";
	if (arguments->follow && query->first)
		return "--follow goes on at the end: it can't be used with --first";
	if (arguments->follow && arguments->output.format == OUTPUT_JSON)
		return "json is one list, which does not end here: use -o jsonl with --follow";
	if (query->filter.calls && query->filter.events && arguments->output.format == OUTPUT_CSV)
		return "csv has one kind of rows: use --events=only, or another format";
	return NULL;
}

static enum audit_status query_complain(const char *what)
{
	fprintf(stderr, "pvcalls-audit: %s: see pvcalls-audit --help\n", what);
	return AUDIT_USAGE;
}

/* What has become of a query. */
struct answer {
	struct output *output;
	bool unreadable; /* a segment was passed over */
};

static void query_print_row(void *owner, sqlite3_stmt *row, bool event)
{
	struct answer *answer = owner;
	output_row(answer->output, row, event);
}

static void query_print_passed_over(void *owner, const char *text)
{
	struct answer *answer = owner;
	answer->unreadable = true;
	fprintf(stderr, "pvcalls-audit: %s: its records are not shown\n", text);
}

/* Prints new records as they come. Returns -errno and *fault when the trail can't be read. */
static int query_follow(struct query_scan *scan, struct output *output, struct fault *fault)
{
	static const struct timespec nap = {.tv_nsec = FOLLOW_NS};
	int error = 0;
	while (error == 0) {
		fflush(output->file);
		nanosleep(&nap, NULL);
		error = query_read_new(scan, fault);
	}
	return error;
}

/* A number for people: 1,234,567. */
static const char *query_write_number(uint64_t number, char out[32])
{
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
	char *to = out;
	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return out;
}

/*
 * Says, on standard error, that there are records which are not shown. A program that reads rows
 * and has said how many it wants is not told.
 */
static void query_tell_cut(struct query_scan *scan, const struct arguments *arguments)
{
	const struct query *query = &arguments->query;
	uint64_t shown = arguments->output.rows;
	uint64_t count = 0;
	char numbers[2][32];
	if (query->count == QUERY_ALL || shown < query->count ||
	    (arguments->counted && !output_is_for_people(&arguments->output)))
		return;
	bool all = query_count(scan, COUNT_NS, &count);
	if (all && count <= shown)
		return;
	fflush(arguments->output.file);
	fprintf(stderr, "pvcalls-audit: the %s %s of %s%s records are shown: --all shows all\n",
		query->first ? "first" : "last", query_write_number(shown, numbers[0]),
		all ? "" : "at least ",
		query_write_number(count > shown ? count : shown, numbers[1]));
}

/* Where a person sees what is said; NULL: nobody does. What a program reads stays its alone. */
static FILE *query_person(const struct output *output)
{
	bool errors = isatty(STDERR_FILENO) != 0;
	bool rows = isatty(fileno(output->file)) != 0;
	if (!output_is_for_people(output))
		return errors && rows ? stderr : NULL;
	if (errors)
		return stderr;
	return rows ? output->file : NULL;
}

/* Says that there is no record, where a person sits before it. Programs have the exit status. */
static void query_tell_none(const struct arguments *arguments, bool unreadable)
{
	FILE *to = query_person(&arguments->output);
	if (arguments->output.rows > 0 || arguments->query.count == 0 || !to)
		return;
	fprintf(to, "pvcalls-audit: no record%s %s%s\n", unreadable ? " that may be read" : "",
		arguments->query.filter.count > 0 || arguments->bounded ? "matches" : "is there",
		arguments->follow ? " yet" : "");
	fflush(to);
}

static enum audit_status query_run(struct arguments *arguments)
{
	struct fault *fault = &arguments->fault;
	struct answer answer = {.output = &arguments->output};
	const struct query_reader reader = {
		.row = query_print_row, .passed_over = query_print_passed_over, .owner = &answer};
	struct query_scan *scan = NULL;
	int error = query_open(&scan, &arguments->query, &reader, fault);
	const char *advice = error < 0 ? ": name the trail's folder with --trail" : "";
	if (error == 0)
		error = query_read(scan, fault);
	if (error == 0) {
		query_tell_cut(scan, arguments);
		query_tell_none(arguments, answer.unreadable);
	}
	if (error == 0 && arguments->follow)
		error = query_follow(scan, &arguments->output, fault);
	query_close(scan);
	output_end(&arguments->output);
	if (error < 0) {
		fprintf(stderr, "pvcalls-audit: %s%s\n", fault->text,
			error == -ENOMEM ? "" : advice);
		return error == -EACCES || error == -EPERM ? AUDIT_DENIED : AUDIT_TRAIL;
	}
	if (arguments->output.rows > 0)
		return AUDIT_FOUND;
	return answer.unreadable ? AUDIT_DENIED : AUDIT_NOTHING;
}

/* Of the one character that is not ASCII: what the locale can show. */
static const char *query_arrow(void)
{
	setlocale(LC_CTYPE, "");
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? "\xe2\x86\x92" : "->";
}

enum audit_status query_main(int argc, char **argv)
{
	struct arguments arguments = {
		.query = {.dir = AUDIT_TRAIL_DIR, .count = DEFAULT_COUNT, .filter.calls = true},
		.output = {.file = stdout,
			   .colour = isatty(STDOUT_FILENO) != 0 && !getenv("NO_COLOR"),
			   .arrow = query_arrow()},
	};
	int option = 0;
	while ((option = getopt_long(argc, argv, "fn:o:", options, NULL)) != -1) {
		enum taken taken = query_take_option(&arguments, option);
		if (taken == TAKEN_USAGE)
			return query_complain("an option is not understood");
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
		return query_complain("there is an argument too many");
	const char *wrong = query_contradiction(&arguments);
	if (wrong)
		return query_complain(wrong);
	/* Who gives bounds wants what lies between them. */
	if (arguments.bounded && !arguments.counted)
		arguments.query.count = QUERY_ALL;
	return query_run(&arguments);
}
