/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real pvcalls-audit on a trail of three segments with known rows. */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "audit/store/segment.h"
#include "trail_harness.h"

static struct folder folder;
static char output[1 << 20]; /* of the last run: standard output, or both streams */
static char errors[1 << 12]; /* and standard error */
static const char *subcommand = "";

static int make_trail(void **state)
{
	(void)state;
	trail_of_two_guests(&folder);
	return 0;
}

static int remove_trail(void **state)
{
	(void)state;
	folder_remove(&folder);
	return 0;
}

/* Runs the program with arguments as a shell reads them; returns its exit status. */
static int run_into(const char *arguments, const char *redirection)
{
	char command[1024];
	snprintf(command, sizeof(command), "%s %s --trail %s %s %s", PVCALLS_AUDIT, subcommand,
		 folder.path, arguments, redirection);
	FILE *pipe = popen(command, "re"); /* NOLINT(cert-env33-c): arguments are this file's */
	assert_non_null(pipe);
	size_t size = fread(output, 1, sizeof(output) - 1, pipe);
	output[size] = '\0';
	int status = pclose(pipe);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Both streams into output, as they come. */
static int run(const char *arguments)
{
	return run_into(arguments, "2>&1");
}

/* Each stream into its own. */
static int run_apart(const char *arguments)
{
	char path[128];
	char redirection[160];
	snprintf(path, sizeof(path), "%s/stderr", folder.path);
	snprintf(redirection, sizeof(redirection), "2>%s", path);
	int status = run_into(arguments, redirection);
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	errors[fread(errors, 1, sizeof(errors) - 1, file)] = '\0';
	fclose(file);
	return status;
}

/* The seqs that a query finds, as "1,2,3". */
static const char *found(const char *arguments)
{
	static char list[4096];
	char command[1024];
	size_t used = 0;
	list[0] = '\0';
	snprintf(command, sizeof(command), "-o jsonl %s", arguments);
	int status = run_apart(command);
	for (char *line = output; *line != '\0';) {
		char *end = strchr(line, '\n');
		if (!end)
			fail_msg("%s: %s", arguments, output);
		*end = '\0';
		json_t *row = json_loads(line, 0, NULL);
		if (!row)
			fail_msg("%s: %s", arguments, line);
		bool event =
			strcmp(json_string_value(json_object_get(row, "record")), "event") == 0;
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s%lld",
					 used > 0 ? "," : "", event ? "e" : "",
					 json_integer_value(json_object_get(row, "seq")));
		json_decref(row);
		line = end + 1;
	}
	assert_int_equal(status, used > 0 ? 0 : 1);
	return list;
}

static void test_counts_and_order(void **state)
{
	(void)state;
	assert_string_equal(found("--last 3"), "58,59,60");
	assert_string_equal(found("--first 3"), "1,2,3");
	assert_string_equal(
		found("--last 25 --guest alpha"),
		"12,14,16,18,20,22,24,26,28,30,32,34,36,38,40,42,44,46,48,50,52,54,56,58,60");
	assert_int_equal(run("-o jsonl"), 0);
	assert_int_equal(strlen(found("")), strlen("41,") * 20 - 1);
	assert_true(strncmp(found("--all"), "1,2,3,4,", 8) == 0);
	subcommand = "query";
	assert_string_equal(found("--last 1"), "60");
	subcommand = "";
	assert_string_equal(found("--first 22 --guest beta --not --op connect"),
			    "5,11,17,23,29,35,41,47,53,59");
}

static void test_filters(void **state)
{
	(void)state;
	assert_string_equal(found("--guest alpha --last 2"), "58,60");
	assert_string_equal(found("--guest 12 --last 2"), "57,59");
	assert_string_equal(found("--guest 'b*' --last 2"), "57,59");
	assert_string_equal(found("--guest 00000000-0000-4000-8000-000000000011 --last 1"), "60");
	assert_string_equal(found("--guest alpha --guest beta --last 2"), "59,60");
	assert_string_equal(found("--not --guest alpha --last 2"), "57,59");
	assert_string_equal(found("--op accept --last 2"), "53,59");
	assert_string_equal(found("--call accept --not --verdict deny --last 2"), "47,53");
	assert_string_equal(found("--verdict deny --last 3"), "49,54,59");
	assert_string_equal(found("--verdict deny --verdict fault --guest alpha --last 2"),
			    "44,54");
	assert_string_equal(found("--decider floor --last 1"), "59");
	assert_string_equal(found("--plugin filter --last 1"), "60");
	assert_string_equal(found("--rule 'host-*' --last 1"), "59");
	assert_string_equal(found("--policy other"), "");
	assert_string_equal(found("--serial 17 --serial 18"), "17,18");
	assert_string_equal(found("--socket 1"), "1,2,3,4,5,6,7,8,9");
	assert_string_equal(found("--errno EACCES --last 1"), "59");
	assert_string_equal(found("--errno 13 --last 1"), "59");
	assert_string_equal(found("--errno ok --last 1"), "60");
	assert_string_equal(found("--errno unknown"), "33");
	assert_string_equal(found("--errno ECANCELED"), "31,41");
	assert_string_equal(found("--verdict none"), "41");
	assert_string_equal(found("--verdict none --verdict deny --last 3"), "49,54,59");
	assert_string_equal(found("--outcome cancelled"), "31,41");
	assert_string_equal(found("--outcome unknown"), "33");
	assert_string_equal(found("--outcome error --last 2"), "54,59");
	assert_string_equal(found("--outcome ok --last 2"), "58,60");
	assert_string_equal(found("--not --outcome ok --guest beta --first 5"), "9,19,29,31,33");
}

static void test_addresses_and_ports(void **state)
{
	(void)state;
	assert_string_equal(found("--to 192.0.2.8/30"), "8,9,10");
	assert_string_equal(found("--to 192.0.2.7"), "7");
	assert_string_equal(found("--from 198.51.100.0/24 --last 2"), "53,59");
	assert_string_equal(found("--to 198.51.100.0/24"), "");
	assert_string_equal(found("--address 198.51.100.11 --address 192.0.2.12"), "11,12");
	assert_string_equal(found("--address 0.0.0.0/0 --last 1"), "60");
	assert_string_equal(found("--port 443 --last 1"), "60");
	assert_string_equal(found("--port 8000-8100 --last 1"), "59");
	assert_string_equal(found("--not --port 443 --last 2"), "53,59");
	assert_string_equal(found("--port 44-99"), "");
	assert_string_equal(found("--port 40-500 --first 1"), "1");
}

static void test_times(void **state)
{
	(void)state;
	assert_string_equal(found("--since 2026-01-02T00:58:00Z"), "58,59,60");
	assert_string_equal(found("--since 2026-01-02T00:58:00.000000001Z"), "59,60");
	assert_string_equal(found("--since '2026-01-02 01:58+01:00'"), "58,59,60");
	assert_string_equal(found("--since 2026-01-02 --until 2026-01-02T00:03:00Z"), "1,2");
	assert_string_equal(found("--until 2026-01-02"), "");
	assert_string_equal(found("--since -1000w --last 1"), "60");
	assert_int_equal(run("--since now"), 1);
	assert_int_equal(run("--since boot --until today --since yesterday"), 1);
}

static void test_bounds_imply_all(void **state)
{
	(void)state;
	static const char *const all[] = {"--since 2026-01-01", "--until 2026-01-03",
					  "--since 1970-01-01",
					  "--since 2026-01-01 --until 2026-01-03", "--all"};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const char *list = found(all[i]);
		assert_true(strncmp(list, "1,2,3,", 6) == 0 && strlen(list) > 60 * 2);
		assert_string_equal(errors, "");
	}
	assert_string_equal(found("--until 1970-01-01"), "");
	assert_string_equal(found("--since 2026-01-01 -n 2"), "59,60");
	assert_string_equal(found("-n 2 --since 2026-01-01"), "59,60");
	assert_string_equal(found("--until 2026-01-03 --first 2"), "1,2");
}

static void test_a_cut_is_told(void **state)
{
	(void)state;
	static const char *const formats[] = {"table", "compact", "json", "jsonl", "csv"};
	char arguments[64];
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		bool people = i < 2;
		snprintf(arguments, sizeof(arguments), "-o %s", formats[i]);
		assert_int_equal(run_apart(arguments), 0);
		assert_null(strstr(output, "shown"));
		assert_string_equal(errors, "pvcalls-audit: the last 20 of 60 records are shown: "
					    "--all shows all\n");
		snprintf(arguments, sizeof(arguments), "-o %s --first 25", formats[i]);
		assert_int_equal(run_apart(arguments), 0);
		assert_string_equal(errors, people ? "pvcalls-audit: the first 25 of 60 records "
						     "are shown: --all shows all\n"
						   : "");
	}
	assert_int_equal(run_apart("--events --guest alpha --last 30"), 0);
	assert_string_equal(
		errors, "pvcalls-audit: the last 30 of 31 records are shown: --all shows all\n");
	/* Nothing is missing: as many as there are, or fewer. */
	static const char *const whole[] = {"--last 60",  "--first 60",
					    "--last 61",  "--guest alpha --last 30",
					    "--socket 1", "--all"};
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		assert_int_equal(run_apart(whole[i]), 0);
		assert_string_equal(errors, "");
	}
	/* After the rows, also where both streams are one. */
	assert_int_equal(run("-o compact"), 0);
	assert_non_null(strstr(output, "\npvcalls-audit: the last 20 of 60 records"));
}

#define BOTH (-1)

/* What appears on a terminal that is standard output or error, the other one being /dev/null, or
 * both. */
static const char *on_terminal(int stream, const char *format, const char *option,
			       const char *value)
{
	struct winsize size = {.ws_row = 24, .ws_col = 200};
	int terminal = -1;
	int ours = -1;
	assert_int_equal(openpty(&ours, &terminal, NULL, NULL, &size), 0);
	pid_t child = fork();
	if (child == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(stream != STDERR_FILENO ? terminal : null, STDOUT_FILENO);
		dup2(stream != STDOUT_FILENO ? terminal : null, STDERR_FILENO);
		execl(PVCALLS_AUDIT, PVCALLS_AUDIT, "--trail", folder.path, "-o", format, option,
		      value, NULL);
		_exit(98);
	}
	close(terminal);
	/* Ends with EIO when the child has closed the other end. */
	size_t used = 0;
	ssize_t got = 0;
	while ((got = read(ours, output + used, sizeof(output) - 1 - used)) > 0)
		used += (size_t)got;
	output[used] = '\0';
	close(ours);
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
	return output;
}

static void test_nothing_found_is_told_on_a_terminal(void **state)
{
	(void)state;
	static const int streams[] = {STDOUT_FILENO, STDERR_FILENO};
	static const char *const people[] = {"table", "compact"};
	static const char *const programs[] = {"jsonl", "csv"};
	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < 2; j++) {
			assert_string_equal(on_terminal(streams[i], people[j], "--guest", "nobody"),
					    "pvcalls-audit: no record matches\r\n");
			assert_string_equal(
				on_terminal(streams[i], programs[j], "--guest", "nobody"), "");
		}
		assert_null(strstr(on_terminal(streams[i], "table", "--serial", "5"), "no record"));
		assert_string_equal(on_terminal(streams[i], "table", "--until", "2026-01-01"),
				    "pvcalls-audit: no record matches\r\n");
	}
	/* Nobody but a person reads there, whatever the format is. */
	assert_string_equal(on_terminal(BOTH, "table", "--guest", "nobody"),
			    "pvcalls-audit: no record matches\r\n");
	assert_string_equal(on_terminal(BOTH, "csv", "--guest", "nobody"),
			    "pvcalls-audit: no record matches\r\n");
	assert_string_equal(on_terminal(BOTH, "json", "--guest", "nobody"),
			    "pvcalls-audit: no record matches\r\n[]\r\n");
	assert_null(strstr(on_terminal(BOTH, "jsonl", "--serial", "5"), "no record"));
	/* No terminal: the exit status is all. */
	assert_int_equal(run("--guest nobody"), 1);
	assert_string_equal(output, "");
}

static void test_events(void **state)
{
	(void)state;
	assert_string_equal(found("--events --last 4"), "58,59,60,e6");
	assert_string_equal(found("--events --first 12"), "1,2,3,4,5,6,7,8,9,10,e1,11");
	assert_string_equal(found("--events=only --last 2"), "e5,e6");
	assert_string_equal(found("--events=only --guest alpha"), "e1");
	assert_string_equal(found("--events --op accept --last 2"), "53,59");
	assert_string_equal(found("--events=only --since 2026-01-02T00:50:00Z"), "e5,e6");
}

static void test_json_is_complete(void **state)
{
	(void)state;
	assert_int_equal(run("-o json --serial 33 --serial 34"), 0);
	json_t *rows = json_loads(output, 0, NULL);
	assert_int_equal(json_array_size(rows), 2);
	json_t *row = json_array_get(rows, 1);
	assert_int_equal(json_object_size(row), 39);
	assert_string_equal(json_string_value(json_object_get(row, "time")),
			    "2026-01-02T00:34:00.000000000Z");
	assert_string_equal(json_string_value(json_object_get(row, "errno_name")), "EACCES");
	assert_int_equal(json_integer_value(json_object_get(row, "errno")), 13);
	assert_string_equal(json_string_value(json_object_get(row, "requested_address")),
			    "192.0.2.34");
	assert_true(json_is_false(json_object_get(row, "rewritten")));
	row = json_array_get(rows, 0);
	assert_string_equal(json_string_value(json_object_get(row, "outcome")), "unknown");
	assert_true(json_is_null(json_object_get(row, "errno")));
	json_decref(rows);
	assert_int_equal(run("-o json --serial 999"), 1);
	assert_string_equal(output, "[]\n");
}

static void test_nothing_reaches_a_terminal_raw(void **state)
{
	(void)state;
	static const char *const formats[] = {"table", "compact", "json", "jsonl", "csv"};
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		char arguments[64];
		snprintf(arguments, sizeof(arguments), "-o %s --verdict deny --all", formats[i]);
		assert_int_equal(run(arguments), 0);
		for (const char *at = output; *at != '\0'; at++) {
			bool line = *at == '\n' || (*at == '\r' && at[1] == '\n');
			if (!line && (*at < 0x20 || *at > 0x7e))
				fail_msg("%s: byte 0x%02x", formats[i], (unsigned char)*at);
		}
		assert_non_null(strstr(output, "evil"));
	}
	assert_int_equal(run("--events=only -o compact --last 1"), 0);
	assert_non_null(strstr(output, "event\\x0awith a line"));
}

static void test_csv_holds_no_formula(void **state)
{
	(void)state;
	assert_int_equal(run("-o csv --verdict deny --last 1"), 0);
	assert_non_null(strstr(output, ",\"'=cmd|' \\x1b[31m\\x01\\xff\"\"evil\"\"\\x7f\","));
	assert_true(strncmp(output, "seq,time,time_ns,", 17) == 0);
}

static void test_no_colour_into_a_pipe(void **state)
{
	(void)state;
	assert_int_equal(run("--verdict deny"), 0);
	assert_null(strchr(output, '\033'));
	assert_non_null(strstr(output, "DECIDED BY"));
}

/* What a person is to see is that it was no denial. */
static void test_a_cancelled_call_is_shown_as_one(void **state)
{
	(void)state;
	assert_int_equal(run("-o compact --outcome cancelled"), 0);
	assert_non_null(strstr(output, " connect 192.0.2.31:443 allow cancelled "));
	assert_non_null(strstr(output, " accept 10.0.0.1:8080 none cancelled "));
	assert_int_equal(run("--outcome cancelled"), 0);
	assert_null(strstr(output, "ECANCELED"));
}

static void test_exit_status(void **state)
{
	(void)state;
	assert_int_equal(run("--help"), 0);
	assert_int_equal(run("--version"), 0);
	assert_int_equal(run("--serial 999"), 1);
	assert_int_equal(run("--bogus"), 2);
	assert_int_equal(run("surplus extra"), 2);
	assert_int_equal(run("--not"), 2);
	assert_int_equal(run("--not --last 3"), 2);
	assert_int_equal(run("-o yaml"), 2);
	assert_int_equal(run("-f -o json"), 2);
	assert_int_equal(run("--events -o csv"), 2);
	assert_int_equal(run("--op frobnicate"), 3);
	assert_int_equal(run("--verdict perhaps"), 3);
	assert_int_equal(run("--outcome sometimes"), 3);
	assert_int_equal(run("--address 300.1.1.1"), 3);
	assert_int_equal(run("--address 10.0.0.0/33"), 3);
	assert_int_equal(run("--port 70000"), 3);
	assert_int_equal(run("--port 10-5"), 3);
	assert_int_equal(run("--since tomorrowish"), 3);
	assert_int_equal(run("--since 9999-01-01"), 3);
	assert_int_equal(run("--errno EWHAT"), 3);
	assert_int_equal(run("--last many"), 3);
	assert_int_equal(run("--trail /nonexistent"), 4);
}

static void test_another_version_is_refused(void **state)
{
	(void)state;
	struct folder other;
	char path[128];
	char arguments[128];
	folder_make(&other);
	snprintf(path, sizeof(path), "%s/audit-00000001.db", other.path);
	store_foreign(path, "PRAGMA application_id = 0x70766361; PRAGMA user_version = 9;"
			    "CREATE TABLE t (a);");
	snprintf(arguments, sizeof(arguments), "--trail %s", other.path);
	assert_int_equal(run(arguments), 4);
	assert_non_null(strstr(output, "another version"));
	folder_remove(&other);
}

static void test_others_read_sealed_segments_only(void **state)
{
	(void)state;
	if (geteuid() != 0)
		not_run("only root can become another user");
	assert_int_equal(chmod(folder.path, 0755), 0);
	char path[SEGMENT_PATH_MAX];
	segment_path(path, folder.path, 1);
	assert_int_equal(chmod(path, 0444), 0);
	int status = system("true"); /* NOLINT(cert-env33-c): a constant */
	assert_int_equal(status, 0);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(99);
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execl(PVCALLS_AUDIT, PVCALLS_AUDIT, "--trail", folder.path, "--all", "-o", "jsonl",
		      NULL);
		_exit(98);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(chmod(path, SEGMENT_MODE_DONE), 0);
}

/* Reads from fd until text is there or ms are over. */
static bool appears(int fd, const char *text, int ms)
{
	size_t size = strlen(output);
	for (int waited = 0; waited < ms; waited += 20) {
		ssize_t got = read(fd, output + size, sizeof(output) - 1 - size);
		if (got > 0)
			size += (size_t)got;
		output[size] = '\0';
		if (strstr(output, text))
			return true;
		usleep(20000);
	}
	return false;
}

static void test_follow_shows_new_rows_across_segments(void **state)
{
	(void)state;
	struct folder live;
	struct daemon daemon;
	struct engine engine;
	int pipes[2];
	char *const arguments[] = {"--segment-bytes", "300000", NULL};
	folder_make(&live);
	daemon_init(&daemon);
	daemon_start(&daemon, &live, arguments);
	engine_start(&engine, &daemon, "alpha", 1);
	assert_true(daemon_await(&daemon, &daemon.ready, 1, 10000));
	assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(pipes[1], STDOUT_FILENO);
		fcntl(STDOUT_FILENO, F_SETFL, 0);
		execl(PVCALLS_AUDIT, PVCALLS_AUDIT, "--trail", live.path, "--all", "-f", "-o",
		      "compact", "--verdict", "deny", NULL);
		_exit(98);
	}
	close(pipes[1]);
	output[0] = '\0';
	for (int i = 0; i < 4; i++) {
		char last[32];
		for (int j = 0; j < 2000; j++)
			assert_true(engine_produce(&engine));
		audit_queue_flush(engine.queue, true);
		assert_true(engine_settle(&engine, &daemon, 10000));
		snprintf(last, sizeof(last), "\n%d ", (i + 1) * 2000 - 1);
		if (!appears(pipes[0], last, 10000))
			fail_msg("no row %s in: ...%s", last + 1,
				 output + (strlen(output) > 300 ? strlen(output) - 300 : 0));
	}
	/* Every fifth is denied: each of them once, in order. */
	int64_t expected = 4;
	for (char *line = strtok(output, "\n"); line; line = strtok(NULL, "\n")) {
		assert_int_equal(strtoll(line, NULL, 10), expected);
		expected += 5;
	}
	assert_int_equal(expected, 8004);
	kill(child, SIGTERM);
	waitpid(child, NULL, 0);
	close(pipes[0]);
	audit_link_finish(daemon.link, engine.identity.queue_id);
	assert_true(daemon_await(&daemon, &daemon.finished, 1, 10000));
	engine_end(&engine);
	assert_int_equal(daemon_end(&daemon), 0);
	folder_remove(&live);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts_and_order),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_addresses_and_ports),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_bounds_imply_all),
		cmocka_unit_test(test_a_cut_is_told),
		cmocka_unit_test(test_nothing_found_is_told_on_a_terminal),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_json_is_complete),
		cmocka_unit_test(test_nothing_reaches_a_terminal_raw),
		cmocka_unit_test(test_csv_holds_no_formula),
		cmocka_unit_test(test_no_colour_into_a_pipe),
		cmocka_unit_test(test_a_cancelled_call_is_shown_as_one),
		cmocka_unit_test(test_exit_status),
		cmocka_unit_test(test_another_version_is_refused),
		cmocka_unit_test(test_others_read_sealed_segments_only),
		cmocka_unit_test(test_follow_shows_new_rows_across_segments),
	};
	return cmocka_run_group_tests(tests, make_trail, remove_trail);
}
