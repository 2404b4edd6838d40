# minictr, the OCI runtime on librootfs. Included by the Makefile at the top, or by one of your own that sets BUILD, CC, C_FLAGS
# and LD_FLAGS. Libraries of Debian: libjson-c-dev libseccomp-dev libcap-dev; musl-dev, where there is one.

MINICTR_SOURCES = $(sort $(wildcard examples/c/*.c))
MINICTR_HEADERS = $(wildcard examples/c/*.h) include/rootfs.h
MINICTR_OBJECTS = $(MINICTR_SOURCES:examples/c/%.c=$(BUILD)/minictr/%.o)

# Static: a runtime starts for every container, twice, and the dynamic linker with its libraries would be a third of that. The
# engine is found beside the program (engine.c), wherever both are installed.
MINICTR_LIBS = -l:libjson-c.a -l:libseccomp.a -l:libcap.a

# With musl where it is there (MUSL= is without): glibc's start asks CPUID up to seventy times, and each leaves a virtual machine, which
# is a sixth of the time that a container takes. The three libraries were compiled for glibc: fortified.c has what they miss.
MINICTR_MACHINE := $(shell $(CC) -dumpmachine)
MUSL ?= $(patsubst %/rcrt1.o,%,$(wildcard /usr/lib/$(firstword $(subst -, ,$(MINICTR_MACHINE)))-linux-musl/rcrt1.o))

ifeq ($(MUSL),)

MINICTR_ROOTFS = $(BUILD)/lib/librootfs.a
MINICTR_LINK = $(CC) -static-pie $(LD_FLAGS) -o $@ $^ $(MINICTR_LIBS)

else

compiler_file = $(shell $(CC) -print-file-name=$1)
# Headers of musl, then those of the kernel and the three libraries. It has no fortified functions.
MINICTR_FLAGS = -U_FORTIFY_SOURCE -nostdinc -isystem $(call compiler_file,include) -isystem $(patsubst /usr/lib/%,/usr/include/%,$(MUSL)) \
	-idirafter /usr/include -idirafter /usr/include/$(MINICTR_MACHINE)
# librootfs.a is made for glibc, so the library is compiled once more.
MINICTR_ROOTFS = $(BUILD)/minictr/librootfs.a
MINICTR_LINK = $(CC) -nostdlib -static-pie $(LD_FLAGS) -o $@ $(MUSL)/rcrt1.o $(MUSL)/crti.o $(call compiler_file,crtbeginS.o) $^ \
	$(MINICTR_LIBS) $(MUSL)/libc.a -lgcc -lgcc_eh $(MUSL)/libc.a $(call compiler_file,crtendS.o) $(MUSL)/crtn.o

endif

$(BUILD)/minictr/libc: FORCE
	@$(call keep,$(MUSL))

$(BUILD)/minictr/%.o: examples/c/%.c $(MINICTR_HEADERS) $(BUILD)/minictr/libc
	$(CC) $(C_FLAGS) $(MINICTR_FLAGS) $(MINICTR_$*) -D_GNU_SOURCE -c -o $@ $<

$(BUILD)/minictr/rootfs/%.o: capi/lib/%.c $(CAPI_HEADERS) $(CAPI)/static/dir $(BUILD)/minictr/libc
	@mkdir -p $(@D)
	$(CC) $(CAPI_FLAGS) $(MINICTR_FLAGS) -DROOTFS_ENGINE_DIR='"$(LIBDIR)/librootfs"' -c -o $@ $<

$(BUILD)/minictr/librootfs.a: $(patsubst capi/lib/%.c,$(BUILD)/minictr/rootfs/%.o,$(wildcard capi/lib/*.c))
	$(call one_object,$(BUILD)/minictr/librootfs.o)

# It runs before the C library: no calls into it, not even the compiler's own.
MINICTR_entry = -ffreestanding -fno-stack-protector -fcf-protection=none -U_FORTIFY_SOURCE -fno-tree-loop-distribute-patterns

$(BUILD)/bin/minictr: $(MINICTR_OBJECTS) $(MINICTR_ROOTFS)
	@mkdir -p $(@D)
	$(MINICTR_LINK) -Wl,-e,minictr_entry
