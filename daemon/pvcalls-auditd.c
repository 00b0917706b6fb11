/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit writer: the only process that writes the trail. Started by pvcallsd. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/auditd/auditd_sandbox.h"
#include "audit/auditd/writer.h"
#include "base/decimal.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sanitize.h"
#include "ipc/auditd_message.h"

#define EXIT_USAGE 2

struct arguments {
	struct writer_options writer;
	uint32_t uid;
	enum log_level log_level;
};

static int auditd_usage(FILE *out, int status)
{
	fprintf(out,
		"usage: pvcalls-auditd [--uid N] [--sync] [--segment-bytes N] [--segment-age S]\n"
		"                      [--log-level 0..3]\n"
		"Started by pvcallsd, with its control socket as descriptor %d, the eventfd by\n"
		"which engines wake it as %d and the trail's folder as %d. See pvcalls-auditd(8).\n",
		AUDITD_SOCKET_FD, AUDITD_EVENTFD, AUDITD_FOLDER_FD);
	return status;
}

enum option_id {
	OPTION_UID = 256,
	OPTION_SYNC,
	OPTION_SEGMENT_BYTES,
	OPTION_SEGMENT_AGE,
	OPTION_LOG_LEVEL,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option options[] = {
	{"uid", required_argument, NULL, OPTION_UID},
	{"sync", no_argument, NULL, OPTION_SYNC},
	{"segment-bytes", required_argument, NULL, OPTION_SEGMENT_BYTES},
	{"segment-age", required_argument, NULL, OPTION_SEGMENT_AGE},
	{"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static int auditd_take_option(struct arguments *arguments, int option)
{
	uint64_t number = 0;
	int error = 0;
	switch (option) {
	case OPTION_UID:
		error = decimal_read(optarg, UINT32_MAX - 1, &number);
		arguments->uid = (uint32_t)number;
		break;
	case OPTION_SYNC:
		arguments->writer.sync = true;
		break;
	case OPTION_SEGMENT_BYTES:
		error = decimal_read(optarg, INT64_MAX, &arguments->writer.store.segment_bytes);
		break;
	case OPTION_SEGMENT_AGE:
		error = decimal_read(optarg, INT32_MAX, &arguments->writer.store.segment_age_s);
		break;
	case OPTION_LOG_LEVEL:
		error = decimal_read(optarg, LOG_LEVEL_DEBUG, &number);
		arguments->log_level = (enum log_level)number;
		break;
	default:
		return -EINVAL;
	}
	if (error < 0)
		fprintf(stderr, "pvcalls-auditd: '%s' is no number in range\n", optarg);
	return error;
}

/* Facts that can't be read any more once the trail is our whole file system. */
static void auditd_look_around(struct writer_options *writer, char *about, size_t size)
{
	char link[64];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", AUDITD_FOLDER_FD);
	ssize_t length = readlink(link, about, size - 1);
	snprintf(about + (length > 0 ? length : 0), length > 0 ? 1 : size, "%s",
		 length > 0 ? "" : "?");
	writer->about = about;

	autoclose int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char *boot_id = writer->store.boot_id;
	length = fd < 0 ? 0 : read(fd, boot_id, sizeof(writer->store.boot_id) - 1);
	boot_id[length > 0 ? length : 0] = '\0';
	boot_id[strcspn(boot_id, "\n")] = '\0';
}

/* The supervisor's end of the socket says when to stop, not a signal that its whole group gets. */
static void auditd_ignore_signals(void)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXFSZ};
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_IGN);
}

static int auditd_serve(struct arguments *arguments)
{
	static char about[4096];
	struct log log;
	struct fault fault = {0};
	log_init(&log, "pvcalls-auditd", arguments->log_level);
	auditd_look_around(&arguments->writer, about, sizeof(about));
	auditd_ignore_signals();
	umask(S_IRWXG | S_IRWXO);

	/* A folder left open would be a way out of the chroot. */
	close_range(AUDITD_FOLDER_FD + 1, UINT32_MAX, 0);
	int error = auditd_sandbox_files(AUDITD_FOLDER_FD, arguments->uid, &fault);
	if (error == 0)
		error = auditd_sandbox_calls(&fault);
	if (error < 0) {
		log_error(&log, "%s", fault.text);
		return EXIT_FAILURE;
	}
	close(AUDITD_FOLDER_FD);
	return writer_run(&arguments->writer, &log) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {
		.writer = {.store = {.dir = "."},
			   .control = AUDITD_SOCKET_FD,
			   .eventfd = AUDITD_EVENTFD},
		.uid = AUDITD_SANDBOX_STAY,
		.log_level = LOG_LEVEL_INFO,
	};
	int option = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == OPTION_HELP)
			return auditd_usage(stdout, EXIT_SUCCESS);
		if (option == OPTION_VERSION)
			return printf("pvcalls-auditd %s\n", PVCALLS_VERSION) < 0;
		if (auditd_take_option(&arguments, option) < 0)
			return auditd_usage(stderr, EXIT_USAGE);
	}
	if (optind != argc)
		return auditd_usage(stderr, EXIT_USAGE);
	return auditd_serve(&arguments);
}
