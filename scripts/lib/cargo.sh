# shellcheck shell=bash
# Programs of crates, by cargo install into the cache folder.

# fuser 0.16 is of the edition 2024.
CARGO_AT_LEAST=1.85.0

have_cargo() {
  local version
  version=$(cargo --version 2>/dev/null) || return 1
  version=${version#cargo }
  [ "$(printf '%s\n' "$CARGO_AT_LEAST" "${version%% *}" | sort -V | head -n 1)" = "$CARGO_AT_LEAST" ]
}

# need_crate PROGRAM CRATE VERSION WORD...: installs a program of that crate as .cache/bin/PROGRAM, unless that very version is there.
need_crate() {
  local program=$1 crate=$2 version=$3
  local stamp=$CACHE/bin/.$program@$version
  shift 3
  [ -x "$CACHE/bin/$program" ] && [ -e "$stamp" ] && return 0
  have_cargo || fail "$program is built by cargo $CARGO_AT_LEAST or newer, which is not on PATH"
  step "installing $program of $crate $version (cargo install)" retried cargo_install "$crate" "$version" "$@"
  rm -f "$CACHE/bin/.$program@"*
  touch "$stamp"
}

cargo_install() {
  local crate=$1 version=$2
  shift 2
  cargo install --quiet --locked --no-track --force --root "$CACHE" --version "$version" "$@" "$crate"
}
