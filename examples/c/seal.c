/* SPDX-License-Identifier: Apache-2.0
 *
 * CVE-2019-5736: the last thing that a process does as minictr is execve of a file that the image chose. If that is
 * "#!/proc/self/exe", the kernel runs minictr itself, with the image's libraries, as the container's root: and what can
 * run a file can open it through /proc/self/exe, and write to it once no minictr runs any more.
 *
 * So minictr starts itself anew, from a mount of its own file that is read-only and that nobody else has. Where the kernel
 * cannot do that, from a sealed copy in memory.
 */
#include "minictr.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SELF "/proc/self/exe"
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Needs no mark from the first run: it looks at what it protects. */
static bool is_sealed(void)
{
	struct statvfs fs;
	if (statvfs(SELF, &fs) < 0)
		return true; /* without /proc there is no way in either */
	if (fs.f_flag & ST_RDONLY)
		return true;
	int fd = open(SELF, O_RDONLY | O_CLOEXEC);
	int seals = fd >= 0 ? fcntl(fd, F_GET_SEALS) : -1;
	if (fd >= 0)
		close(fd);
	return seals >= 0 && (seals & SEALS) == SEALS;
}

static int read_only_mount(void)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, SELF, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (fd >= 0 && syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int sealed_copy(void)
{
	struct stat st;
	int from = open(SELF, O_RDONLY | O_CLOEXEC);
	int to = memfd_create("minictr", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bool done = from >= 0 && to >= 0 && fstat(from, &st) == 0;
	for (off_t left = done ? st.st_size : 0; done && left > 0;) {
		ssize_t n = sendfile(to, from, NULL, (size_t)left);
		done = n > 0;
		left -= n;
	}
	done = done && fchmod(to, 0755) == 0 && fcntl(to, F_ADD_SEALS, SEALS) == 0;
	if (from >= 0)
		close(from);
	if (!done && to >= 0) {
		close(to);
		to = -1;
	}
	return to;
}

int seal_self(char **argv, struct rootfs_error *err)
{
	Dl_info rootfs, libc;
	extern char **environ;
	/* Who could not write to it as the user he is now cannot from a container either. */
	if (geteuid() != 0 && access(SELF, W_OK) < 0)
		return 0;
	if (is_sealed()) {
		unsetenv("LD_PRELOAD"); /* not for hooks and helpers */
		return 0;
	}
	int fd = read_only_mount();
	if (fd < 0)
		fd = sealed_copy();
	if (fd < 0)
		return fail_errno(err, "seal", "cannot protect minictr's own file from the container");
	/* The new process cannot find librootfs beside itself: it lies in a mount that has only this one file. By name, the
	 * loader also need not look for them: it would try some forty paths. */
	if (dladdr((void *)(uintptr_t)rootfs_version, &rootfs) != 0 && dladdr((void *)(uintptr_t)execve, &libc) != 0) {
		char *names = format_text("%s:%s", rootfs.dli_fname, libc.dli_fname);
		setenv("LD_PRELOAD", names, 1);
		free(names);
	}
	syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
	return fail_errno(err, "execveat", "cannot start minictr from its protected file");
}
