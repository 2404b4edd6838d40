/* SPDX-License-Identifier: Apache-2.0
 *
 * Loads the engine: judges the file by its build note before any of its code is mapped, then opens it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
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

/* The build id that the file at fd carries, into build; 0 where it carries none. */
static int file_build(int fd, char build[sizeof ROOTFS_BUILD])
{
	ElfW(Ehdr) head;
	ElfW(Phdr) segment;
	char notes[1024];

	if (pread(fd, &head, sizeof head, 0) != sizeof head || memcmp(head.e_ident, ELFMAG, SELFMAG) ||
	    head.e_phentsize != sizeof segment)
		return 0;
	for (int i = 0; i < head.e_phnum; i++) {
		off_t at = (off_t)(head.e_phoff + (size_t)i * sizeof segment);
		const char *text;
		size_t size;

		if (pread(fd, &segment, sizeof segment, at) != sizeof segment)
			return 0;
		if (segment.p_type != PT_NOTE || segment.p_filesz > sizeof notes ||
		    pread(fd, notes, segment.p_filesz, (off_t)segment.p_offset) != (ssize_t)segment.p_filesz)
			continue;
		text = find_note(notes, segment.p_filesz, ENGINE_NOTE_NAME, ENGINE_NOTE_TYPE, &size);
		if (text && size == sizeof ROOTFS_BUILD && !text[size - 1]) {
			memcpy(build, text, size);
			return 1;
		}
	}
	return 0;
}

static int check_build(const char *path, struct rootfs_error *error)
{
	char build[sizeof ROOTFS_BUILD];
	int fd = open(path, O_RDONLY | O_CLOEXEC), found;

	if (fd < 0)
		return fail(error, ROOTFS_ERR_ENGINE, errno, "open", "the engine is not at %s, beside librootfs.so, and is looked for "
			    "nowhere else: %s", path, strerror(errno));
	found = file_build(fd, build);
	close(fd);
	if (!found)
		return fail(error, ROOTFS_ERR_ENGINE, 0, "engine", "%s is no engine of librootfs", path);
	if (strcmp(build, ROOTFS_BUILD))
		return fail(error, ROOTFS_ERR_ENGINE, 0, "engine", "%s is of another build (%.12s...) than librootfs.so (%.12s...): install "
			    "both together, and restart a host that was running meanwhile", path, build, ROOTFS_BUILD);
	return 0;
}

/* A Go program, or another Go library: two Go runtimes in one process take each other's signals. The linker of Go leaves
 * a note in all that it makes. */
static int find_go(struct dl_phdr_info *info, size_t size, void *found)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		const char *notes = (const char *)(info->dlpi_addr + segment->p_vaddr);
		size_t text;

		if (segment->p_type == PT_NOTE && (find_note(notes, segment->p_memsz, "Go", 4, &text) ||
		    find_note(notes, segment->p_memsz, ENGINE_NOTE_NAME, ENGINE_NOTE_TYPE, &text))) {
			*(const char **)found = info->dlpi_name && *info->dlpi_name ? info->dlpi_name : "the program itself";
			return 1;
		}
	}
	return 0;
}

int engine_open(const char *path, const struct engine_entry **entry, struct rootfs_error *error)
{
	const char *go = NULL;
	void *handle;
	int code;

	if (!*entry) {
		code = check_build(path, error);
		if (code)
			return code;
		if (dl_iterate_phdr(find_go, &go))
			return fail(error, ROOTFS_ERR_ENGINE, 0, "engine", "this process has a Go runtime already (%s), and a second one is not "
				    "safe: a host written in Go imports the package github.com/librootfs/librootfs/rootfs instead", go);
		/* Never unloaded: a Go runtime cannot be. */
		handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
		if (!handle)
			return fail(error, ROOTFS_ERR_ENGINE, 0, "dlopen", "cannot load the engine: %s", dlerror());
		*entry = dlsym(handle, ENGINE_SYMBOL);
		if (!*entry || strcmp((*entry)->build, ROOTFS_BUILD)) {
			*entry = NULL;
			return fail(error, ROOTFS_ERR_ENGINE, 0, "engine", "%s was exchanged while it was loaded", path);
		}
	}
	return (*entry)->start(error);
}
