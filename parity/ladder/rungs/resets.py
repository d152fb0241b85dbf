"""Rung 0, whether episodes and sub-environments start anew."""

from __future__ import annotations

from parity.ladder.rung_input import RungReport
from parity.results.capture import Contract, LaterSamples, View

# Equal starts of several sub-environments are no coincidence where a seed decides about this many different ones.
DISTINCT_STARTS = 3
EQUAL_EPISODES = 3


def later(report: RungReport, contract: Contract) -> None:
    """Rewards and environments that are others in a later sample than in the first."""
    samples: LaterSamples | None = contract.optional("later")
    if samples is None:
        return
    if samples.plays_otherwise is not None:
        message = (
            f"within {samples.samples} short samples the environment begins to give something else than a new one on the same "
            f"calls ({samples.plays_otherwise}): a callback changes it while it is sampled"
        )
        report.report("PAR049", "callbacks while sampling", message, {"differs": samples.plays_otherwise})
    if samples.rewards is not None:
        message = (
            f"from a later sample on the rewards in the episodes are others than the environment's: {samples.rewards}"
        )
        report.report("PAR064", "callbacks while sampling", message)


def resets(report: RungReport, contract: Contract) -> None:
    """Seeds that were given twice, sub-environments that are copies of each other, arrays that are used again."""
    if not contract.has("resets"):
        return  # no rollout: the rung of the rollout says so
    resets = contract.resets
    view = contract.view if contract.has("view") else View()
    for env, given in enumerate(resets.seeds):
        again = {seed: given.count(seed) for seed in given if seed is not None and given.count(seed) > 1}
        if again:
            seed, times = next(iter(again.items()))
            message = f"sub-environment {env} was reset {times} times with seed {seed} in one short rollout"
            report.report("PAR014", f"sub-environment {env}", message, {"seed": seed, "times": times})
            break
    first = [given[0] for given in resets.seeds if given and given[0] is not None]
    twice = next((seed for seed in first if first.count(seed) > 1), None)
    starts = [env for env in resets.starts if env]
    equal = min((len(env) for env in starts), default=0)
    copies = len(starts) > 1 and all(env[:equal] == starts[0][:equal] for env in starts)
    if twice is not None:
        message = f"{first.count(twice)} of {len(first)} sub-environments were reset with seed {twice}"
        report.report("PAR015", "sub-environments", message, {"seeds": first})
    elif copies and equal >= EQUAL_EPISODES and view.distinct_starts >= DISTINCT_STARTS:
        message = (
            f"the {len(starts)} sub-environments start their first {equal} episodes with the same observations, and the "
            f"single-agent environment starts {view.distinct_starts} seeds differently"
        )
        evidence = {"sub_environments": len(starts), "equal_episodes": equal}
        explains = ("PAR030", "PAR031", "PAR032", "PAR033")
        report.report("PAR015", "sub-environments", message, evidence, explains=explains)
    unseeded = view.unseeded_starts
    if unseeded.get("multi") == 1 and unseeded.get("single", 0) >= DISTINCT_STARTS:
        message = (
            "after a reset with a seed, resets without one start the same episode again and again, and the single-agent "
            "environment goes on to others: env runners give a seed to the first reset only"
        )
        report.report("PAR015", "multi-agent environment", message, dict(unseeded))
    if resets.shared_arrays:
        agents = resets.shared_arrays
        message = f"successive observations of {', '.join(agents)} share memory"
        report.report("PAR019", f"agent {agents[0]}", message, {"agents": agents})
