/* SPDX-License-Identifier: Apache-2.0
 *
 * Maps the engine without the dynamic linker.
 *
 * Why not dlopen: it is called in a child of a process with many threads, one of which may have been inside the dynamic
 * linker (dlopen, dlclose, an exception) at the moment of the fork. The child then has a lock that nobody will ever
 * release (glibc re-initialises dl_load_lock at fork, but not dl_load_write_lock), and dlopen hangs for ever; tests/host
 * ("16 threads") showed it within seconds. musl's dlopen refuses the engine altogether, for its thread-local storage.
 *
 * The engine is made for this: one file without constructors, whose few imports are the table below. What is left is to
 * map its segments, to relocate it, and to give its 8 bytes of thread-local storage a place in ours. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

extern void __stack_chk_fail(void);
#if defined(__aarch64__)
extern uintptr_t __stack_chk_guard; /* elsewhere it is in thread-local storage, at a place that compilers know */
#endif

/* What the engine may call. Taken from here, not by name from the process, the functions are those that this library
 * itself was linked to: a sanitizer's or an allocator's of the host, too. The build fails where the engine needs another. */
static const struct import {
	const char *name;
	const void *address;
} imports[] = {
#define IMPORT(name) { #name, (const void *)name }
	IMPORT(__errno_location), IMPORT(__stack_chk_fail), IMPORT(abort), IMPORT(fprintf), IMPORT(fputc), IMPORT(free), IMPORT(fwrite),
	IMPORT(getauxval), IMPORT(getpid), IMPORT(getrandom), IMPORT(getrlimit), IMPORT(malloc), IMPORT(memcpy), IMPORT(memset),
	IMPORT(mmap), IMPORT(munmap), IMPORT(nanosleep), IMPORT(pthread_attr_init), IMPORT(pthread_attr_setdetachstate),
	IMPORT(pthread_cond_broadcast), IMPORT(pthread_cond_wait), IMPORT(pthread_mutex_lock),
	IMPORT(pthread_mutex_unlock), IMPORT(pthread_setspecific), IMPORT(pthread_sigmask),
	IMPORT(setenv), IMPORT(sigaction), IMPORT(sigaddset), IMPORT(sigaltstack), IMPORT(sigdelset), IMPORT(sigemptyset), IMPORT(sigfillset),
	IMPORT(sigismember), IMPORT(snprintf), IMPORT(strerror), IMPORT(strncmp), IMPORT(syscall), IMPORT(unsetenv),
	IMPORT(vfprintf), IMPORT(vsnprintf),
	{ "stderr", &stderr },
#if defined(__aarch64__)
	{ "__stack_chk_guard", &__stack_chk_guard },
#endif
};

#ifndef DT_RELR /* elf.h of glibc before 2.36, of musl before 1.2.4 */
#define DT_RELRSZ 35
#define DT_RELR 36
#endif

/* The place for the engine's thread-local storage (Go keeps one pointer there) in each thread, at a fixed distance from
 * the thread pointer. */
#define TLS_ROOM 16
static _Thread_local char tls_room[TLS_ROOM] __attribute__((tls_model("initial-exec"), aligned(8), used));

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#define RELATIVE R_X86_64_RELATIVE
#define GLOBAL R_X86_64_GLOB_DAT
#define CALL R_X86_64_JUMP_SLOT
#define WORD R_X86_64_64
#define THREAD R_X86_64_TPOFF64
static char *thread_pointer(void)
{
	char *p;

	__asm__("mov %%fs:0, %0" : "=r"(p));
	return p;
}
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#define RELATIVE R_AARCH64_RELATIVE
#define GLOBAL R_AARCH64_GLOB_DAT
#define CALL R_AARCH64_JUMP_SLOT
#define WORD R_AARCH64_ABS64
#define THREAD R_AARCH64_TLS_TPREL
static char *thread_pointer(void)
{
	char *p;

	__asm__("mrs %0, tpidr_el0" : "=r"(p));
	return p;
}
#else
#error "the relocations of this machine are not known here"
#endif

/* One engine being mapped. */
struct image {
	int fd;
	char *base;   /* what addresses in the file are relative to */
	size_t span;
	const Elf64_Phdr *segments;
	int segment_count;
	const Elf64_Sym *symbols;
	const char *names;
	const char *problem;
};

static size_t page_down(size_t n, size_t page) { return n & ~(page - 1); }
static size_t page_up(size_t n, size_t page) { return (n + page - 1) & ~(page - 1); }

static int protection(const Elf64_Phdr *s)
{
	return (s->p_flags & PF_R ? PROT_READ : 0) | (s->p_flags & PF_W ? PROT_WRITE : 0) | (s->p_flags & PF_X ? PROT_EXEC : 0);
}

/* One segment over the reserved addresses: the part that the file has, then zeros. */
static int map_segment(struct image *m, const Elf64_Phdr *s, size_t page)
{
	size_t start = page_down(s->p_vaddr, page), head = s->p_vaddr - start;
	size_t file_end = page_up(s->p_vaddr + s->p_filesz, page), end = page_up(s->p_vaddr + s->p_memsz, page);

	/* Relocation writes to nearly every page of what is writable: all at once costs half of a fault for each. */
	int populate = s->p_flags & PF_W ? MAP_POPULATE : 0;

	if (s->p_filesz && mmap(m->base + start, s->p_filesz + head, protection(s), MAP_PRIVATE | MAP_FIXED | populate, m->fd,
				(off_t)(s->p_offset - head)) == MAP_FAILED)
		return -1;
	if (s->p_memsz > s->p_filesz && s->p_flags & PF_W)
		memset(m->base + s->p_vaddr + s->p_filesz, 0, file_end - s->p_vaddr - s->p_filesz);
	if (end > file_end && mmap(m->base + file_end, end - file_end, protection(s), MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		return -1;
	return 0;
}

static int map_segments(struct image *m, size_t page)
{
	size_t end = 0;

	for (int i = 0; i < m->segment_count; i++) {
		const Elf64_Phdr *s = &m->segments[i];

		if (s->p_type == PT_LOAD && s->p_vaddr + s->p_memsz > end)
			end = s->p_vaddr + s->p_memsz;
	}
	m->span = page_up(end, page);
	m->base = mmap(NULL, m->span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->base == MAP_FAILED) {
		m->base = NULL;
		return -1;
	}
	for (int i = 0; i < m->segment_count; i++)
		if (m->segments[i].p_type == PT_LOAD && map_segment(m, &m->segments[i], page))
			return -1;
	return 0;
}

/* Where a symbol is: in the engine, or among the imports; 0 for a weak one that nobody has. */
static int symbol_address(struct image *m, const Elf64_Sym *symbol, uintptr_t *address)
{
	const char *name = m->names + symbol->st_name;

	if (symbol->st_shndx != SHN_UNDEF) {
		*address = (uintptr_t)m->base + symbol->st_value;
		return 0;
	}
	for (size_t i = 0; i < sizeof imports / sizeof imports[0]; i++)
		if (!strcmp(imports[i].name, name)) {
			*address = (uintptr_t)imports[i].address;
			return 0;
		}
	*address = 0;
	if (ELF64_ST_BIND(symbol->st_info) == STB_WEAK)
		return 0;
	m->problem = name;
	return -1;
}

static int relocate(struct image *m, const Elf64_Rela *r, size_t size)
{
	for (size_t n = size / sizeof *r; n; n--, r++) {
		uintptr_t *place = (uintptr_t *)(m->base + r->r_offset);
		const Elf64_Sym *symbol = &m->symbols[ELF64_R_SYM(r->r_info)];
		uintptr_t address;

		switch (ELF64_R_TYPE(r->r_info)) {
		case RELATIVE:
			*place = (uintptr_t)m->base + (uintptr_t)r->r_addend;
			break;
		case GLOBAL:
		case CALL:
		case WORD:
			if (symbol_address(m, symbol, &address))
				return -1;
			*place = address + (uintptr_t)r->r_addend;
			break;
		case THREAD:
			*place = (uintptr_t)(tls_room - thread_pointer()) + (uintptr_t)r->r_addend +
				 (ELF64_R_SYM(r->r_info) ? symbol->st_value : 0);
			break;
		default:
			m->problem = "a relocation of unknown type";
			return -1;
		}
	}
	return 0;
}

/* DT_RELR, of which all are RELATIVE: the address of a word, then bits for the 63 words behind it, for the next 63, and so on. */
static void relocate_packed(struct image *m, const uint64_t *r, size_t size)
{
	uintptr_t base = (uintptr_t)m->base, *next = NULL;

	for (size_t n = size / sizeof *r; n; n--, r++) {
		if (!(*r & 1)) {
			next = (uintptr_t *)(base + *r);
			*next++ += base;
			continue;
		}
		for (uint64_t bits = *r >> 1; bits; bits &= bits - 1)
			next[__builtin_ctzll(bits)] += base;
		next += 63;
	}
}

static int relocate_all(struct image *m)
{
	const Elf64_Dyn *dynamic = NULL;
	size_t tag[DT_RELR + 1] = { 0 };

	for (int i = 0; i < m->segment_count; i++) {
		const Elf64_Phdr *s = &m->segments[i];

		if (s->p_type == PT_DYNAMIC)
			dynamic = (const Elf64_Dyn *)(m->base + s->p_vaddr);
		if (s->p_type == PT_TLS && (s->p_memsz > TLS_ROOM || s->p_filesz)) {
			m->problem = "more thread-local storage than there is room for";
			return -1;
		}
	}
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++)
		if (dynamic->d_tag > 0 && dynamic->d_tag <= DT_RELR)
			tag[dynamic->d_tag] = dynamic->d_un.d_val;
	if (!tag[DT_SYMTAB] || !tag[DT_STRTAB] || tag[DT_INIT] || tag[DT_INIT_ARRAY] || tag[DT_REL]) {
		m->problem = "a constructor or a missing table";
		return -1;
	}
	m->symbols = (const Elf64_Sym *)(m->base + tag[DT_SYMTAB]);
	m->names = m->base + tag[DT_STRTAB];
	relocate_packed(m, (const uint64_t *)(m->base + tag[DT_RELR]), tag[DT_RELRSZ]);
	if (relocate(m, (const Elf64_Rela *)(m->base + tag[DT_RELA]), tag[DT_RELASZ]) ||
	    relocate(m, (const Elf64_Rela *)(m->base + tag[DT_JMPREL]), tag[DT_PLTRELSZ]))
		return -1;
	return 0;
}

static int protect_relocated(struct image *m, size_t page)
{
	for (int i = 0; i < m->segment_count; i++) {
		const Elf64_Phdr *s = &m->segments[i];
		size_t start = page_down(s->p_vaddr, page), end = page_down(s->p_vaddr + s->p_memsz, page);

		if (s->p_type == PT_GNU_RELRO && mprotect(m->base + start, end - start, PROT_READ))
			return -1;
	}
	return 0;
}

int loader_map(int fd, const char *path, const struct file_start *file, const struct engine_entry **entry,
	       struct rootfs_error *error)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const Elf64_Ehdr *head = (const Elf64_Ehdr *)file->bytes;
	struct image m = { .fd = fd, .segments = (const Elf64_Phdr *)(file->bytes + head->e_phoff), .segment_count = head->e_phnum };

	if (head->e_machine != MACHINE)
		return fail(error, ROOTFS_ERR_ENGINE, 0, "engine", "%s is not for this machine", path);
	if (map_segments(&m, page) || relocate_all(&m) || protect_relocated(&m, page)) {
		int err = errno;

		if (m.base)
			munmap(m.base, m.span);
		if (m.problem)
			return fail(error, ROOTFS_ERR_ENGINE, 0, "engine", "%s cannot be used with this librootfs.so: %s", path, m.problem);
		return fail(error, ROOTFS_ERR_ENGINE, err, "mmap", "cannot map %s: %s", path, strerror(err));
	}
	*entry = (const struct engine_entry *)(m.base + head->e_entry);
	return 0;
}
