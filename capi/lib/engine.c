/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds out whether a file is the engine of this build before any of its code is mapped, and whether this process may have a
 * Go runtime at all. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "build.h"
#include "internal.h"

/* Walks the notes in memory; returns the text of the one with this name and type, or NULL. */
static const char *find_note(const char *notes, size_t size, const char *name, uint32_t type, size_t *text_size)
{
	while (size >= sizeof(ElfW(Nhdr))) {
		ElfW(Nhdr) head;
		size_t text_at, next;

		memcpy(&head, notes, sizeof head);
		text_at = sizeof head + (((size_t)head.n_namesz + 3) & ~(size_t)3);
		next = text_at + (((size_t)head.n_descsz + 3) & ~(size_t)3);
		if (next > size)
			return NULL;
		if (head.n_type == type && head.n_namesz == strlen(name) + 1 && !memcmp(notes + sizeof head, name, head.n_namesz)) {
			*text_size = head.n_descsz;
			return notes + text_at;
		}
		notes += next;
		size -= next;
	}
	return NULL;
}

/* The segments of a file that begins with these bytes, or NULL where it is no ELF file of this kind. */
static const ElfW(Phdr) *file_segments(const struct file_start *file)
{
	const ElfW(Ehdr) *head = (const ElfW(Ehdr) *)file->bytes;

	if (file->size < sizeof *head || memcmp(head->e_ident, ELFMAG, SELFMAG) || head->e_phentsize != sizeof(ElfW(Phdr)) ||
	    head->e_phoff % sizeof(size_t) || head->e_phoff > file->size ||
	    head->e_phnum > (file->size - head->e_phoff) / sizeof(ElfW(Phdr)))
		return NULL;
	return (const ElfW(Phdr) *)(file->bytes + head->e_phoff);
}

/* The build id that the file carries, or NULL. */
static const char *file_build(const struct file_start *file)
{
	const ElfW(Phdr) *s = file_segments(file);

	for (int i = 0; s && i < ((const ElfW(Ehdr) *)file->bytes)->e_phnum; i++, s++) {
		const char *text;
		size_t size;

		if (s->p_type != PT_NOTE || s->p_offset > file->size || s->p_filesz > file->size - s->p_offset)
			continue;
		text = find_note(file->bytes + s->p_offset, s->p_filesz, ENGINE_NOTE_NAME, ENGINE_NOTE_TYPE, &size);
		if (text && size == sizeof ROOTFS_BUILD && !text[size - 1])
			return text;
	}
	return NULL;
}

/* The engine at path, opened and found to be of this build, or -1. */
static int open_checked(const char *path, struct file_start *file, struct rootfs_error *error)
{
	const char *build;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0) {
		fail(error, ROOTFS_ERR_ENGINE, errno, "open", "the engine is not at %s, beside librootfs.so, and is looked for nowhere else: %s",
		     path, strerror(errno));
		return -1;
	}
	n = pread(fd, file->bytes, sizeof file->bytes, 0);
	file->size = n > 0 ? (size_t)n : 0;
	build = file_build(file);
	if (!build)
		fail(error, ROOTFS_ERR_ENGINE, 0, "engine", "%s is no engine of librootfs", path);
	else if (strcmp(build, ROOTFS_BUILD))
		fail(error, ROOTFS_ERR_ENGINE, 0, "engine", "%s is of another build (%.12s...) than librootfs.so (%.12s...): install both "
		     "together, and restart a host that was running meanwhile", path, build, ROOTFS_BUILD);
	else
		return fd;
	close(fd);
	return -1;
}

/* Two Go runtimes in one process take each other's signals: a host that is a Go program, another Go library. (Not a second
 * copy of this one, as long as it is not called at the same time: it leaves no handlers behind.) Told without the dynamic
 * linker's list, whose lock a fork may have left held. */
static const char *other_go(void)
{
	const ElfW(Phdr) *segments = (const ElfW(Phdr) *)getauxval(AT_PHDR);
	size_t count = getauxval(AT_PHNUM), text;
	uintptr_t base = (uintptr_t)segments;
	struct sigaction urg, pipe, fpe;
	const int flags = SA_ONSTACK | SA_SIGINFO | SA_RESTART;

	/* The linker of Go leaves a note in each program. */
	for (size_t i = 0; i < count; i++)
		if (segments[i].p_type == PT_PHDR)
			base -= segments[i].p_vaddr;
	for (size_t i = 0; i < count; i++)
		if (segments[i].p_type == PT_NOTE && base != (uintptr_t)segments &&
		    find_note((const char *)base + segments[i].p_vaddr, segments[i].p_memsz, "Go", 4, &text))
			return "the program itself is written in Go";
	/* A runtime that is up has one handler for signals that nobody else treats alike, with flags that it always sets. */
	if (!sigaction(SIGURG, NULL, &urg) && !sigaction(SIGPIPE, NULL, &pipe) && !sigaction(SIGFPE, NULL, &fpe) &&
	    urg.sa_handler != SIG_DFL && urg.sa_handler != SIG_IGN && urg.sa_sigaction == pipe.sa_sigaction &&
	    urg.sa_sigaction == fpe.sa_sigaction && (urg.sa_flags & flags) == flags && (fpe.sa_flags & flags) == flags)
		return "a Go library has been loaded";
	return NULL;
}

/* Go moves between stacks in a way that a shadow stack takes for an attack: the process would be killed. */
static int has_shadow_stack(void)
{
	unsigned long features = 0;

#ifdef __x86_64__
	if (syscall(SYS_arch_prctl, 0x5005 /* ARCH_SHSTK_STATUS, Linux 6.6 */, &features))
		features = 0;
#endif
	return features & 1;
}

int engine_open(const char *path, const struct engine_entry **entry, struct rootfs_error *error)
{
	struct file_start file;
	const char *other;
	int fd, code;

	if (!*entry) {
		if (has_shadow_stack())
			return fail(error, ROOTFS_ERR_ENGINE, 0, "engine", "this process has a shadow stack (glibc.cpu.x86_shstk), which Go "
				    "cannot run with: start the host without");
		fd = open_checked(path, &file, error);
		if (fd < 0)
			return ROOTFS_ERR_ENGINE;
		other = other_go();
		code = other ? fail(error, ROOTFS_ERR_ENGINE, 0, "engine", "this process has a Go runtime already (%s), and a second one is not "
				    "safe: a host written in Go imports the package github.com/librootfs/librootfs/rootfs instead", other) :
			       loader_map(fd, path, &file, entry, error);
		close(fd);
		if (code)
			return code;
	}
	return (*entry)->start(error);
}
