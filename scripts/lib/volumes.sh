# shellcheck shell=bash
# The volumes, mounts and processes of an installed dummy-fuse-csi, for scripts/uninstall.

# configured OPTION DEFAULT: the option's value in DUMMY_FUSE_CSI_OPTS. The file is read, not run: below --root it is not ours to trust.
configured() {
  local words word value=$2 take=no
  words=$(sed -n 's/^ *DUMMY_FUSE_CSI_OPTS=//p' "$ROOT$DEFAULTS" 2>/dev/null | tail -n 1 | tr -d "\"'") || words=
  set -f
  for word in $words; do
    if [ "$take" = yes ]; then
      value=$word
      take=no
    fi
    case $word in
      "$1") take=yes ;;
      "$1="*) value=${word#*=} ;;
    esac
  done
  set +f
  printf '%s\n' "$value"
}

# volumes_in_use STATE_DIR: a line for each volume that somebody may be using.
volumes_in_use() {
  local state_dir=$1 status
  if [ -z "$ROOT" ] && status=$(timeout 30 "$EXECUTABLE" status --json --state-dir "$state_dir" 2>/dev/null); then
    published_by_status "$status"
    # A dummy-fuse that was started by hand is in no record.
    mounts | while IFS= read -r path; do
      case $status in *"\"$path\""*) ;; *) printf '  a dummy-fuse mount at %s that the plugin does not know\n' "$path" ;; esac
    done
    return
  fi
  published_by_records "$ROOT$state_dir/mountcache/published"
  [ -n "$ROOT" ] || mounts | sed 's/^/  the mount at /'
}

# A quotation mark inside a JSON string follows a backslash, so that a key found this way is a key.
published_by_status() {
  local volume=
  tr '\n' ' ' <<<"$1" | grep -oE '"(volumeId|path)" *: *"([^"\\]|\\.)*"' | while IFS= read -r pair; do
    case $pair in
      '"volumeId"'*) volume=$(value_of "$pair") ;;
      *) printf '  volume %s at %s\n' "$volume" "$(value_of "$pair")" ;;
    esac
  done || true
}

published_by_records() {
  local entry
  for entry in "$1"/*; do
    case $entry in *.damaged | *.partial) continue ;; esac
    [ ! -e "$entry" ] || published_by_status "$(sed 's/"targetPath"/"path"/' "$entry")"
  done
}

value_of() {
  sed 's/^"[^"]*" *: *"//; s/"$//' <<<"$1"
}

# Mount points of the file system in this mount namespace, the topmost first.
mounts() {
  local point
  awk '/ - fuse\.dummy-fuse / { print $5 }' /proc/self/mountinfo | tac | while IFS= read -r point; do
    # Spaces and the like are written as three octal digits (proc_pid_mountinfo(5)).
    # shellcheck disable=SC2059
    printf "${point//%/%%}\n"
  done
}

# Processes that run the installed executable, or one it has since been replaced by, in this mount namespace: not those of pods.
daemons() {
  local folder target namespace
  namespace=$(readlink /proc/self/ns/mnt)
  for folder in /proc/[1-9]*; do
    target=$(readlink "$folder/exe" 2>/dev/null) || continue
    case $target in "$EXECUTABLE" | "$EXECUTABLE (deleted)") ;; *) continue ;; esac
    [ "$(readlink "$folder/ns/mnt" 2>/dev/null)" = "$namespace" ] || continue
    printf '%s\n' "${folder#/proc/}"
  done
}

# A daemon unmounts at SIGTERM; one that is stopped or hangs is killed.
end_daemons() {
  local signal
  for signal in TERM KILL; do
    signal_daemons "$signal" || return 0
    wait_for_daemons && return 0
  done
  fail "still running: $(daemons | tr '\n' ' ')"
}

signal_daemons() {
  local pid any=1
  while IFS= read -r pid; do
    say "ending process $pid ($(cat "/proc/$pid/comm" 2>/dev/null)) by SIG$1"
    kill -s "$1" "$pid" 2>/dev/null || true
    any=0
  done < <(daemons)
  return $any
}

wait_for_daemons() {
  local i
  for ((i = 0; i < 30; i++)); do
    [ -n "$(daemons)" ] || return 0
    sleep 0.1
  done
  return 1
}

# By now every mount is dead, so that none blocks; one that is still open somewhere is detached.
unmount_all() {
  local point tries
  for ((tries = 0; tries < 10; tries++)); do
    [ -n "$(mounts)" ] || return 0
    mounts | while IFS= read -r point; do
      umount -- "$point" 2>/dev/null || umount --lazy -- "$point" 2>/dev/null || continue
      say "unmounted $point"
    done
  done
  fail "still mounted: $(mounts | tr '\n' ' ')"
}
