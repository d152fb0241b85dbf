#!/usr/bin/env bash
# The A/A study committed as results/aa: SB3 alone, twenty seeds of two tasks; then every way to split its runs into two
# arms is judged as if one were a port. cartpole is there because its runs are far from normal.
set -euo pipefail
cd "$(dirname "$0")/.."
parity run --task tiles cartpole --frameworks sb3 --seeds 20 --name aa
python benchmarks/aa_splits.py results/aa
