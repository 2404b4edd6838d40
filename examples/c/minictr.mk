# minictr, the OCI runtime on librootfs. Included by the Makefile at the top, or by one of your own that sets BUILD, CC, C_FLAGS
# and LD_FLAGS. Libraries of Debian: libjson-c-dev libseccomp-dev libcap-dev.

MINICTR_SOURCES = $(sort $(wildcard examples/c/*.c))
MINICTR_HEADERS = $(wildcard examples/c/*.h) include/rootfs.h
MINICTR_OBJECTS = $(MINICTR_SOURCES:examples/c/%.c=$(BUILD)/minictr/%.o)

# Static: a runtime starts for every container, twice, and the dynamic linker with its libraries would be a third of that. The
# engine is found beside the program (engine.c), wherever both are installed.
MINICTR_LIBS = $(BUILD)/lib/librootfs.a -l:libjson-c.a -l:libseccomp.a -l:libcap.a

$(BUILD)/minictr/%.o: examples/c/%.c $(MINICTR_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) $(MINICTR_$*) -D_GNU_SOURCE -c -o $@ $<

# It runs before the C library: no calls into it, not even the compiler's own.
MINICTR_entry = -ffreestanding -fno-stack-protector -fcf-protection=none -U_FORTIFY_SOURCE -fno-tree-loop-distribute-patterns

$(BUILD)/bin/minictr: $(MINICTR_OBJECTS) $(BUILD)/lib/librootfs.a
	@mkdir -p $(@D)
	$(CC) -static-pie $(LD_FLAGS) -Wl,-e,minictr_entry -o $@ $(MINICTR_OBJECTS) $(MINICTR_LIBS)
