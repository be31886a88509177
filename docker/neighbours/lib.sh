# What the scripts of this folder share; sourced, never run. It adds to docker/kafka/lib.sh.
# shellcheck shell=bash disable=SC2034 # the scripts use the variables
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../kafka/lib.sh"
kafka=$here
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
speaker=neighbours

# The version of Apicurio Registry: the newest of 3.0, the last line that starts on Java 17.
apicurio=3.0.9

# digest FILE...: a name for what is made of these files, so that it is made again when they change.
digest() { cat "$@" | sha256sum | cut -c1-16; }

# keep DIR COMMAND...: DIR is what COMMAND makes in the folder that it gets as its last argument. It is renamed when it is whole; if
# another run was first, its folder serves.
keep() {
  local dir=$1 part
  [[ ! -d $dir ]] || return 0
  mkdir -p "$(dirname "$dir")"
  part=$(mktemp -d "$dir.XXXXXX")
  chmod 755 "$part"
  if ! "${@:2}" "$part" >"$part.log" 2>&1; then
    tail -n 20 "$part.log" >&2
    rm -rf "$part" "$part.log"
    return 1
  fi
  mv -T "$part" "$dir" 2>/dev/null || [[ -d $dir ]]
  rm -rf "$part" "$part.log"
}
