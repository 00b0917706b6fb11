/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pvcalls-run with the fake backend: what programs see of their sockets, and exit statuses. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_backend.h"

#define COMMAND_MAX 8

static char directory[] = "/tmp/pvcalls-run-test-XXXXXX";

static int run_make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int run_remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static pid_t run_start(const char *const *command)
{
	const char *argv[COMMAND_MAX + 6] = {PVCALLS_RUN,     "--name",  "probe",
					     "--runtime-dir", directory, "--"};
	size_t count = 6;
	pid_t pid;

	while (*command)
		argv[count++] = *command++;
	pid = fork();
	if (pid == 0) {
		alarm(60);
		execv(PVCALLS_RUN, (char **)(uintptr_t)argv);
		_exit(99);
	}
	assert_true(pid > 0);
	return pid;
}

/* As a shell has it: the status, or 128 and the signal. */
static int run_finish(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run_to_end(const char *const *command)
{
	return run_finish(run_start(command));
}

static pid_t run_start_probe(const char *name)
{
	return run_start((const char *const[]){PROBE_PROGRAM, name, NULL});
}

static struct fake_backend_counts run_probe_with(const char *name,
						 const struct fake_backend_options *options)
{
	struct fake_backend *fake = fake_backend_start(directory, options);
	struct fake_backend_counts counts;
	int status = run_finish(run_start_probe(name));

	counts = fake_backend_counts_at_end(fake);
	fake_backend_stop(fake);
	assert_int_equal(status, 0);
	assert_int_equal(counts.open, 0);
	assert_int_equal(counts.state, 6);
	return counts;
}

static void run_probe(const char *name)
{
	run_probe_with(name, NULL);
}

#define PROBE(function, name)              \
	static void function(void **state) \
	{                                  \
		(void)state;               \
		run_probe(name);           \
	}

PROBE(test_echo, "echo")
PROBE(test_blocking_failure, "blocking-failure")
PROBE(test_nonblocking, "nonblocking")
PROBE(test_nonblocking_failure, "nonblocking-failure")
PROBE(test_epoll_edge, "epoll-edge")
PROBE(test_epoll_refused, "epoll-refused")
PROBE(test_connect_timeout, "connect-timeout")
PROBE(test_interrupted, "interrupted")
PROBE(test_shut_connecting, "shut-connecting")
PROBE(test_end, "end")
PROBE(test_reset, "reset")
PROBE(test_download, "download")
PROBE(test_ended, "ended")
PROBE(test_other_families, "other-families")
PROBE(test_names_and_options, "names-and-options")
PROBE(test_shared, "shared")
PROBE(test_threads, "threads")
PROBE(test_many, "many")
PROBE(test_accept_interrupted, "accept-interrupted")
PROBE(test_bind_failures, "bind-failures")

static void test_run_half_close(void **state)
{
	(void)state;
	assert_int_equal(run_probe_with("half-close", NULL).ends, 1);
}

static void test_no_half_close(void **state)
{
	const struct fake_backend_options options = {.no_half_close = true};

	(void)state;
	assert_int_equal(run_probe_with("no-half-close", &options).ends, 0);
}

static void test_everything_written_arrives(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	struct fake_backend_counts counts;

	(void)state;
	assert_int_equal(run_finish(run_start_probe("write-and-close")), 0);
	counts = fake_backend_counts_at_end(fake);
	fake_backend_stop(fake);
	assert_int_equal(counts.bytes, 3000000);
}

static void run_offer_to(const char *name, uint16_t port, int count)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	pid_t pid = run_start_probe(name);
	int status;

	while (count-- > 0)
		fake_backend_offer(fake, port, FAKE_ECHO);
	status = run_finish(pid);
	fake_backend_stop(fake);
	assert_int_equal(status, 0);
}

static void test_accept(void **state)
{
	(void)state;
	run_offer_to("accept", 100, 3);
}

static void test_accept_edges(void **state)
{
	(void)state;
	run_offer_to("accept-edges", 100, 3);
}

static void test_accept_waiters(void **state)
{
	(void)state;
	run_offer_to("accept-waiters", 40000, 3);
}

static void test_accept_killed(void **state)
{
	(void)state;
	run_offer_to("accept-killed", 100, 1);
}

static void test_run_daemon_dies(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	pid_t pid = run_start_probe("daemon-dies");
	int status;

	(void)state;
	while (fake_backend_counts(fake).bytes == 0)
		usleep(1000);
	fake_backend_die(fake);
	status = run_finish(pid);
	fake_backend_stop(fake);
	assert_int_equal(status, 0);
}

static void test_exit_statuses(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	char file[64];

	(void)state;
	snprintf(file, sizeof(file), "%s", "/dev/null");
	assert_int_equal(run_to_end((const char *const[]){"true", NULL}), 0);
	assert_int_equal(run_to_end((const char *const[]){"sh", "-c", "exit 7", NULL}), 7);
	assert_int_equal(run_to_end((const char *const[]){"sh", "-c", "kill -9 $$", NULL}),
			 128 + 9);
	assert_int_equal(run_to_end((const char *const[]){"/no/such/program", NULL}), 127);
	assert_int_equal(run_to_end((const char *const[]){file, NULL}), 126);
	assert_int_equal(run_to_end((const char *const[]){NULL}), 2);
	fake_backend_stop(fake);
	assert_int_equal(run_to_end((const char *const[]){"true", NULL}), 4);
	fake = fake_backend_start(directory, &(struct fake_backend_options){.refuse = EPERM});
	assert_int_equal(run_to_end((const char *const[]){"true", NULL}), 5);
	fake_backend_stop(fake);
}

/* The end of the command is the end of what it left behind. */
static void test_descendants_end_too(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	time_t before = time(NULL);

	(void)state;
	assert_int_equal(run_to_end((const char *const[]){
				 "sh", "-c", "setsid sleep 50 & sleep 50 & exit 3", NULL}),
			 3);
	assert_true(time(NULL) - before < 20);
	fake_backend_stop(fake);
}

static void test_signals_are_passed_on(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	pid_t pid = run_start((const char *const[]){"sleep", "50", NULL});

	(void)state;
	while (fake_backend_counts(fake).state != 4)
		usleep(1000);
	usleep(200000);
	kill(pid, SIGTERM);
	assert_int_equal(run_finish(pid), 128 + SIGTERM);
	fake_backend_stop(fake);
}

/* Killed as hard as can be, it leaves no guest behind. */
static void test_killed(void **state)
{
	struct fake_backend *fake = fake_backend_start(directory, NULL);
	pid_t pid = run_start_probe("connect-timeout");

	(void)state;
	while (fake_backend_counts(fake).connects == 0)
		usleep(1000);
	kill(pid, SIGKILL);
	assert_int_equal(run_finish(pid), 128 + SIGKILL);
	fake_backend_stop(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_blocking_failure),
		cmocka_unit_test(test_nonblocking),
		cmocka_unit_test(test_nonblocking_failure),
		cmocka_unit_test(test_epoll_edge),
		cmocka_unit_test(test_epoll_refused),
		cmocka_unit_test(test_connect_timeout),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_shut_connecting),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_ended),
		cmocka_unit_test(test_download),
		cmocka_unit_test(test_everything_written_arrives),
		cmocka_unit_test(test_run_half_close),
		cmocka_unit_test(test_no_half_close),
		cmocka_unit_test(test_other_families),
		cmocka_unit_test(test_names_and_options),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_accept_edges),
		cmocka_unit_test(test_accept_waiters),
		cmocka_unit_test(test_accept_killed),
		cmocka_unit_test(test_accept_interrupted),
		cmocka_unit_test(test_bind_failures),
		cmocka_unit_test(test_run_daemon_dies),
		cmocka_unit_test(test_exit_statuses),
		cmocka_unit_test(test_descendants_end_too),
		cmocka_unit_test(test_signals_are_passed_on),
		cmocka_unit_test(test_killed),
	};

	return cmocka_run_group_tests_name("pvcalls-run", tests, run_make_directory,
					   run_remove_directory);
}
