#!/usr/bin/env bash
# `parity check` on the set-up of the reported port, ray 2.47.1 with the gymnasium that it pins, in an environment of its
# own; the documents committed as results/versions/ray-2.47.1.
#
# Usage: [PYTHON=python3.11] benchmarks/ray_2_47.sh [FOLDER OF THE ENVIRONMENT, default .venv-ray-2.47.1]
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${1:-.venv-ray-2.47.1}"
results="results/versions/ray-2.47.1"

if [ ! -x "$venv/bin/parity" ]; then
    "${PYTHON:-python3.11}" -m venv "$venv"
    # Everything else stays what it is with ray 2.60; these are what ray 2.47.1 pins itself.
    grep -v -E '^(ray|gymnasium|ormsgpack)==' constraints.txt > "$venv/constraints.txt"
    "$venv/bin/python" -m pip install --quiet --constraint "$venv/constraints.txt" \
        torch==2.13.0 "ray[rllib]==2.47.1" stable-baselines3==2.9.2 sb3-contrib==2.9.2 \
        cyclopts jinja2 matplotlib psutil pydantic rich scipy
    # Its own requirements ask for ray 2.60.
    "$venv/bin/python" -m pip install --quiet --no-deps --editable .
fi

mkdir -p "$results"
"$venv/bin/python" -m pip list --format=freeze |
    grep -E '^(ray|gymnasium|torch|stable[-_]baselines3|sb3[-_]contrib|numpy|pandas)==' > "$results/versions.txt"
for task in tiles envs/reported/port.py envs/reported/fixed.py; do
    name="$(basename "$task" .py)"
    status=0
    "$venv/bin/parity" check --task "$task" --json --out "$results" > "$results/$name.json" || status=$?
    # That a port does not hold (1) is a result; anything beyond is not.
    [ "$status" -le 1 ] || exit "$status"
done
