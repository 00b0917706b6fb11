/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks a running pvcallsd, and gives it orders; see pvcallsctl(1). */
#include "pvcallsctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "base/decimal.h"
#include "pvcallsctl_plugins.h"
#include "pvcallsctl_table.h"

#define SOCKET_NAME "control.sock"
#define WAIT_S      30 /* a reload checks all policies and waits for the engines */

static const char usage[] =
	"Usage: pvcallsctl [--runtime-dir DIR] [-o table|json] COMMAND\n"
	"\n"
	"  status                 the daemon, its policies and its audit writer\n"
	"  guests                 the guests that are attached\n"
	"  sockets [GUEST]        sockets of one guest or of all\n"
	"  reload                 read the policies again; all of them are taken, or none\n"
	"  kill GUEST [SOCKET]    cut off a guest, or close one of its sockets\n"
	"  plugins [--file X.so]  what the daemon's plugins, or one file, say of themselves\n"
	"\n"
	"  --runtime-dir DIR      the daemon's (/run/pvcalls)\n"
	"  -o table|json          how to print (table)\n"
	"  --help, --version\n"
	"\n"
	"GUEST is a name, a domid or a uuid. Exit status: 0 ok, 1 no such guest or socket, 2 usage,\n"
	"3 invalid policy or plugin, 4 the daemon is out of reach, 5 not permitted.\n";

struct arguments {
	const char *runtime_dir;
	const char *file;
	bool as_json;
	const char *command;
	const char *guest;  /* NULL: not given */
	const char *socket; /* NULL: not given */
};

/* A command, how many words may follow it, and how its result is printed. */
struct command {
	const char *name;
	int words_min;
	int words_max;
	void (*print)(const json_t *result);
};

static void ctl_print_text(const json_t *result)
{
	const char *text = json_string_value(json_object_get(result, "text"));

	table_print_safely(text ? text : "");
	putchar('\n');
}

static const struct command commands[] = {
	{"status", 0, 0, table_print_status},   {"guests", 0, 0, table_print_guests},
	{"sockets", 0, 1, table_print_sockets}, {"reload", 0, 0, ctl_print_text},
	{"kill", 1, 2, ctl_print_text},         {"plugins", 0, 0, NULL},
};

static const struct command *ctl_find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static int ctl_complain(int status, const char *what, const char *why)
{
	fprintf(stderr, "pvcallsctl: %s: %s\n", what, why);
	return status;
}

/* Connects to the daemon. Returns the socket, or minus the exit status. */
static int ctl_connect(const char *runtime_dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timeval wait = {.tv_sec = WAIT_S};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/" SOCKET_NAME,
			      runtime_dir);

	if (fd < 0 || length >= (int)sizeof(address.sun_path)) {
		if (fd >= 0)
			close(fd);
		return -ctl_complain(CTL_DAEMON, runtime_dir, "no socket, or its path is too long");
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	if (errno == EACCES || errno == EPERM)
		return -ctl_complain(CTL_PERMISSION, address.sun_path,
				     "not permitted: be root or the daemon's user");
	fprintf(stderr, "pvcallsctl: %s: %s; is pvcallsd running, with this --runtime-dir?\n",
		address.sun_path, strerror(errno));
	return -CTL_DAEMON;
}

static bool ctl_send(int fd, const json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	ssize_t size = text ? (ssize_t)strlen(text) : 0;
	/* No signal: who is not let in finds the socket closed, and its answer in it. */
	bool sent = text && send(fd, text, (size_t)size, MSG_NOSIGNAL) == size &&
		    send(fd, "\n", 1, MSG_NOSIGNAL) == 1;

	free(text);
	return sent;
}

/* One line of JSON from the daemon, or NULL. */
static json_t *ctl_receive(int fd)
{
	FILE *stream = fdopen(dup(fd), "r");
	char *line = NULL;
	size_t size = 0;
	json_t *answer = NULL;

	if (!stream)
		return NULL;
	if (getline(&line, &size, stream) > 0)
		answer = json_loads(line, 0, NULL);
	free(line);
	(void)fclose(stream);
	return answer;
}

static json_t *ctl_make_request(const struct arguments *arguments)
{
	const char *name =
		strcmp(arguments->command, "plugins") == 0 ? "status" : arguments->command;
	json_t *request = json_pack("{s:s}", "command", name);
	uint64_t number = 0;

	if (arguments->guest)
		json_object_set_new(request, "guest", json_string(arguments->guest));
	if (!arguments->socket)
		return request;
	/* What is no number becomes 0, which no socket has: the daemon says so. */
	(void)decimal_read(arguments->socket, INT64_MAX, &number);
	json_object_set_new(request, "socket", json_integer((json_int_t)number));
	return request;
}

/* Asks the daemon. Returns the exit status, and *answer if there is one. */
static int ctl_ask(const struct arguments *arguments, json_t **answer)
{
	int fd = ctl_connect(arguments->runtime_dir);
	json_t *request;
	bool sent;

	if (fd < 0)
		return -fd;
	request = ctl_make_request(arguments);
	sent = ctl_send(fd, request);
	json_decref(request);
	/* One that was not let in has its answer already, whatever became of the request. */
	*answer = ctl_receive(fd);
	close(fd);
	if (*answer)
		return CTL_OK;
	return ctl_complain(CTL_DAEMON, arguments->runtime_dir,
			    sent ? "the daemon did not answer" : "the daemon hung up");
}

static int ctl_print_refusal(const json_t *answer)
{
	const json_t *status = json_object_get(answer, "status");
	const char *text = json_string_value(json_object_get(answer, "error"));
	char *copy = strdup(text ? text : "the daemon refused without a reason");
	char *rest = NULL;

	for (char *line = copy ? strtok_r(copy, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest)) {
		fprintf(stderr, "pvcallsctl: ");
		for (; *line; line++)
			fputc((unsigned char)*line < ' ' ? '?' : *line, stderr);
		fputc('\n', stderr);
	}
	free(copy);
	return json_is_integer(status) ? (int)json_integer_value(status) : CTL_DAEMON;
}

static int ctl_print_answer(const struct arguments *arguments, const struct command *command,
			    const json_t *answer)
{
	const json_t *result = json_object_get(answer, "result");

	if (!json_is_true(json_object_get(answer, "ok")))
		return ctl_print_refusal(answer);
	if (!command->print) {
		const char *directory = json_string_value(json_object_get(result, "plugin_dir"));

		return plugins_show(directory ? directory : "", NULL, arguments->as_json);
	}
	if (arguments->as_json) {
		json_dumpf(result, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		command->print(result);
	}
	return CTL_OK;
}

enum { OPTION_RUNTIME_DIR = 256, OPTION_FILE, OPTION_HELP, OPTION_VERSION };

static const struct option long_options[] = {
	{"runtime-dir", required_argument, NULL, OPTION_RUNTIME_DIR},
	{"output", required_argument, NULL, 'o'},
	{"file", required_argument, NULL, OPTION_FILE},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static bool ctl_take_option(struct arguments *arguments, int option)
{
	switch (option) {
	case OPTION_RUNTIME_DIR:
		arguments->runtime_dir = optarg;
		return true;
	case OPTION_FILE:
		arguments->file = optarg;
		return true;
	case 'o':
		arguments->as_json = strcmp(optarg, "json") == 0;
		return arguments->as_json || strcmp(optarg, "table") == 0;
	case OPTION_HELP:
		fputs(usage, stdout);
		exit(CTL_OK);
	case OPTION_VERSION:
		puts("pvcallsctl " PVCALLS_VERSION);
		exit(CTL_OK);
	default:
		return false;
	}
}

static const struct command *ctl_take_words(struct arguments *arguments, int count, char **words)
{
	const struct command *command = count ? ctl_find_command(words[0]) : NULL;

	if (!command || count - 1 < command->words_min || count - 1 > command->words_max)
		return NULL;
	if (arguments->file && command->print)
		return NULL;
	arguments->command = words[0];
	arguments->guest = count > 1 ? words[1] : NULL;
	arguments->socket = count > 2 ? words[2] : NULL;
	return command;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {.runtime_dir = "/run/pvcalls"};
	const struct command *command;
	json_t *answer = NULL;
	int option;
	int status;

	while ((option = getopt_long(argc, argv, "o:", long_options, NULL)) != -1) {
		if (!ctl_take_option(&arguments, option)) {
			fputs("pvcallsctl: see pvcallsctl --help\n", stderr);
			return CTL_USAGE;
		}
	}
	command = ctl_take_words(&arguments, argc - optind, argv + optind);
	if (!command) {
		fputs(usage, stderr);
		return CTL_USAGE;
	}
	if (arguments.file)
		return (int)plugins_show(NULL, arguments.file, arguments.as_json);
	status = ctl_ask(&arguments, &answer);
	if (!status)
		status = ctl_print_answer(&arguments, command, answer);
	json_decref(answer);
	return status;
}
