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
  apt-get -qq update &&
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@" </dev/null
}
