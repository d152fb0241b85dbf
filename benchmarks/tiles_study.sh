#!/usr/bin/env bash
# The study committed as results/tiles: both frameworks on the built-in task, five seeds.
set -euo pipefail
cd "$(dirname "$0")/.."
parity run --frameworks sb3 rllib --seeds 5 --name tiles
