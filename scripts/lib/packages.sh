# shellcheck shell=bash
# Debian packages: only what is missing is installed.

# need_packages FILE:PACKAGE...: installs each package whose file is missing. FILE is a command's name or an absolute path.
need_packages() {
  local pair missing=()
  for pair in "$@"; do
    have "${pair%%:*}" || missing+=("${pair#*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail "missing here: ${missing[*]} (Debian's names); install them by hand"
  step "installing the Debian packages ${missing[*]}" install_packages "${missing[@]}"
  for pair in "$@"; do
    have "${pair%%:*}" || fail "the package ${pair#*:} is installed, but ${pair%%:*} is still missing"
  done
}

have() {
  case $1 in
    /*) [ -e "$1" ] ;;
    *) [ -n "$(PATH=$PATH:/usr/sbin:/sbin command -v "$1")" ] ;;
  esac
}

install_packages() {
  apt_get update && apt_get install --yes --no-install-recommends "$@"
}

# Seconds for which another program may hold apt's locks: apt-daily.service does for minutes after a machine has booted.
APT_PATIENCE=900

# apt_get WORD...: apt-get, which waits for dpkg's lock, and is run again while another program holds one of apt's own.
apt_get() {
  local end=$((SECONDS + APT_PATIENCE)) said status locked=yes
  # A file, not a pipe: a daemon that a package starts would keep a pipe open.
  said=$(mktemp)
  while [ $locked = yes ]; do
    status=0
    LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -qq -o "DPkg::Lock::Timeout=$APT_PATIENCE" "$@" </dev/null >"$said" 2>&1 || status=$?
    cat "$said"
    if [ $status -ne 0 ] && [ $SECONDS -lt $end ] && grep -q 'Could not get lock' "$said"; then sleep 2; else locked=no; fi
  done
  rm -f "$said"
  return $status
}
