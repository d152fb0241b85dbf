#!/usr/bin/env bash
# What docs/speed.md shows: SB3, RLlib as it is, tuned by its options, on parity's fast path, rllib-exact and the limit, by turns
# on a machine that does nothing else. About 20 minutes on 2 cores. What is there already is not measured again; `rm -r
# results/bench` begins anew. ROUNDS and ITERATIONS make it shorter, TASKS and OUT measure others elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-results/bench}
for task in ${TASKS:-tiles tiles-100 taxi invalid-discrete connect-four tiles-two-learners}; do
  [ -f "$out/$task/bench.json" ] ||
    parity bench --task "$task" --frameworks sb3 rllib rllib-exact --rounds "${ROUNDS:-6}" \
      --iterations "${ITERATIONS:-2}" --name "$task" --out "$out" || [ $? = 3 ]
  # Seven times as slow as the rest: two rounds are enough to say so.
  [ -f "$out/$task-stock/bench.json" ] ||
    parity bench --task "$task" --frameworks sb3 rllib:tuned rllib:stock --rounds "${STOCK_ROUNDS:-2}" --iterations 1 \
      --no-details --name "$task-stock" --out "$out" || [ $? = 3 ]
done
python benchmarks/bench_table.py "$out"
