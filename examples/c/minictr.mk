# minictr, the OCI runtime on librootfs. Included by the Makefile at the top, or by one of your own that sets BUILD, CC, C_FLAGS
# and LD_FLAGS. Libraries of Debian: libjson-c-dev libseccomp-dev libcap-dev.

MINICTR_SOURCES = $(sort $(wildcard examples/c/*.c))
MINICTR_HEADERS = $(wildcard examples/c/*.h) include/rootfs.h
MINICTR_OBJECTS = $(MINICTR_SOURCES:examples/c/%.c=$(BUILD)/minictr/%.o)
# Their archives where they are installed: a runtime starts for every container, and each shared library costs it a tenth of
# a millisecond.
minictr_archive = $(if $(filter /%,$(shell $(CC) -print-file-name=lib$1.a)),-l:lib$1.a,-l$1)
MINICTR_LIBS   := $(foreach library,json-c seccomp cap,$(call minictr_archive,$(library)))

$(BUILD)/minictr/%.o: examples/c/%.c $(MINICTR_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) -D_GNU_SOURCE -c -o $@ $<

# The library is found beside the program, wherever both are installed, and whatever the environment says.
$(BUILD)/bin/minictr: $(MINICTR_OBJECTS) $(BUILD)/lib/librootfs.so
	@mkdir -p $(@D)
	$(CC) $(LD_FLAGS) -o $@ $(MINICTR_OBJECTS) -L$(BUILD)/lib -Wl,-rpath,'$$ORIGIN/../lib' -lrootfs $(MINICTR_LIBS)
