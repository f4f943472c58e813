# lapsed: one Makefile, not recursive. `make`, `make check`, `make demo`, `make bench`, `make install`, `make clean`, `make deps`.
# B=folder builds elsewhere; a missing config.mk is made here, so nothing has to be run before.

B ?= build
prefix ?= /usr/local

# The goals that do all the set-up also install packages; the others only say what is missing.
SETUP_GOALS = check demo bench bench-quick soak
ifneq ($(filter clean deps distclean,$(MAKECMDGOALS)),)
else
ifneq ($(filter $(SETUP_GOALS),$(MAKECMDGOALS)),)
SETUP := $(shell scripts/deps.sh test >&2 || echo failed)
ifeq ($(SETUP),failed)
$(error the packages above are needed)
endif
endif
include config.mk
endif

# Tests are built and run with ASan and UBSan, in a folder of their own; SANITIZERS=no tests what `make` builds.
TEST_GOALS = check check-unit check-store check-daemon tests
ifneq ($(filter $(TEST_GOALS),$(MAKECMDGOALS)),)
ifeq ($(origin SANITIZERS),file)
SANITIZERS = yes
endif
ifeq ($(SANITIZERS)$(origin B),yesfile)
B = build/check
endif
endif
export LSAN_OPTIONS ?= suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0

SYSTEM_CFLAGS = $(patsubst -I%,-isystem %,$(LIB_CFLAGS))
WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes \
           -Wcast-qual -Wwrite-strings -Wvla -Wundef -Wnull-dereference -Wimplicit-fallthrough
ifeq ($(findstring clang,$(CC)),)
WARNINGS += -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wimplicit-fallthrough=5
else
# Check's own macros turn literals into truth values and leave variadic arguments empty.
WARNINGS += -Wno-string-conversion -Wno-gnu-zero-variadic-macro-arguments
endif
ifeq ($(WERROR),yes)
WARNINGS += -Werror
endif
ifeq ($(SANITIZERS),yes)
HARDENING = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LINKING   = -fsanitize=address,undefined
else
HARDENING = -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
LINKING   = -pie -Wl,-z,relro,-z,now
endif
COMPILE = $(CC) -std=gnu11 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -Isrc -Itests $(SYSTEM_CFLAGS) $(WARNINGS) $(HARDENING) -pthread $(CFLAGS) -MMD -MP

PROGRAMS = $(B)/lapsed $(B)/lapsectl
LIBRARY_SOURCES := $(filter-out src/lapsed.c src/lapsectl.c,$(wildcard src/*/*.c))
LIBRARY_OBJECTS := $(LIBRARY_SOURCES:%.c=$(B)/%.o)
UNIT_SOURCES := $(wildcard tests/unit/*/*.c)
UNIT_TESTS   := $(UNIT_SOURCES:tests/unit/%.c=$(B)/unit/%)
# Every tests/store/test_*.c is a program; the other files there are what they share.
STORE_TESTS   := $(patsubst tests/store/%.c,$(B)/store/%,$(wildcard tests/store/test_*.c))
STORE_SHARED  := $(patsubst %.c,$(B)/%.o,$(filter-out tests/store/test_%,$(wildcard tests/store/*.c)))
# Every tests/fuzz/fuzz_NAME.c is a fuzzer, its seeds are in tests/fuzz/NAME.
FUZZERS     := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAYS     := $(FUZZERS:%=$(B)/replay/%)
fuzz_seeds   = $(if $(filter schedule,$(1)),etc etc/caasaas etc/casso tests/unit/schedule/example,tests/fuzz/$(1))
# What the tests of the daemon run beside it.
DAEMON_PRELOAD = half_write
DAEMON_TESTS  := $(patsubst tests/daemon/%.c,$(B)/daemon/%,$(filter-out $(DAEMON_PRELOAD:%=tests/daemon/%.c),$(wildcard tests/daemon/*.c))) \
                 $(DAEMON_PRELOAD:%=$(B)/daemon/%.so)
PYTHON = /usr/bin/python3

# A folder has that name.
.PHONY: bench bench-quick
.PHONY: all check check-unit check-store check-daemon check-includes check-docs tests demo soak fuzz install clean distclean deps
.SECONDARY:
all: $(PROGRAMS)

configure: configure.ac
	@scripts/deps.sh build
	autoconf
config.mk: configure config.mk.in
	./configure --quiet $(CONFIGURE_FLAGS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"; $(COMPILE) -c -o $@ $<
$(B)/liblapsed.a: $(LIBRARY_OBJECTS)
	@rm -f $@
	@$(AR) rcs $@ $^
$(B)/lapsed $(B)/lapsectl: $(B)/%: $(B)/src/%.o $(B)/liblapsed.a
	@echo "  LINK  $@"; $(CC) $(LINKING) $(LDFLAGS) -pthread -o $@ $^ $(LIBS)
$(filter $(B)/unit/sweep/%,$(UNIT_TESTS)): $(B)/unit/%: $(B)/tests/unit/%.o $(B)/tests/store/scripted.o $(B)/tests/store/scripted_driver.o $(B)/liblapsed.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"; $(CC) $(LINKING) $(LDFLAGS) -pthread -o $@ $^ $(CHECK_LIBS) $(LIBS)
$(B)/unit/%: $(B)/tests/unit/%.o $(B)/liblapsed.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"; $(CC) $(LINKING) $(LDFLAGS) -pthread -o $@ $^ $(CHECK_LIBS) $(LIBS)
$(B)/store/%: $(B)/tests/store/%.o $(STORE_SHARED) $(B)/liblapsed.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"; $(CC) $(LINKING) $(LDFLAGS) -pthread -o $@ $^ $(CHECK_LIBS) $(LIBS)

$(B)/replay/%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o $(B)/liblapsed.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"; $(CC) $(LINKING) $(LDFLAGS) -pthread -o $@ $^ $(LIBS)

$(B)/daemon/%: $(B)/tests/daemon/%.o $(B)/liblapsed.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"; $(CC) $(LINKING) $(LDFLAGS) -pthread -o $@ $^ $(LIBS)

$(B)/daemon/%.so: tests/daemon/%.c
	@mkdir -p $(@D)
	@echo "  LINK  $@"; $(CC) -std=gnu11 -D_GNU_SOURCE $(WARNINGS) -O1 -fPIC -shared $(LDFLAGS) -o $@ $<

# Before the library, so that it stands in for what it measures the cost of.
$(B)/bench/unjournaled: $(B)/src/lapsed.o $(B)/bench/unjournaled.o $(B)/liblapsed.a
	@echo "  LINK  $@"; $(CC) $(LINKING) $(LDFLAGS) -pthread -o $@ $^ $(LIBS)
$(B)/bench/%: $(B)/bench/%.o $(B)/liblapsed.a
	@echo "  LINK  $@"; $(CC) $(LINKING) $(LDFLAGS) -pthread -o $@ $^ $(LIBS)

check: check-includes check-docs check-unit check-store check-daemon
check-includes:
	scripts/check-includes.sh
check-docs:
	mandoc -Tlint -W warning doc/*.[1-9]
check-unit: $(UNIT_TESTS) $(REPLAYS)
	@failed=0; for t in $(UNIT_TESTS); do $$t || failed=1; done; \
	$(foreach f,$(FUZZERS),$(B)/replay/$(f) $(call fuzz_seeds,$(f)) || failed=1;) exit $$failed
# Against real servers, started for the run: their addresses are in the environment (scripts/servers.py says which).
check-store: $(STORE_TESTS)
	@scripts/servers.py --standalone run $(B)/servers-store -- sh -c 'failed=0; for t in $(STORE_TESTS); do $$t || failed=1; done; exit $$failed'
check-daemon: $(PROGRAMS) $(DAEMON_TESTS)
	LAPSED_BUILD=$(B) $(PYTHON) -m pytest -q -rs -n 2 tests/daemon
demo: $(PROGRAMS)
	@demo/run.py --build $(B) $(if $(KEEP),--keep) $(if $(COPIES),--copies $(COPIES))

# ROWS=, TENANTS=, ROUNDS= and ONLY= as bench/run.py has them; bench-quick is small enough for two minutes, leaves
# out what takes its time at any size or says little of small ones (latency, journal, curves), and writes nothing down.
comma = ,
BENCH = scripts/servers.py --durable run $(B)/bench/servers -- $(PYTHON) bench/run.py --build $(B)
bench: $(PROGRAMS) $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c))
	$(BENCH) $(if $(ROWS),--rows $(ROWS)) $(if $(TENANTS),--tenants $(TENANTS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only $(ONLY))
bench-quick: $(PROGRAMS)
	$(BENCH) --rows $(or $(ROWS),100000) --tenants $(or $(TENANTS),100) --rounds $(or $(ROUNDS),1) --results $(B)/bench/results.json \
	  --only $(or $(ONLY),postgresql$(comma)mongodb$(comma)redis$(comma)idle$(comma)scale)
# Everything dies now and then, and nothing may be destroyed wrongly: tests/soak/soak.py says how. MINUTES=30 SEED=7
soak: $(PROGRAMS)
	LAPSED_BUILD=$(B) $(PYTHON) tests/soak/soak.py --minutes $(or $(MINUTES),3) $(if $(SEED),--seed $(SEED)) $(if $(KEEP),--keep)

tests: $(PROGRAMS) $(UNIT_TESTS) $(STORE_TESTS) $(DAEMON_TESTS) $(REPLAYS)

MANUAL = $(wildcard doc/*.[158])
INSTALL = install -D
install: $(PROGRAMS)
	$(INSTALL) -m 0755 $(B)/lapsed $(DESTDIR)$(prefix)/sbin/lapsed
	$(INSTALL) -m 0755 $(B)/lapsectl $(DESTDIR)$(prefix)/bin/lapsectl
	for page in $(MANUAL); do \
	  $(INSTALL) -m 0644 $$page $(DESTDIR)$(prefix)/share/man/man$${page##*.}/$${page##*/} || exit; done
	for file in etc/*.conf etc/*/*; do \
	  $(INSTALL) -m 0644 $$file $(DESTDIR)$(prefix)/share/doc/lapsed/examples/$${file#etc/} || exit; done
	for file in etc/lapsed.conf etc/schedule.conf; do \
	  [ -e $(DESTDIR)/etc/lapsed/$${file#etc/} ] || $(INSTALL) -m 0644 $$file $(DESTDIR)/etc/lapsed/$${file#etc/} || exit; done
	$(INSTALL) -d $(DESTDIR)$(prefix)/lib/systemd/system
	sed 's,@PREFIX@,$(prefix),' systemd/lapsed.service >$(DESTDIR)$(prefix)/lib/systemd/system/lapsed.service
	$(INSTALL) -m 0644 systemd/lapsed.sysusers $(DESTDIR)$(prefix)/lib/sysusers.d/lapsed.conf
	$(INSTALL) -m 0644 systemd/lapsed.tmpfiles $(DESTDIR)$(prefix)/lib/tmpfiles.d/lapsed.conf

# Needs clang-14 and libclang-rt-14-dev; FUZZERS=verify runs one, FUZZ_SECONDS= says how long each. What it finds is left in
# $(B)/fuzz. `make check` replays the seeds and some variations of them, without clang.
FUZZ_CC ?= clang-14
FUZZ_SECONDS ?= 60
FUZZ_OBJECTS := $(patsubst %.c,$(B)/fuzz/%.o,$(wildcard src/base/*.c src/schedule/*.c src/journal/*.c))
$(B)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	@$(FUZZ_CC) -std=gnu11 -g -O1 -D_GNU_SOURCE -Isrc -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -MMD -MP -c -o $@ $<
$(B)/fuzz/fuzz_%: $(B)/fuzz/tests/fuzz/fuzz_%.o $(FUZZ_OBJECTS)
	@$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $^ -lconfig -ljansson -lcrypto -pthread
fuzz: $(FUZZERS:%=$(B)/fuzz/fuzz_%)
	@mkdir -p $(FUZZERS:%=$(B)/fuzz/corpus/%)
	@$(foreach f,$(FUZZERS),$(B)/fuzz/fuzz_$(f) -max_total_time=$(FUZZ_SECONDS) -max_len=20000 -artifact_prefix=$(B)/fuzz/$(f)- \
	  -print_final_stats=1 $(B)/fuzz/corpus/$(f) $(call fuzz_seeds,$(f)) &&) true

deps:
	scripts/deps.sh test

clean:
	rm -rf $(B)
distclean: clean
	rm -rf config.mk config.log config.status configure autom4te.cache

-include $(shell find $(B) -name '*.d' 2>/dev/null)
