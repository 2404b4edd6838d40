/* SPDX-License-Identifier: Apache-2.0
 *
 * What runs first, before the C library is there: it protects minictr's own file.
 *
 * CVE-2019-5736: the last thing that a process does as minictr is execve of a file that the image chose. If that is
 * "#!/proc/self/exe", the kernel runs minictr itself as the container's root: and what can run a file can open it through
 * /proc/self/exe, and write to it once no minictr runs any more. So minictr starts itself anew, from a mount of its own
 * file that is read-only and that nobody else has. Where the kernel cannot do that, from a sealed copy in memory.
 *
 * Here, at the program's entry point, the first of its two starts is nearly free: no C library to set up, which on a
 * virtual machine means some forty CPUID instructions that each leave it, and hardly a page touched.
 *
 * Nothing here may call the C library, nor need a relocation: compiled with -ffreestanding and without a stack protector
 * (minictr.mk).
 */
#include <asm/statfs.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <linux/mount.h>
#include <stdbool.h>
#include <stddef.h>

#include "entry.h"

#define SELF "/proc/self/exe"
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define WRITABLE 2      /* W_OK */
#define ON_READ_ONLY 1  /* ST_RDONLY of statvfs(3) */
#define COPY_AT_ONCE (1 << 30)

#define call(number, ...) call6(__NR_##number, (long[6]){__VA_ARGS__})
static inline long call6(long number, const long a[6])
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4], r9 __asm__("r9") = a[5];
	__asm__ volatile("syscall" : "+a"(number) : "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return number;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a[0], x1 __asm__("x1") = a[1], x2 __asm__("x2") = a[2],
		      x3 __asm__("x3") = a[3], x4 __asm__("x4") = a[4], x5 __asm__("x5") = a[5];
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#endif
}

bool entry_protected;

/* Needs no mark from the first run: it looks at what it protects. */
static bool is_protected(void)
{
	struct statfs fs;
	long fd, seals;

	if (call(statfs, (long)SELF, (long)&fs) < 0)
		return true; /* without /proc there is no way in either */
	if (fs.f_flags & ON_READ_ONLY)
		return true;
	/* Who could not write to it as the user he is now cannot from a container either. */
	if (call(geteuid) != 0 && call(faccessat, AT_FDCWD, (long)SELF, WRITABLE) < 0)
		return true;
	if (fs.f_type != TMPFS_MAGIC) /* a copy in memory is on one */
		return false;
	fd = call(openat, AT_FDCWD, (long)SELF, O_RDONLY | O_CLOEXEC);
	seals = fd >= 0 ? call(fcntl, fd, F_GET_SEALS) : -1;
	if (fd >= 0)
		call(close, fd);
	return seals >= 0 && (seals & SEALS) == SEALS;
}

static long read_only_mount(void)
{
	struct mount_attr attr;
	long fd = call(open_tree, AT_FDCWD, (long)SELF, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	attr.attr_set = MOUNT_ATTR_RDONLY;
	attr.attr_clr = attr.propagation = attr.userns_fd = 0;
	if (fd >= 0 && call(mount_setattr, fd, (long)"", AT_EMPTY_PATH, (long)&attr, sizeof(attr)) < 0) {
		call(close, fd);
		return -1;
	}
	return fd;
}

static long sealed_copy(void)
{
	long from = call(openat, AT_FDCWD, (long)SELF, O_RDONLY | O_CLOEXEC), n = -1;
	long to = call(memfd_create, (long)"minictr", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (from >= 0 && to >= 0)
		do
			n = call(sendfile, to, from, 0, COPY_AT_ONCE);
		while (n > 0);
	if (from >= 0)
		call(close, from);
	if (n == 0 && call(fchmod, to, 0755) == 0 && call(fcntl, to, F_ADD_SEALS, SEALS) == 0)
		return to;
	if (to >= 0)
		call(close, to);
	return -1;
}

/* From the stack that execve(2) laid out: argc, the arguments, NULL, the environment, NULL. Where it fails it returns, and
 * the commands that need the protection find it missing. */
__attribute__((used)) static void protect(long *stack)
{
	char **argv = (char **)(stack + 1), **envp = argv + stack[0] + 1;
	char path[4096];
	long fd, n;

	entry_protected = is_protected();
	if (stack[0] < 1 || entry_protected)
		return;
	fd = read_only_mount();
	if (fd < 0)
		fd = sealed_copy();
	if (fd < 0)
		return;
	/* The new process cannot find out where its file lies: in a mount that has only this one file. */
	n = call(readlinkat, AT_FDCWD, (long)SELF, (long)path, sizeof(path) - 1);
	if (n > 0) {
		path[n] = 0;
		argv[0] = path;
	}
	call(execveat, fd, (long)"", (long)argv, (long)envp, AT_EMPTY_PATH);
	call(close, fd);
}

#if defined(__x86_64__)
__asm__(".pushsection .text\n"
	".globl minictr_entry\n"
	".type minictr_entry, @function\n"
	"minictr_entry:\n"
	"	endbr64\n"
	"	mov %rsp, %rdi\n"
	"	mov %rsp, %rbx\n"
	"	mov %rdx, %r12\n" /* for atexit; the C library's start wants it back */
	"	and $-16, %rsp\n"
	"	call protect\n"
	"	mov %rbx, %rsp\n"
	"	mov %r12, %rdx\n"
	"	jmp _start\n"
	".popsection\n");
#elif defined(__aarch64__)
__asm__(".pushsection .text\n"
	".globl minictr_entry\n"
	".type minictr_entry, @function\n"
	"minictr_entry:\n"
	"	mov x19, x0\n"
	"	mov x0, sp\n"
	"	bl protect\n"
	"	mov x0, x19\n"
	"	b _start\n"
	".popsection\n");
#endif
