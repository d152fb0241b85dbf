#!/usr/bin/env bash
# The study of RLlib's two API stacks beside SB3: tiles, taxi and one turn-based game with two learning policies.
# SEEDS=3 STEPS= NAME=old-stack; STEPS cuts every task short, to try it.
set -euo pipefail
cd "$(dirname "$0")/.."
steps=${STEPS:+--steps "$STEPS"}
# What the study says (exit codes 1 and 3) is a result; bad input (2) and Ctrl-C (130) end this.
# shellcheck disable=SC2086
parity run --task tiles taxi connect-four-selfplay --frameworks sb3 rllib-old-stack rllib --seeds "${SEEDS:-3}" $steps \
  --name "${NAME:-old-stack}" || [[ $? == [13] ]]
