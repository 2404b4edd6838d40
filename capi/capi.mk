# Rules for librootfs.so, the engine and the helper. Included by the top Makefile, which sets the variables.
#
# The engine is a c-shared build of Go, linked by capi/link together with its C half (capi/start).

CAPI = $(BUILD)/capi
CAPI_FLAGS = $(C_FLAGS) -fvisibility=hidden -Icapi -I$(CAPI)
CAPI_HEADERS = include/rootfs.h $(wildcard capi/*.h capi/lib/*.h capi/start/*.h) $(CAPI)/build.h
OBJCOPY ?= objcopy

LIB_OBJECTS = $(patsubst capi/lib/%.c,$(CAPI)/lib/%.o,$(wildcard capi/lib/*.c))
START_OBJECTS = $(patsubst capi/start/%.c,$(CAPI)/start/%.o,$(wildcard capi/start/*.c))
HELPER_OBJECTS = $(CAPI)/helper/main.o $(CAPI)/lib/engine.o $(CAPI)/lib/loader.o $(CAPI)/lib/error.o

ENGINE_GO := $(shell find rootfs capi/engine -name '*.go' ! -name '*_test.go' ! -path '*/testdata/*' | LC_ALL=C sort)
ENGINE_C := $(sort capi/link $(wildcard capi/*.h capi/*.map capi/*.sh capi/*/*.c capi/*/*.h) include/rootfs.h)

# The build id: a hash of all that the three files are made from, so the same sources give the same one anywhere.
$(CAPI)/build.h: $(ENGINE_GO) $(ENGINE_C) go.mod go.sum capi/capi.mk
	@mkdir -p $(@D)
	@id=$$({ $(GO) env GOVERSION; cat $^; } | sha256sum | cut -d' ' -f1); \
	printf '#ifndef ROOTFS_BUILD\n#define ROOTFS_BUILD "%s"\n#endif\n' "$$id" > $@

$(CAPI)/lib/%.o: capi/lib/%.c $(CAPI_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CAPI_FLAGS) -c -o $@ $<

# Without the fortified names of functions, which only glibc has: the engine's imports are those of any libc.
$(CAPI)/start/%.o: capi/start/%.c $(CAPI_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CAPI_FLAGS) -U_FORTIFY_SOURCE -c -o $@ $<

$(CAPI)/helper/%.o: capi/helper/%.c $(CAPI_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CAPI_FLAGS) -Icapi/lib -c -o $@ $<

# nodelete: a host that closes and opens the library again must not lose what it knows of the engine.
$(BUILD)/lib/librootfs.so.0: $(LIB_OBJECTS) capi/rootfs.map
	@mkdir -p $(@D)
	$(CC) -shared $(CFLAGS) -o $@ $(LIB_OBJECTS) $(LD_FLAGS) -Wl,-soname,librootfs.so.0 -Wl,-z,nodelete -Wl,-z,defs \
		-Wl,--version-script=capi/rootfs.map

$(BUILD)/lib/librootfs.so: $(BUILD)/lib/librootfs.so.0
	ln -sf librootfs.so.0 $@

# For static hosts: one object, of which only rootfs_* can be seen. It has no path of its own to look beside, so it looks in
# the directory of the installed engine, which is fixed here.
$(CAPI)/static/dir: FORCE
	@$(call keep,$(LIBDIR)/librootfs)
.PHONY: FORCE

# $(call keep,text): a file that is newer than what depends on it only where its text is another than before.
keep = mkdir -p $(@D); echo '$1' | cmp -s - $@ || echo '$1' > $@

$(CAPI)/static/path.o: capi/lib/path.c $(CAPI_HEADERS) $(CAPI)/static/dir
	$(CC) $(CAPI_FLAGS) -DROOTFS_ENGINE_DIR='"$(LIBDIR)/librootfs"' -c -o $@ $<

$(BUILD)/lib/librootfs.a: $(filter-out $(CAPI)/lib/path.o,$(LIB_OBJECTS)) $(CAPI)/static/path.o
	$(call one_object,$(CAPI)/static/librootfs.o)

# $(call one_object,object): an archive of that one.
define one_object
	@mkdir -p $(@D)
	$(CC) -r -nostdlib -o $1 $^
	$(OBJCOPY) --wildcard --keep-global-symbol='rootfs_*' $1
	@rm -f $@
	$(AR) rcsD $@ $1
endef

lib: $(BUILD)/lib/librootfs.a

$(BUILD)/lib/librootfs/rootfs-helper: $(HELPER_OBJECTS)
	@mkdir -p $(@D)
	$(CC) -pie $(CFLAGS) -o $@ $^ $(LD_FLAGS)

$(CAPI)/overlay/overlay.json: capi/overlay.sh
	GO="$(GO)" capi/overlay.sh $(abspath $(@D))

# Mapped by capi/lib/loader.c and not by the dynamic linker: no start files (they are constructors), the entry as the
# file's entry point, nothing that is not called (Go's runtime brings calls of its own), and no import that the loader's
# table has not.
# Its 11 000 relocations packed are a tenth of the file; a linker that cannot do that says so and goes on.
ENGINE_LINK = -nostartfiles $(LD_FLAGS) -Wl,-soname,librootfs-engine.so -Wl,-e,rootfs_engine -Wl,--eh-frame-hdr -Wl,-z,defs \
	-Wl,-z,pack-relative-relocs -Wl,--gc-sections -Wl,--version-script=$(abspath capi/engine.map) \
	-Wl,--wrap=pthread_create,--wrap=pthread_key_create,--wrap=pthread_attr_getstacksize,--wrap=x_cgo_getstackbound,--wrap=x_cgo_init
CHECK_IMPORTS = for name in $$(nm -D --undefined-only $@ | awk '$$1 == "U" { sub(/@.*/, "", $$2); print $$2 }'); do \
	grep -q -e "IMPORT($$name)" -e "\"$$name\"" capi/lib/loader.c || { echo "capi/lib/loader.c lacks $$name" >&2; exit 1; }; done

# $(call ENGINE,TAGS): the recipe. The collector is that of Go 1.25, which keeps no marks in the pages of objects: it touches fewer of
# them, and collects next to never.
define ENGINE
@mkdir -p $(@D)
GOEXPERIMENT=nogreenteagc CC="$(CC)" ROOTFS_CC="$(CC)" OBJCOPY="$(OBJCOPY)" CGO_CFLAGS="-O2 -ffunction-sections -ffile-prefix-map=$(CURDIR)=." $(GO_BUILD) \
	-overlay $(CAPI)/overlay/overlay.json -buildmode=c-shared -tags $(1) -ldflags '$(GO_LDFLAGS) -extld=$(abspath capi/link) \
	-extldflags "$(CFLAGS) $(abspath $(START_OBJECTS)) $(ENGINE_LINK)"' -o $@ ./capi/engine
@rm -f $(@:.so=.h)
@chmod 755 $@
@$(CHECK_IMPORTS)
endef

ENGINE_NEEDS = $(START_OBJECTS) $(ENGINE_GO) $(ENGINE_C) go.mod go.sum $(CAPI)/overlay/overlay.json capi/engine.map

$(BUILD)/lib/librootfs/librootfs-engine.so: $(ENGINE_NEEDS)
	$(call ENGINE,osusergo)

# The same engine with defects to be asked for (capi/engine/fault_on.go), for tests/host. Never installed.
$(CAPI)/fault/librootfs/librootfs-engine.so: $(ENGINE_NEEDS)
	$(call ENGINE,osusergo$(comma)rootfs_fault)

comma = ,

.PHONY: capi-fault
capi-fault: $(CAPI)/fault/librootfs/librootfs-engine.so lib
	cp $(BUILD)/lib/librootfs.so.0 $(CAPI)/fault/
	cp $(BUILD)/lib/librootfs/rootfs-helper $(CAPI)/fault/librootfs/
