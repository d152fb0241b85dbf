#!/usr/bin/env bash
# All GPU measurements, in calls of at most ten minutes: repeat the command until it says that all is done (see gpu.py).
set -euo pipefail
cd "$(dirname "$0")/.."
exec python benchmarks/gpu.py "$@"
