# shellcheck shell=bash disable=SC2034
# What scripts/install puts on a machine, and scripts/uninstall takes away. ROOT is the folder it lies below; empty for /.

BIN=/usr/local/bin
UNITS=/etc/systemd/system
DEFAULTS=/etc/default/dummy-fuse-csi
EXECUTABLE=$BIN/dummy-fuse-csi
# mount(8) looks for helpers in no other folder.
MOUNT_HELPER=/sbin/mount.fuse.dummy-fuse
STATE_DIR=/var/lib/dummy-fuse-csi
RUNTIME_DIR=/run/dummy-fuse-csi
FUSED_DIR=/run/dummy-fused
FUSED_SOCKET=/run/dummy-fused.sock

# Reads --root DIR, --force where $1 allows it, and --help, which calls usage. Sets ROOT and FORCE.
read_words() {
  local allowed=$1
  shift
  ROOT=
  FORCE=no
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help) usage && exit 0 ;;
      --root=*) ROOT=${1#--root=} && root_given ;;
      --root)
        [ $# -gt 1 ] || usage_error '--root needs a directory'
        ROOT=$2 && root_given
        shift
        ;;
      --force)
        [ "$allowed" = --force ] || usage_error "unknown option '$1'"
        FORCE=yes
        ;;
      *) usage_error "unknown argument '$1'" ;;
    esac
    shift
  done
  if [ -z "$ROOT" ]; then
    need_root 'it changes the machine'
  fi
}

root_given() {
  [ -d "$ROOT" ] || fail "$ROOT: no such directory; create it first"
  ROOT=$(cd -- "$ROOT" && pwd)
  # --root / is the machine itself.
  [ "$ROOT" != / ] || ROOT=
}

unit_files() {
  find "$CHECKOUT/systemd" -name '*.service' -o -name '*.socket' | sort
}

# Names in BIN that are links to the executable.
program_names() {
  find "$1" -maxdepth 1 -type l -lname dummy-fuse-csi -printf '%f\n' | sort
}

# systemctl, where the machine that is changed is run by systemd (sd_booted(3)).
with_systemd() {
  [ -z "$ROOT" ] && [ -d /run/systemd/system ]
}
