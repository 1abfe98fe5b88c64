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

# Go wants a home for its caches.
export HOME=${HOME:-/root}

CSI_SANITY_VERSION=v5.6.0
GRPCURL_VERSION=v1.9.3

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

# Everything that builds and runs the executable. The build needs strip; the lab, unshare, nsenter, mount and ps.
setup_to_run() {
  [ "$(uname -s) $(uname -m)" = 'Linux x86_64' ] || fail 'x86-64 Linux only'
  need_packages npm:npm git:git strip:binutils unshare:util-linux mount:mount ps:procps
  need_modules
  need_executable
}

# What the tests and the bench need beside that: C programs as readers and as peers, and a systemd to boot.
setup_to_measure() {
  need_packages gcc:gcc /usr/include/stdio.h:libc6-dev pkg-config:pkg-config /usr/include/fuse3/fuse_lowlevel.h:libfuse3-dev
  need_packages systemd-nspawn:systemd-container /lib/systemd/systemd:systemd /lib/systemd/system/dbus.service:dbus
}

# What the tests need beside that: python3 and what people read files with, and the CSI's own clients.
setup_to_test() {
  setup_to_measure
  need_packages python3:python3 fio:fio rsync:rsync getfattr:attr strace:strace /bin/busybox:busybox-static
  need_fuse_programs
  # The lab's report is looked at in a browser, and as print.
  need_packages chromium:chromium pdftotext:poppler-utils
  need_go_tool github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity "$CSI_SANITY_VERSION"
  need_go_tool github.com/fullstorydev/grpcurl/cmd/grpcurl "$GRPCURL_VERSION"
  need_go_driver
}

# Programs that serve volumes (docs/programs.md), and their storage.
need_fuse_programs() {
  need_packages bindfs:bindfs sshfs:sshfs ssh:openssh-client sshd:openssh-server s3fs:s3fs rclone:rclone gocryptfs:gocryptfs
  need_packages squashfuse:squashfuse mksquashfs:squashfs-tools fuse-overlayfs:fuse-overlayfs mount.fuse3:fuse3
}

# The tests mount; /dev/fuse is in every kernel of Debian's, as a module.
need_fuse() {
  [ -e /dev/fuse ] || modprobe fuse 2>/dev/null || true
  [ -e /dev/fuse ] || fail "no /dev/fuse; run 'modprobe fuse', or pass the device into this container"
}
