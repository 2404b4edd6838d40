# librootfs: build, install, try and test. docs/building.md explains each target.
#
#   make            libraries and minictr, into build/
#   make install    PREFIX=/usr/local DESTDIR=
#   make demo       a real program in a root that librootfs set up, from a C host that links it
#   make test       every test of every language; ends with "N passed, N failed, N skipped"
#
# capi/capi.mk and examples/c/minictr.mk hold the rules for the files; they use these variables:
#   BUILD   where everything is made           GO, GO_BUILD   the Go tool, and "go build" with the flags that make it reproducible
#   CC      the C compiler                     C_FLAGS        language, warnings, hardening, reproducible paths, then the user's CFLAGS
#   VERSION of include/rootfs.h                LD_FLAGS       hardening, then the user's LDFLAGS

BUILD   ?= build
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
BINDIR  ?= $(PREFIX)/bin
INCDIR  ?= $(PREFIX)/include
MANDIR  ?= $(PREFIX)/share/man
DATADIR ?= $(PREFIX)/share/rootfs
DESTDIR ?=

GO      ?= go
INSTALL ?= install
CFLAGS  ?= -O2 -g

VERSION := $(shell awk '/define ROOTFS_VERSION_(MAJOR|MINOR|PATCH)/ { v = v s $$3; s = "." } END { print v }' include/rootfs.h)

# The same source gives the same bytes in any directory: no path of the builder, no VCS stamp, no build id of Go's (which
# hashes the directory). tests/reproducible builds twice and compares.
GO_LDFLAGS = -s -w -buildid=
GO_BUILD   = CGO_ENABLED=1 $(GO) build -trimpath -buildvcs=false -mod=readonly
C_FLAGS = -std=c11 -Wall -Wextra -Werror -fPIC -ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(abspath $(BUILD))=build \
	-fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2 -Iinclude $(CFLAGS)
LD_FLAGS = -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack $(LDFLAGS)

LIBS = $(BUILD)/lib/librootfs.so.0 $(BUILD)/lib/librootfs.so \
	$(BUILD)/lib/librootfs/librootfs-engine.so $(BUILD)/lib/librootfs/rootfs-helper
BINS = $(BUILD)/bin/minictr

.PHONY: all lib bin pkg install uninstall clean demo test lint bench fuzz setup \
	test-attacks test-faults test-random test-soak test-engines test-kernels
.DELETE_ON_ERROR:

all: lib bin pkg
lib: $(LIBS)
bin: $(BINS)

include capi/capi.mk
include examples/c/minictr.mk

# What other build systems read. Both files find the prefix from where they lie, so an installed tree can be moved.
pkg: $(BUILD)/lib/pkgconfig/rootfs.pc $(BUILD)/lib/cmake/rootfs/rootfs-config.cmake \
	$(BUILD)/lib/cmake/rootfs/rootfs-config-version.cmake

# $(call package,template,result,directory it will lie in,directory of rootfs.h)
package = sed -e 's/@VERSION@/$(VERSION)/' -e "s,@INCLUDE@,$$(realpath -m --relative-to=$3 $4)," $1 > $2

$(BUILD)/lib/pkgconfig/%: cmake/%.in include/rootfs.h
	@mkdir -p $(@D)
	$(call package,$<,$@,$(@D),include)

$(BUILD)/lib/cmake/rootfs/%: cmake/%.in include/rootfs.h
	@mkdir -p $(@D)
	$(call package,$<,$@,$(@D),include)

install: all
	$(INSTALL) -d $(DESTDIR)$(LIBDIR)/librootfs $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(LIBDIR)/cmake/rootfs \
		$(DESTDIR)$(INCDIR) $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man3 $(DESTDIR)$(DATADIR)/schema
	$(INSTALL) -m 755 $(BUILD)/lib/librootfs.so.0 $(DESTDIR)$(LIBDIR)/
	ln -sf librootfs.so.0 $(DESTDIR)$(LIBDIR)/librootfs.so
	$(INSTALL) -m 644 $(BUILD)/lib/librootfs.a $(DESTDIR)$(LIBDIR)/
	$(INSTALL) -m 755 $(BUILD)/lib/librootfs/librootfs-engine.so $(BUILD)/lib/librootfs/rootfs-helper $(DESTDIR)$(LIBDIR)/librootfs/
	$(call package,cmake/rootfs.pc.in,$(DESTDIR)$(LIBDIR)/pkgconfig/rootfs.pc,$(LIBDIR)/pkgconfig,$(INCDIR))
	$(call package,cmake/rootfs-config.cmake.in,$(DESTDIR)$(LIBDIR)/cmake/rootfs/rootfs-config.cmake,$(LIBDIR)/cmake/rootfs,$(INCDIR))
	$(call package,cmake/rootfs-config-version.cmake.in,$(DESTDIR)$(LIBDIR)/cmake/rootfs/rootfs-config-version.cmake,$(LIBDIR),$(INCDIR))
	$(INSTALL) -m 644 include/rootfs.h $(DESTDIR)$(INCDIR)/
	$(INSTALL) -m 755 $(BUILD)/bin/minictr $(DESTDIR)$(BINDIR)/
	$(INSTALL) -m 644 man/*.1 $(DESTDIR)$(MANDIR)/man1/
	$(INSTALL) -m 644 man/*.3 $(DESTDIR)$(MANDIR)/man3/
	$(INSTALL) -m 644 schema/*.json $(DESTDIR)$(DATADIR)/schema/

uninstall:
	rm -rf $(DESTDIR)$(LIBDIR)/librootfs $(DESTDIR)$(LIBDIR)/cmake/rootfs $(DESTDIR)$(DATADIR)/schema
	rm -f $(DESTDIR)$(LIBDIR)/librootfs.so.0 $(DESTDIR)$(LIBDIR)/librootfs.so $(DESTDIR)$(LIBDIR)/librootfs.a $(DESTDIR)$(LIBDIR)/pkgconfig/rootfs.pc \
		$(DESTDIR)$(INCDIR)/rootfs.h $(DESTDIR)$(BINDIR)/minictr \
		$(patsubst man/%,$(DESTDIR)$(MANDIR)/man1/%,$(wildcard man/*.1)) \
		$(patsubst man/%,$(DESTDIR)$(MANDIR)/man3/%,$(wildcard man/*.3))
	-rmdir $(DESTDIR)$(DATADIR)

# Says what is missing for a target, installs it where it may (Debian, as root), and stops where it cannot go on.
setup:
	tools/setup build

demo:
	tools/setup demo
	$(MAKE) all
	tools/demo

test:
	tools/setup test
	$(MAKE) all
	tests/run

lint:
	tools/setup lint
	$(MAKE) all
	tools/lint

bench:
	tools/setup bench
	$(MAKE) all
	bench/run

FUZZTIME ?= 60s
fuzz:
	tools/setup fuzz
	$(MAKE) all
	tools/fuzz $(FUZZTIME)

# The long forms of what make test runs shortly.
test-attacks test-faults test-random test-soak test-engines test-kernels: test-%:
	tools/setup test
	[ $* != kernels ] || tools/setup kernels
	$(MAKE) all
	tests/$*/run

clean:
	rm -rf $(BUILD)
