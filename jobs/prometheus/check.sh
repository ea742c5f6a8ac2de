#!/usr/bin/env bash
# check.sh IMAGE: has promtool check the configuration and the rules, and run the rules'
# tests, in the image that will run them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
image=${1:?usage: check.sh IMAGE}

docker run --rm --network none --volume "$here:/local:ro" --entrypoint bash "$image" -ec '
  promtool check config --syntax-only /local/prometheus.yml
  promtool check rules /local/rules/*.yml
  promtool test rules /local/tests/*.yml'
