# shellcheck shell=bash
# csi-sanity and grpcurl, by go install into the cache folder, the tests' own Go programs, and a Go that is new enough for them.

# containerd 2.4.2 says go 1.26.6 in its go.mod, csi-sanity 1.25. The toolchain is fetched where Go is missing or older.
GO_AT_LEAST=1.26.6
GO_TOOLCHAIN=1.26.8

# need_go_tool MODULE/PATH VERSION: installs the command of that path into .cache/bin, unless that very version is there.
need_go_tool() {
  local path=$1 version=$2 name=${1##*/}
  local stamp=$CACHE/bin/.$name@$version
  [ -x "$CACHE/bin/$name" ] && [ -e "$stamp" ] && return 0
  need_go
  step "installing $name $version (go install)" retried go_install "$path" "$version"
  rm -f "$CACHE/bin/.$name@"*
  touch "$stamp"
}

go_install() {
  # Without cgo no C compiler is asked for.
  GOBIN=$CACHE/bin CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false "$GO" install "$1@$2"
}

# The CSI plugin that the lab's own-driver test is about.
need_go_driver() {
  need_go_peer go-driver go-driver 'go build'
}

need_rclone() {
  need_go_peer rclone rclone-1.76.0 'go build, some minutes'
}

# need_go_peer FOLDER NAME HOW: builds the Go program in test/peers/FOLDER as NAME into .cache/bin, unless its source is as it was.
need_go_peer() {
  local folder=$CHECKOUT/test/peers/$1 built=$CACHE/bin/$2
  [ -x "$built" ] && [ -z "$(find "$folder" -newer "$built" -print -quit)" ] && return 0
  need_go
  step "building test/peers/$1 ($3)" build_go "$folder" "$built"
}

build_go() {
  (cd "$1" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false "$GO" build -o "$2" .)
}

# Sets GO to a Go that is new enough: the machine's, or one in the cache folder.
need_go() {
  local candidate
  for candidate in "$(command -v go || true)" "$CACHE/go/bin/go"; do
    if new_enough "$candidate"; then
      GO=$candidate
      return
    fi
  done
  # Any Go can fetch a toolchain, which is a module like others; Debian's own is too old to build csi-sanity.
  need_packages go:golang-go
  step "fetching Go $GO_TOOLCHAIN" fetch_toolchain
  GO=$CACHE/go/bin/go
  new_enough "$GO" || fail "the Go fetched into $CACHE/go does not run"
}

new_enough() {
  [ -x "$1" ] || return 1
  local version
  version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
  [ "$(printf '%s\n' "$GO_AT_LEAST" "${version#go}" | sort -V | head -n 1)" = "$GO_AT_LEAST" ]
}

fetch_toolchain() {
  local version=v0.0.1-go$GO_TOOLCHAIN.linux-amd64 folder
  folder=$(mktemp -d)
  # `go mod download` wants to run outside of any module; a module's files come without their execution bits.
  (cd "$folder" && GOTOOLCHAIN=local GOFLAGS=-modcacherw retried go mod download "golang.org/toolchain@$version") || return
  rmdir "$folder"
  # In one step: half a toolchain would tell its version as a whole one does.
  rm -rf "$CACHE/go" "$CACHE/go.new"
  cp -r "$(go env GOMODCACHE)/golang.org/toolchain@$version" "$CACHE/go.new" || return
  chmod -R u+w "$CACHE/go.new"
  chmod +x "$CACHE"/go.new/bin/* "$CACHE"/go.new/pkg/tool/linux_amd64/*
  mv "$CACHE/go.new" "$CACHE/go"
}
