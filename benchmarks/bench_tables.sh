#!/usr/bin/env bash
# What docs/speed.md shows: SB3, RLlib as it is, tuned by its options, on parity's fast path, rllib-exact and the limit, by turns
# on a machine that does nothing else. About 20 minutes on 2 cores, half an hour with ROUNDS=6. What is there already is not
# measured again, and what was interrupted goes on; `rm -r results/bench` begins anew. ITERATIONS and STOCK_ROUNDS make it longer
# or shorter too, TASKS and OUT measure others elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-results/bench}
tasks=${TASKS:-tiles tiles-100 taxi invalid-discrete connect-four tiles-two-learners}

# bench NAME ARGUMENTS: exit code 3 says that the rounds are too few to call anything slower.
bench() {
  name=$1
  shift
  if [ -f "$out/$name/bench.html" ]; then return; fi
  if [ -f "$out/$name/bench.json" ]; then set -- --resume "$out/$name"; else set -- --out "$out" --name "$name" "$@"; fi
  parity bench "$@" || [ $? = 3 ]
}

for task in $tasks; do
  bench "$task" --task "$task" --frameworks sb3 rllib rllib-exact --rounds "${ROUNDS:-4}" --iterations "${ITERATIONS:-2}"
done
for task in $tasks; do
  # Several times as slow as the rest: one round is enough to say so.
  bench "$task-stock" --task "$task" --frameworks sb3 rllib:tuned rllib:stock --rounds "${STOCK_ROUNDS:-1}" --iterations 1 \
    --no-details
done
python benchmarks/bench_table.py "$out"
