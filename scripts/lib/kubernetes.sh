# shellcheck shell=bash
# A one-node Kubernetes of the tests' own: its programs are built from Go modules, because no image and no binary is fetched.
# It needs scripts/lib/setup.sh.

# Several checkouts can share one folder of programs: DUMMY_FUSE_KUBERNETES names it. Go's own caches are where Go has them.
KUBERNETES=${DUMMY_FUSE_KUBERNETES:-$CACHE/kubernetes}
export KUBERNETES
KUBERNETES_GO=$CHECKOUT/test/kubernetes/go

HELM=helm.sh/helm/v3/cmd/helm@v3.22.0
HELM_4=helm.sh/helm/v4/cmd/helm@v4.3.1

# setup_node PART...: what starting a node needs, and each PART: helm, helm4, sidecars, e2e.
setup_node() {
  need_packages /bin/busybox:busybox-static openssl:openssl unshare:util-linux jq:jq gcc:gcc pkg-config:pkg-config
  need_packages /usr/include/x86_64-linux-gnu/sys/types.h:libc6-dev /usr/include/seccomp.h:libseccomp-dev
  need_go
  mkdir -p "$KUBERNETES/bin"
  build_once kube 'Kubernetes and etcd (10 minutes on two processors without a cache)' build_kube
  build_once runtime 'containerd and runc' build_runtime
  local part
  for part in "$@"; do
    case $part in
      helm) build_once helm 'Helm 3' go_install_as helm "$HELM" ;;
      helm4) build_once helm4 'Helm 4' go_install_as helm4 "$HELM_4" ;;
      sidecars) build_once sidecars 'the external-provisioner and the external-attacher (6 minutes without a cache)' build_sidecars ;;
      e2e) build_once e2e 'the e2e suite of Kubernetes (6 minutes without a cache)' build_e2e ;;
      *) fail "no part of Kubernetes is named $part" ;;
    esac
  done
}

# build_once NAME WHAT COMMAND...: runs a command that builds programs into $KUBERNETES/bin, unless it was run on the same sources by the same Go.
build_once() {
  local name=$1 what=$2 stamp
  shift 2
  stamp=$({
    "$GO" version
    declare -f "$1"
    echo "$@"
    [ ! -d "$KUBERNETES_GO/$name" ] || (cd "$KUBERNETES_GO/$name" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
  } | sha256sum)
  [ "$(cat "$KUBERNETES/$name.stamp" 2>/dev/null || true)" != "$stamp" ] || return 0
  rm -f "$KUBERNETES/$name.stamp"
  watched_step "building $what" "$@"
  echo "$stamp" >"$KUBERNETES/$name.stamp"
}

# watched_step WHAT COMMAND...: as step, for a long `go build -v`: says three times a minute how many packages are compiled.
watched_step() {
  local what=$1 started=$SECONDS told=$SECONDS log status=0 pid
  shift
  say "$what"
  log=$(mktemp)
  "$@" >"$log" 2>&1 &
  pid=$!
  while kill -0 $pid 2>/dev/null; do
    sleep 0.2
    [ $((SECONDS - told)) -ge 20 ] || continue
    told=$SECONDS
    say "$what: $(wc -l <"$log") packages compiled after $((SECONDS - started)) s"
  done
  wait $pid || status=$?
  if [ $status -ne 0 ]; then
    tail -n 30 "$log" >&2
    rm -f "$log"
    fail "$what: failed with exit status $status"
  fi
  rm -f "$log"
  say "$what: done in $((SECONDS - started)) s"
}

# go_in FOLDER ARGUMENT...: runs Go in a folder of test/kubernetes/go, or anywhere. GOFLAGS of the environment hold too, such as -p=1.
go_in() {
  (cd "$1" && GOWORK=off GOTOOLCHAIN=local GOFLAGS="${GOFLAGS:-} -mod=readonly -buildvcs=false -trimpath -modcacherw" GOBIN=$KUBERNETES/bin "$GO" "${@:2}")
}

build_kube() {
  local version package=k8s.io/component-base/version major minor name
  version=$(go_in "$KUBERNETES_GO/kube" list -m -f '{{.Version}}' k8s.io/kubernetes) || return
  IFS=. read -r major minor _ <<<"${version#v}"
  CGO_ENABLED=0 go_in "$KUBERNETES_GO/kube" build -v -o "$KUBERNETES/bin/kube" -ldflags \
    "-s -w -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor -X $package.gitTreeState=clean" . || return
  for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl; do
    ln -sf kube "$KUBERNETES/bin/$name" || return
  done
  CGO_ENABLED=0 go_in "$KUBERNETES_GO/kube" build -v -o "$KUBERNETES/bin/csi-node-driver-registrar" -ldflags '-s -w' ./registrar || return
  CGO_ENABLED=0 go_in "$KUBERNETES_GO/kube" build -v -o "$KUBERNETES/bin/pause" -ldflags '-s -w' ./pause
}

build_runtime() {
  local containerd=github.com/containerd/containerd/v2 runc=github.com/opencontainers/runc version
  version=$(go_in "$KUBERNETES_GO/runtime" list -m -f '{{.Version}}' $containerd) || return
  CGO_ENABLED=0 go_in "$KUBERNETES_GO/runtime" build -v -o "$KUBERNETES/bin/" -tags 'no_btrfs no_zfs no_devmapper urfave_cli_no_docs' \
    -ldflags "-s -w -X $containerd/version.Version=$version" \
    $containerd/cmd/containerd $containerd/cmd/containerd-shim-runc-v2 $containerd/cmd/ctr || return
  version=$(go_in "$KUBERNETES_GO/runtime" list -m -f '{{.Version}}' $runc) || return
  # Without seccomp runc starts no container but privileged ones.
  CGO_ENABLED=1 go_in "$KUBERNETES_GO/runtime" build -v -o "$KUBERNETES/bin/" -tags 'seccomp netgo osusergo urfave_cli_no_docs' \
    -ldflags "-s -w -X main.version=${version#v}" $runc
}

build_sidecars() {
  local csi=github.com/kubernetes-csi
  CGO_ENABLED=0 go_in "$KUBERNETES_GO/sidecars" build -v -o "$KUBERNETES/bin/" -ldflags '-s -w' \
    $csi/external-provisioner/v6/cmd/csi-provisioner $csi/external-attacher/v4/cmd/csi-attacher
}

build_e2e() {
  local version package=k8s.io/component-base/version
  version=$(go_in "$KUBERNETES_GO/e2e" list -m -f '{{.Version}}' k8s.io/kubernetes) || return
  # `go test -c` tells no progress.
  CGO_ENABLED=0 go_in "$KUBERNETES_GO/e2e" build -v k8s.io/kubernetes/test/e2e k8s.io/kubernetes/test/e2e/storage/external || return
  CGO_ENABLED=0 go_in "$KUBERNETES_GO/e2e" test -c -o "$KUBERNETES/bin/e2e.test" -ldflags "-s -w -X $package.gitVersion=$version" . || return
  CGO_ENABLED=0 go_in "$KUBERNETES_GO/e2e" build -v -o "$KUBERNETES/bin/" -ldflags '-s -w' k8s.io/kubernetes/test/images/agnhost
}

# go_install_as NAME PACKAGE@VERSION
go_install_as() {
  local folder
  folder=$(mktemp -d) || return
  (cd "$folder" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS='-buildvcs=false -trimpath -modcacherw' GOBIN=$folder "$GO" install -v -ldflags '-s -w' "$2") &&
    mv "$folder/$(basename -- "${2%@*}")" "$KUBERNETES/bin/$1"
  local status=$?
  rm -rf "$folder"
  return $status
}

# Says why this machine cannot carry a node; nothing if it can.
no_node_because() {
  if [ "$(stat -fc %T /sys/fs/cgroup)" != tmpfs ]; then
    echo "the node is made for cgroup v1, and /sys/fs/cgroup is $(stat -fc %T /sys/fs/cgroup); boot Debian with systemd.unified_cgroup_hierarchy=0"
  elif ! mkdir "/sys/fs/cgroup/memory/k8s-node-try-$$" 2>/dev/null; then
    echo 'no cgroup can be made in /sys/fs/cgroup/memory'
  else
    rmdir "/sys/fs/cgroup/memory/k8s-node-try-$$"
  fi
}

# dist/dummy-fuse-csi.oci.tar, unless it is newer than the executable.
need_image() {
  [ "$CHECKOUT/dist/dummy-fuse-csi.oci.tar" -nt "$CHECKOUT/dist/dummy-fuse-csi" ] || step 'building the image' "$NODE" "$CHECKOUT/build.mjs" --image
}
