# shellcheck shell=bash
# What the test scripts share. A script sources this, calls check and skip, and ends with finish. Its last line is then
# "N passed, N failed, N skipped", which tests/run adds up; its exit status is 1 when something failed.
set -uo pipefail
# shellcheck disable=SC2034 # for the scripts
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034
build=${BUILD:-$top/build}
passed=0 failed=0 skipped=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# check NAME COMMAND...: passes when the command does; what it printed is shown only when it fails.
check() {
	local name=$1
	shift
	if "$@" >"$scratch/.check" 2>&1 </dev/null; then
		printf 'ok   %s\n' "$name"
		passed=$((passed + 1))
	else
		printf 'FAIL %s (status %s)\n' "$name" "$?"
		sed 's/^/     /' "$scratch/.check"
		failed=$((failed + 1))
	fi
}

# refused NAME COMMAND...: passes when the command fails.
refused() {
	local name=$1
	shift
	check "$name" not "$@"
}
not() { if "$@"; then return 1; fi; }

skip() { # NAME REASON
	printf 'skip %s: %s\n' "$1" "$2"
	skipped=$((skipped + 1))
}

finish() {
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
	[ "$failed" = 0 ]
	exit
}
