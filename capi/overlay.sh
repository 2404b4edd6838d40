#!/bin/sh
# Some places in Go's own sources work against a library in a host's init child, and no setting turns them off. This
# writes copies without them into $1 and an overlay (go build -overlay) that names them; it fails where the sources do not
# look as expected, so that a newer Go is looked at before it is used.
set -eu
out=$1
root=$(${GO:-go} env GOROOT)
mkdir -p "$out"

# $1: file below GOROOT/src, $2: what must be in it once, $3: sed script
patch() {
	copy=$out/$(echo "$1" | tr / _)
	if [ "$(grep -c -e "$2" "$root/src/$1")" != 1 ]; then
		echo "capi/overlay.sh: $root/src/$1 is not as in Go 1.26: look at it, and at this script" >&2
		exit 1
	fi
	sed "$3" "$root/src/$1" > "$copy"
	printf '%s\t\t"%s": "%s"' "$comma" "$root/src/$1" "$copy"
	comma=',
'
}

comma=
{
	printf '{\n\t"Replace": {\n'
	# Package syscall raises the soft RLIMIT_NOFILE when it is initialised, and an execve by C would hand that on.
	patch syscall/rlimit.go '^func init() {$' 's/^func init() {$/func unusedRaise() {/'
	# Even with containermaxprocs=0 the runtime looks for its CPU limit, and throws it away: it reads the host's whole mount
	# table for that, twentieth part of the start on a small host and milliseconds on one with many mounts.
	patch runtime/cgroup_linux.go '^func defaultGOMAXPROCSInit() {$' 's/^\tc, err := cgroup.OpenCPU/\treturn\n&/'
	# There is one P and one goroutine that wants it. Around each system call the runtime offers the P to others, and the
	# monitor takes it away after 20 us: with umount2(2) alone that costs four switches of threads, to get it back.
	patch syscall/syscall_linux.go '^func Syscall6(trap' 's/^\truntime_\(enter\|exit\)syscall()$//'
	# The background scavenger uses timers, and for the first timer the runtime opens an epoll and an event descriptor that stay. What it
	# is for, to give memory back while a program idles, is of no use here; the memory limit does without it.
	patch runtime/mgcscavenge.go '^func bgscavenge(c chan int) {$' 's/^\tc <- 1$/&\n\treturn/'
	# The runtime opens a file without O_CLOEXEC (0x80000): another thread of the host may exec just then.
	patch runtime/os_linux.go 'open(&sysTHPSizePath\[0\], 0 ' 's/open(&sysTHPSizePath\[0\], 0 /open(\&sysTHPSizePath[0], 0x80000 /'
	printf '\n\t}\n}\n'
} > "$out/overlay.json.new"
mv "$out/overlay.json.new" "$out/overlay.json"
