#!/usr/bin/env bash
# The study committed as results/tasks: both frameworks on every built-in task, three seeds each; then how long trials took,
# for `parity tasks`. Left out: tiles-100, which wants a GPU, and the probes, which the fast tests train.
set -euo pipefail
cd "$(dirname "$0")/.."
tasks=(
  tiles tiles-time-limit tiles-resolution tiles-two-learners
  taxi cartpole
  invalid-discrete invalid-multidiscrete invalid-multibinary
  tictactoe tictactoe-selfplay connect-four connect-four-selfplay
)
# What the study says (exit codes 1 and 3) is a result; bad input (2) and Ctrl-C (130) end this.
parity run --task "${tasks[@]}" --frameworks sb3 rllib --seeds 3 --name tasks || [[ $? == [13] ]]
python benchmarks/tasks_measured.py results/tasks
