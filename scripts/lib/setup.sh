# shellcheck shell=bash
# What a fresh machine lacks. Every function here does nothing, in a moment, where there is nothing to do.
# shellcheck source=scripts/lib/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/lib/packages.sh
. "$CHECKOUT/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/node.sh
. "$CHECKOUT/scripts/lib/node.sh"
# shellcheck source=scripts/lib/go.sh
. "$CHECKOUT/scripts/lib/go.sh"
# shellcheck source=scripts/lib/cargo.sh
. "$CHECKOUT/scripts/lib/cargo.sh"

# Go wants a home for its caches.
export HOME=${HOME:-/root}

CSI_SANITY_VERSION=v5.6.0
GRPCURL_VERSION=v1.9.3
# Programs that scripts/shield-programs puts behind the shield, and one that it verifies with.
GO_FUSE_VERSION=v2.12.1
FUSER_VERSION=0.16.0
FSX_VERSION=0.3.2

# Two set-ups of one checkout at the same time would undo each other.
lock_setup() {
  mkdir -p "$CACHE"
  exec 9>"$CACHE/setup.lock"
  flock --nonblock 9 || {
    say 'waiting for another set-up of this checkout'
    flock 9
  }
}

unlock_setup() {
  exec 9>&-
}

# Debian packages, as need_packages wants them. What builds and runs the executable: the build needs strip; the lab, unshare, nsenter, mount and ps.
TO_RUN=(npm:npm git:git strip:binutils unshare:util-linux mount:mount ps:procps)

# What the tests and the bench need beside that: C programs as readers and as peers, and a systemd to boot.
TO_MEASURE=(
  gcc:gcc /usr/include/stdio.h:libc6-dev pkg-config:pkg-config /usr/include/fuse3/fuse_lowlevel.h:libfuse3-dev
  systemd-nspawn:systemd-container /lib/systemd/systemd:systemd /lib/systemd/system/dbus.service:dbus
)

# Programs that serve volumes (docs/programs.md), and their storage.
FUSE_PROGRAMS=(
  bindfs:bindfs sshfs:sshfs ssh:openssh-client sshd:openssh-server s3fs:s3fs rclone:rclone gocryptfs:gocryptfs
  squashfuse:squashfuse mksquashfs:squashfs-tools fuse-overlayfs:fuse-overlayfs mount.fuse3:fuse3
)

# A Ceph cluster and its FUSE program, which no test has.
CEPH=(ceph-mon:ceph-mon ceph-osd:ceph-osd ceph-mds:ceph-mds ceph-fuse:ceph-fuse)

# What the tests need beside those: python3 and what people read files with, and what looks at the lab's report, in a browser and as print.
TO_TEST=(
  python3:python3 fio:fio rsync:rsync getfattr:attr strace:strace /bin/busybox:busybox-static
  chromium:chromium pdftotext:poppler-utils
)

# setup FILE:PACKAGE...: these packages, and the executable.
setup() {
  need_x86_64
  need_packages "$@"
  need_modules
  need_executable
}

setup_to_run() {
  setup "${TO_RUN[@]}"
}

setup_to_measure() {
  setup "${TO_RUN[@]}" "${TO_MEASURE[@]}"
}

setup_to_run_programs() {
  # The lab delays and refuses mounts by strace.
  setup "${TO_RUN[@]}" "${FUSE_PROGRAMS[@]}" strace:strace
}

# setup_to_shield FILE:PACKAGE...: what scripts/shield-programs needs for each program, and these packages.
setup_to_shield() {
  setup "${TO_RUN[@]}" "${FUSE_PROGRAMS[@]}" python3:python3 fio:fio "$@"
}

need_go_fuse() {
  need_go_tool github.com/hanwen/go-fuse/v2/example/loopback "$GO_FUSE_VERSION"
}

need_fuser() {
  need_crate simple fuser "$FUSER_VERSION" --example simple
}

need_fsx() {
  need_crate fsx fsx "$FSX_VERSION"
}

setup_to_test() {
  need_x86_64
  # apt-get runs once: it takes ten seconds to begin.
  need_packages "${TO_RUN[@]}" "${TO_MEASURE[@]}" "${FUSE_PROGRAMS[@]}" "${TO_TEST[@]}"
  need_go_programs &
  local programs=$!
  # Whatever fails in between, it is not left running.
  trap wait EXIT
  need_modules
  need_executable
  wait $programs
  trap - EXIT
}

# The CSI's own clients, and a driver that is not ours. They are compiled while npm waits for its downloads, and the executable is built.
need_go_programs() {
  need_go_tool github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity "$CSI_SANITY_VERSION"
  need_go_tool github.com/fullstorydev/grpcurl/cmd/grpcurl "$GRPCURL_VERSION"
  need_go_driver
}

need_x86_64() {
  [ "$(uname -s) $(uname -m)" = 'Linux x86_64' ] || fail 'x86-64 Linux only'
}

# The tests mount; /dev/fuse is in every kernel of Debian's, as a module.
need_fuse() {
  [ -e /dev/fuse ] || modprobe fuse 2>/dev/null || true
  [ -e /dev/fuse ] || fail "no /dev/fuse; run 'modprobe fuse', or pass the device into this container"
}
