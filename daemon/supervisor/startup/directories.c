/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/startup/directories.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/trusted_file.h"

#define SYSTEM_PLUGINS "/usr/lib/pvcalls/plugins"
#define LOCK_NAME      "pvcallsd.lock"

/* Whether others could put their own program in the place of one that we run. */
static int directories_check_program(const char *path, struct fault *fault)
{
	int length = (int)(strrchr(path, '/') - path); /* 0: in the root directory */
	char directory[PATH_MAX];
	struct stat status;
	int error;

	snprintf(directory, sizeof(directory), "%.*s", length ? length : 1, path);
	if (stat(path, &status) < 0)
		return fault_set(fault, errno, "%s: %s", path, strerror(errno));
	error = trusted_file_check(path, &status, fault);
	if (error)
		return error;
	if (stat(directory, &status) < 0)
		return fault_set(fault, errno, "%s: %s", directory, strerror(errno));
	return trusted_file_check(directory, &status, fault);
}

/* Where a program lies: beside us, as in a build tree, or in libexec, as installed. */
static int directories_find_program(char path[PATH_MAX], const char *self, const char *name,
				    struct fault *fault)
{
	static const char *const places[] = {"", "/../libexec/pvcalls", "/../lib/pvcalls",
					     "/../bin"};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char there[PATH_MAX];
		int length = snprintf(there, sizeof(there), "%s%s/%s", self, places[i], name);

		if (length < PATH_MAX && access(there, X_OK) == 0 && realpath(there, path))
			return directories_check_program(path, fault);
	}
	return fault_set(fault, ENOENT,
			 "%s: not found in %s nor in libexec/pvcalls beside it; is the "
			 "installation complete?",
			 name, self);
}

static int directories_find_plugins(struct directories *directories,
				    const struct daemon_options *options, const char *self,
				    struct fault *fault)
{
	char path[PATH_MAX + 16];

	if (options->plugin_dir) {
		if (realpath(options->plugin_dir, directories->plugins))
			return 0;
		return fault_set(fault, errno,
				 "plugin directory %s: %s; name another with "
				 "--plugin-dir",
				 options->plugin_dir, strerror(errno));
	}
	snprintf(path, sizeof(path), "%s/../plugins", self);
	if (!realpath(path, directories->plugins) &&
	    !realpath(SYSTEM_PLUGINS, directories->plugins))
		return fault_set(fault, ENOENT,
				 "no plugins: neither %s nor %s exists; name their directory with "
				 "--plugin-dir",
				 path, SYSTEM_PLUGINS);
	return 0;
}

int directories_find(struct directories *directories, const struct daemon_options *options,
		     struct fault *fault)
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int error;

	*directories = (struct directories){.audit_fd = -1, .state_lock = -1, .runtime_lock = -1};
	if (length < 0)
		return fault_set(fault, errno, "/proc/self/exe: %s", strerror(errno));
	self[length] = '\0';
	*strrchr(self, '/') = '\0';
	error = directories_find_program(directories->engine, self, "pvcalls-engine", fault);
	if (!error)
		error = directories_find_program(directories->auditd, self, "pvcalls-auditd",
						 fault);
	if (!error)
		error = directories_find_plugins(directories, options, self, fault);
	return error;
}

/* Whether others could put their own files where we work. */
static int directories_check_owner(const char *path, const char *what, struct fault *fault)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return fault_set(fault, errno, "%s %s: %s", what, path, strerror(errno));
	if (!S_ISDIR(status.st_mode))
		return fault_set(fault, ENOTDIR, "%s %s: not a directory", what, path);
	if ((status.st_uid != 0 && status.st_uid != geteuid()) || (status.st_mode & S_IWOTH))
		return fault_set(fault, EPERM,
				 "%s %s: must belong to root or the daemon's user and not be "
				 "writable by all (chown, chmod o-w)",
				 what, path);
	return 0;
}

static int directories_make_directory(const char *path, const char *what, mode_t mode,
				      char real[PATH_MAX], struct fault *fault)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return fault_set(fault, errno, "%s %s: cannot be made: %s%s", what, path,
				 strerror(errno),
				 errno == ENOENT ? "; make the directory above it first" : "");
	if (!realpath(path, real))
		return fault_set(fault, errno, "%s %s: %s", what, path, strerror(errno));
	return directories_check_owner(real, what, fault);
}

static int directories_take_lock(const char *directory, int *lock, struct fault *fault)
{
	char path[PATH_MAX + sizeof(LOCK_NAME) + 1];
	char pid[16] = "";
	ssize_t length;

	snprintf(path, sizeof(path), "%s/" LOCK_NAME, directory);
	*lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*lock < 0)
		return fault_set(fault, errno, "%s: %s", path, strerror(errno));
	if (flock(*lock, LOCK_EX | LOCK_NB) < 0) {
		length = read(*lock, pid, sizeof(pid) - 1);
		pid[length > 0 ? strcspn(pid, "\n") : 0] = '\0';
		return fault_set(fault, EBUSY,
				 "%s: another pvcallsd (process %s) works in this directory: stop "
				 "it, or name other directories",
				 directory, pid[0] ? pid : "unknown");
	}
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(*lock, 0) < 0 || write(*lock, pid, strlen(pid)) < 0)
		return fault_set(fault, errno, "%s: %s", path, strerror(errno));
	return 0;
}

static int directories_open_audit(struct directories *directories, uint32_t uid,
				  struct fault *fault)
{
	char path[PATH_MAX + 8];

	snprintf(path, sizeof(path), "%s/audit", directories->state);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return fault_set(fault, errno, "%s: cannot be made: %s", path, strerror(errno));
	directories->audit_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (directories->audit_fd < 0)
		return fault_set(fault, errno, "%s: %s", path, strerror(errno));
	if (uid == UINT32_MAX)
		return 0;
	if (fchown(directories->audit_fd, uid, uid) < 0 || fchmod(directories->audit_fd, 0700) < 0)
		return fault_set(fault, errno,
				 "%s: cannot be given to user %u: %s; choose another with audit: "
				 "uid: in pvcallsd.yaml",
				 path, uid, strerror(errno));
	return 0;
}

int directories_take(struct directories *directories, const struct daemon_options *options,
		     uint32_t audit_uid, struct fault *fault)
{
	int error = directories_make_directory(options->runtime_dir, "runtime directory", 0755,
					       directories->runtime, fault);

	if (!error)
		error = directories_make_directory(options->state_dir, "state directory", 0755,
						   directories->state, fault);
	if (!error)
		error = directories_take_lock(directories->runtime, &directories->runtime_lock,
					      fault);
	/* One directory for both is fine: its lock is ours already. */
	if (!error && strcmp(directories->runtime, directories->state) != 0)
		error = directories_take_lock(directories->state, &directories->state_lock, fault);
	if (!error)
		error = directories_open_audit(directories, audit_uid, fault);
	return error;
}

void directories_release(struct directories *directories)
{
	fd_close(&directories->audit_fd);
	fd_close(&directories->state_lock);
	fd_close(&directories->runtime_lock);
}
