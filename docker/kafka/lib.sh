# What the scripts of this folder share; sourced, never run.
# shellcheck shell=bash disable=SC2034 # the scripts use the variables
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

# The version of Kafka: $EOS_TEST_KAFKA_VERSION, or what the file `version` says.
version=${EOS_TEST_KAFKA_VERSION:-$(<"$here/version")}

# What an image that was built here was built from: when that changes, it is built again.
image_source() { cat "$here"/image-build/build "$here"/image-build/*/* | sha256sum | cut -c1-16; }

# Where downloads and state outlive a run.
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/eos-pipe

# say prints what a script does; stdout stays free for its result.
say() { echo "${speaker:-kafka}: $*" >&2; }
die() {
  say "$*"
  exit 1
}

# has COMMAND is true if the command is there.
has() { command -v "$1" >/dev/null 2>&1; }

# as_root runs a command as root, or fails where that is impossible without a password.
as_root() {
  if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

# install_packages installs Debian packages; its output is shown only if it fails.
install_packages() {
  has apt-get || { say "cannot install $*: there is no apt-get here"; return 1; }
  as_root true 2>/dev/null || { say "cannot install $*: that needs root"; return 1; }
  say "installing $*"
  local log
  log=$(mktemp)
  if ! { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}
