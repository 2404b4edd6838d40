#!/bin/sh
# Some places in Go's own sources work against a library in a host's init child, and no setting turns them off. This
# writes copies without them into $1 and an overlay (go build -overlay) that names them; it fails where the sources do not
# look as expected, so that a newer Go is looked at before it is used.
set -eu
out=$1
root=$(${GO:-go} env GOROOT)
mkdir -p "$out"

# $1: file below GOROOT/src, $2: how many lines the change touches, $3: sed script
patch() {
	copy=$out/$(echo "$1" | tr / _)
	sed "$3" "$root/src/$1" > "$copy"
	if [ "$(diff "$root/src/$1" "$copy" | grep -c '^>')" != "$2" ]; then
		echo "capi/overlay.sh: $root/src/$1 is not as in Go 1.26: look at it, and at this script" >&2
		exit 1
	fi
	printf '%s\t\t"%s": "%s"' "$comma" "$root/src/$1" "$copy"
	comma=',
'
}

# $1: file below GOROOT/src that Go does not have; its text is on standard input
add() {
	copy=$out/$(echo "$1" | tr / _)
	cat > "$copy"
	printf '%s\t\t"%s": "%s"' "$comma" "$root/src/$1" "$copy"
}

comma=
{
	printf '{\n\t"Replace": {\n'
	# Package syscall raises the soft RLIMIT_NOFILE when it is initialised, and an execve by C would hand that on.
	patch syscall/rlimit.go 1 's/^func init() {$/func unusedRaise() {/'
	# Even where it is told not to, the runtime looks for its CPU limit, and throws it away: it reads the host's whole mount
	# table for that, twentieth part of the start on a small host and milliseconds on one with many mounts.
	patch runtime/cgroup_linux.go 1 's/^\tc, err := cgroup.OpenCPU/\treturn\n&/'
	# There is one P and one goroutine that wants it: nobody to offer it to around each system call.
	patch syscall/syscall_linux.go 4 's/^\truntime_\(enter\|exit\)syscall()$//'
	# GODEBUG and its metrics, which are not for a library (capi/start/start.c).
	patch internal/godebug/godebug.go 1 's/^func init() {$/func unusedInit() {/'
	# The monitor takes the P from calls of C that take long, and preempts goroutines for others. There are no
	# others: it would only wake up, every 20 us in the beginning.
	patch runtime/proc.go 19 's/^const haveSysmon = .*/const haveSysmon = false/
		# The first goroutine is bound to its thread while it initializes packages, so that another thread is needed for those that
		# the collector starts meanwhile.
		/^func main() {$/,/^}$/s/^\t*\(un\)\{0,1\}lockOSThread()$//
		# A clean thread for threads to be cloned from. None are.
		/^func main() {$/,/^}$/s/^\t*startTemplateThread()$//
		/^func newm(/,/^}$/s/ \&\& GOOS != "plan9" {$/ \&\& false {/
		# A goroutine for collections that the monitor asks for.
		s/^\tgo forcegchelper()$//
		# Looked up in the function table by its name, to count it.
		s/^\tif isSystemGoroutine(newg, false) {$/\tif false {/
		# The stack that packages are initialized on, and the one of a call of the library: each would be copied to become as
		# large as it must, and each time the tables for walking it are read.
		s/^\t\tnewg = malg(stackMin)$/\t\tnewg = malg(8192)/
		s/^\tgp := malg(4096)$/\tgp := malg(65536)/
		# The word at the other end of a stack, for signal handlers of ARM: a page for each stack.
		/^func malg(/,/^}$/s/^\t\t\*(\*uintptr)(unsafe.Pointer(newg.stack.lo)) = 0$/\t\tif GOARCH != "amd64" {\n&\n\t\t}/
		# A thread that comes from C has its signals blocked until it has a signal stack, for handlers of Go. All that are
		# asynchronous are those of the host, which need none.
		/^func needm(/,/^}$/s/^\tsigsave(&sigmask)$//
		/^func needm(/,/^}$/s/^\tsigblock(false)$//
		/^func dropm(/,/^}$/s/^\tsigblock(false)$//
		/^func dropm(/,/^}$/s/^\tmsigrestore(sigmask)$/\t_ = sigmask/
		# The P stays with the thread that was in Go last. Another one takes it from there, which was for the monitor to arrange.
		/^func exitsyscallTryGetP(/,/^}$/s/^\tif oldp != nil {$/\tif oldp == nil {\n\t\toldp = allp[0]\n\t}\n&/'
	# A handler of the host's may begin anywhere in a call, and on the stack that it finds there: all have room for it below what Go
	# uses. As many bytes as the runtime's own signal stack has. What it takes for the stack of a thread is that much further down, and
	# the host's own signal stack, where it has one, is for handlers alone.
	patch runtime/stack.go 1 's/^\tstackSystem = /&goos.IsLinux*32*1024 + /'
	# The runtime makes a second goroutine of that size with its first call, in case another thread calls meanwhile. The lock of
	# librootfs.so lets none, and the first one is free again when the call is over (contexts.c).
	patch runtime/cgocall.go 2 's/^\tif gp.m.needextram || extraMWaiters.Load() > 0 {$/\tif false {/
		s/^\tg0.stack.lo = sp - 32\*1024$/& - stackSystem/'
	# Goroutines for sweeping, and for giving memory back while a program idles. Who allocates sweeps too, and the memory limit does
	# without the other, for whose timer the runtime would open an epoll and an event descriptor that stay.
	#
	# Which words of the variables are pointers is worked out when the first collection begins: most processes see none.
	patch runtime/mgc.go 1 '/^func gcenable() {$/,/^}$/{/memstats\|^func\|^}/!d}
		/^func gcStart(/,/^}$/s/^\tsemacquire(&gcsema)$/\tpointerMasks()\n&/'
	# And the runtime looks whether the 11 000 entries of its function table are in order, for which the build id is enough.
	patch runtime/symtab.go 1 's/^\t\tif md.gcdatamask == (bitvector{}) {$/\t\tif false {/
		/^func moduledataverify() {$/,/^}$/{/^func\|^}/!d}'
	# Each size of objects has pages of its own, of which two are written to at once, and here most sizes occur a few times. With powers
	# of two, and 288 for the steps of a plan, there are 13 sizes instead of 67.
	patch internal/runtime/gc/sizeclasses.go 2 '/^var SizeToSizeClass/{
		s/\<1\>\([,}]\)/2\1/g
		s/\<3\>\([,}]\)/4\1/g
		s/\<5\>\([,}]\)/6\1/g
		s/\<[7-9]\>\([,}]\)/10\1/g
		s/\<1[1-7]\>\([,}]\)/18\1/g
		s/\<2[0-5]\>\([,}]\)/26\1/g
		s/\<\(2[7-9]\|3[01]\)\>\([,}]\)/32\2/g
		s/\<3[3-7]\>\([,}]\)/38\1/g
		s/\<\(39\|4[0-3]\)\>\([,}]\)/44\2/g
		s/\<\(4[5-9]\|50\)\>\([,}]\)/51\2/g
		s/\<5[2-8]\>\([,}]\)/59\1/g
		s/\<6[0-6]\>\([,}]\)/67\1/g
		}'
	# Stacks below this size are made several at a time, of which each is written to; the first goroutine's is not. Tables come from one
	# place, where the P would have a second one.
	patch runtime/malloc.go 2 's/^\t_StackCacheSize = 32 \* 1024$/\t_StackCacheSize = 8 * 1024/
		s/^\tif mp != nil \&\& mp.p != 0 {$/\tif false {/'
	# How much stack preemption by signal needs. There is none.
	patch runtime/preempt.go 1 's/^func init() {$/func unusedInit() {/'
	# Standard input, output and error are not for the engine; each is looked at, and one gets a goroutine for finalizers.
	patch os/file.go 3 's/^\t\(Std[a-z]*  *\)= NewFile(.*/\t\1= (*File)(nil)/'
	# What is reserved is given rights, instead of a new mapping in its place.
	patch runtime/mem_linux.go 5 's/^\t"internal.runtime.atomic"$/&\n\t"internal\/runtime\/syscall\/linux"/
		/^func sysMapOS(/,/^}$/s/^\tp, err := mmap(.*/\tp, err := v, 0\
\tif _, _, e := linux.Syscall6(linux.SYS_MPROTECT, uintptr(v), n, _PROT_READ|_PROT_WRITE, 0, 0, 0); e != 0 {\
\t\terr = int(e)\
\t}/'
	# Five tables, of which one page each is used, are mapped twice: reserved, and that page. The three small ones are mapped at once.
	patch runtime/mpagealloc_64bit.go 2 's/^\t\tr := sysReserve(nil, b, "page summary")$/\t\tr := mapSummary(l, b)/
		s/^\t\tif need.size() == 0 {$/\t\tif need.size() == 0 || l < 3 {/'
	# No preemption by signal: SIGURG stays the host's. No profile of the heap, or of locks, for which each thread has room. No cgroup
	# files of the host held open for the number of CPUs, which is the shape of CVE-2024-21626. Asked for in GODEBUG, or by go:debug
	# lines, package internal/godebug would read that too, and make a table of it.
	patch runtime/runtime1.go 5 's/, value: &debug.profstackdepth, def: 128},$/, value: \&debug.profstackdepth},/
		s/^\tdebug.invalidptr = 1$/&\n\tdebug.asyncpreemptoff = 1\n\tMemProfileRate = 0/
		s/^\t{name: "\(containermaxprocs\|updatemaxprocs\)", value: \(.*\), def: 1},$/\t{name: "\1", value: \2},/'
	# Each CPUID leaves a virtual machine, for 5 us. What they tell of (SSE 3 and later, AES for hashes) is faster only in programs that
	# have much to do.
	patch runtime/asm_amd64.s 1 '/find out information about the processor/,/JE\tnocpuinfo$/s/^\tCPUID$/\tXORL\tAX, AX/'
	patch internal/cpu/cpu_x86.go 2 's/^\tlevel := getGOAMD64level()$/\tlevel := 4/ # options of GODEBUG
		s/^\tmaxID, _, _, _ := cpuid(0, 0)$/\tmaxID := 0/'
	# Of the signals that it takes no handler for, the runtime asks for the host's handler, and gives it SA_ONSTACK: sixty calls, and a
	# handler that another thread of the host installs meanwhile would be lost. Its stacks have room for them. And it unblocks signals,
	# which is the host's matter but for the faults (capi/start/guard.c).
	patch runtime/signal_unix.go 4 '/^func minitSignalMask() {$/,/^}$/s/^\tnmask := getg().m.sigmask$/\treturn\n&/
		/^func initsig(/,/^}$/s/^\t\tif t\.flags == 0 || t\.flags&_SigDefault != 0 {$/\t\tif t.flags == 0 || t.flags\&_SigDefault != 0 || !sigInstallGoHandler(i) {/
		/^func setGsignalStack(/,/^}$/s/^\tgp.m.gsignal.stackguard[01] = stsp + stackGuard$/& - stackSystem/'
	# For the size of huge pages, of which a few megabytes need none, it opens a file of /sys, and without O_CLOEXEC: another thread of
	# the host may exec just then.
	#
	# CPUs are counted with an array of 8 KiB. For what happens on one thread there is one.
	#
	# Where one of the runtime's threads sleeps, or wakes another one: they are contexts on the caller's thread (capi/start/contexts.c),
	# of which one sleeps when another one goes on.
	patch runtime/os_linux.go 5 's/^\tnumCPUStartup = getCPUCount()$/\tnumCPUStartup = 1/
		s/^\tphysHugePageSize = getHugePageSize()$/\tphysHugePageSize = 0/
		/^func futexsleep(/s/$/\n\tsleepInContext(addr, val, ns)\n\treturn/
		/^func futexwakeup(/s/$/\n\treturn/'
	add runtime/rootfs.go <<-'END'
		package runtime

		import "unsafe"

		//go:linkname _cgo_context_sleep _cgo_context_sleep
		var _cgo_context_sleep unsafe.Pointer

		// struct context_sleep of capi/start/contexts.c.
		type contextSleep struct {
			addr *uint32
			val  uint32
			ns   int64
			g    *g
		}

		//go:nosplit
		func sleepInContext(addr *uint32, val uint32, ns int64) {
			s := contextSleep{addr, val, ns, getg().m.g0}
			asmcgocall(_cgo_context_sleep, unsafe.Pointer(&s))
		}

		func mapSummary(level int, size uintptr) unsafe.Pointer {
			if level < 3 {
				return sysAllocOS(size, "page summary")
			}
			return sysReserve(nil, size, "page summary")
		}

		// The part of modulesinit that a collection needs.
		func pointerMasks() {
			m := &firstmoduledata
			if m.gcdatamask == (bitvector{}) {
				data, bss := m.edata-m.data, m.ebss-m.bss
				m.gcdatamask = progToPointerMask((*byte)(unsafe.Pointer(m.gcdata)), data)
				m.gcbssmask = progToPointerMask((*byte)(unsafe.Pointer(m.gcbss)), bss)
				gcController.addGlobals(int64(data + bss))
			}
		}
	END
	add runtime/cgo/rootfs.go <<-'END'
		package cgo

		import _ "unsafe"

		//go:cgo_import_static context_sleep
		//go:linkname context_sleep context_sleep
		//go:linkname _cgo_context_sleep _cgo_context_sleep
		var context_sleep byte
		var _cgo_context_sleep = &context_sleep
	END
	printf '\n\t}\n}\n'
} > "$out/overlay.json.new"
mv "$out/overlay.json.new" "$out/overlay.json"
