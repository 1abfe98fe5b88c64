# shellcheck shell=bash
# What every script here starts with: where the checkout is, and how to speak.

# The checkout; scripts may be called from anywhere and through links.
CHECKOUT=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd)
# Everything fetched for the scripts alone; git ignores it.
CACHE=$CHECKOUT/.cache
export CHECKOUT CACHE

# Standard output belongs to what a script is for (a transcript, test results): news about the set-up goes to standard error.
say() {
  printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
}

fail() {
  say "$*"
  exit 1
}

usage_error() {
  say "$* (see $(basename -- "$0") --help)"
  exit 2
}

need_root() {
  [ "$(id -u)" = 0 ] || fail "$1; run it as root (sudo $0)"
}

# step WHAT COMMAND...: runs a command of the set-up and says how long it took; what it prints is shown only if it fails.
step() {
  local what=$1 started=$SECONDS log status=0
  shift
  say "$what"
  log=$(mktemp)
  # A daemon that a package starts must not hold the lock of the set-up (lock_setup) on.
  "$@" >"$log" 2>&1 9>&- || status=$?
  if [ $status -ne 0 ]; then
    cat "$log" >&2
    rm -f "$log"
    fail "$what: failed with exit status $status"
  fi
  rm -f "$log"
  say "$what: done in $((SECONDS - started)) s"
}

# in_namespaces COMMAND...: runs a command in mount and process namespaces of its own, with TMPDIR in the folder `work`.
in_namespaces() {
  # The first process of the namespaces reaps what daemons leave behind; --kill-child: whatever happens to the script, they all end with it.
  # shellcheck disable=SC2016,SC2154
  unshare --mount --propagation private --pid --fork --mount-proc --kill-child env TMPDIR="$work" \
    bash -c '"$@"; exit $?' bash "$@" </dev/null
}

# retried COMMAND...: runs a command that fetches something, up to three times: a connection breaks off now and then.
retried() {
  local pause
  for pause in 5 20; do
    "$@" && return
    echo "failed; again in $pause s"
    sleep "$pause"
  done
  "$@"
}
