#!/usr/bin/env bash
# The study committed as results/degradations: ports with one real mistake each (benchmarks/degraded) on the tasks of the suite
# `quick`, five seeds, with SB3; then what the ladder and what the curves alone said of each. results/parity has the good port.
set -euo pipefail
cd "$(dirname "$0")/.."
pip install --quiet --no-deps --editable benchmarks/degraded
ports=(rllib-lr-third rllib-lambda-1 rllib-half-epochs rllib-no-mask-in-training)
# The mistakes are the point: exit codes 1 and 3 are results; bad input (2) and Ctrl-C (130) end this.
parity run --suite quick --seeds 5 --frameworks sb3 "${ports[@]}" --name degradations || [[ $? == [13] ]]
python benchmarks/degradations_table.py results/degradations results/parity
