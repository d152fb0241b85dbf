"""Collects what the ladder compares of a port on RLlib's old API stack, and SB3's on the same rows."""

from __future__ import annotations

import dataclasses

from parity.capture.rllib.collect import collect
from parity.capture.rllib_old_stack.rollout import roll_out
from parity.capture.rllib_old_stack.settings import settings_of
from parity.frameworks import hyperparameters
from parity.frameworks.rllib.config import is_whole
from parity.frameworks.rllib_old_stack import RllibOldStack
from parity.frameworks.rllib_old_stack.config import old_form, under_its_own_name
from parity.results.capture import Capture
from parity.task import PPOParams, Task

NOT_APPLICABLE = {
    "lockstep": "the old API stack draws actions and shuffles rows from global generators, and hands a rollout over a step "
    "late: its iterations cannot be given one stream of randomness with SB3's"
}


def capture_old_stack(
    framework: RllibOldStack, task: Task, device: str, lockstep: int | None = None, full: bool = False
) -> Capture:
    """See `parity.capture.Collector`."""
    with under_its_own_name():
        port, own = framework.port(task, seed=0, device="cpu"), old_form(task)
        capture = collect(own, port, checkpoint=framework.checkpoint, roll_out=roll_out)
    context = capture.context
    context.framework, context.not_applicable = framework.name, dict(NOT_APPLICABLE)
    context.phases = dict.fromkeys(context.phases, "forward")
    # Of RLlib's GAE on the new stack; here it is another function.
    capture.installed_formula = None
    configuration = context.configuration
    assert configuration is not None
    settings_of(configuration, port, task)
    trained = dataclasses.replace(own, ppo=PPOParams(**configuration.task))
    differences = hyperparameters.to_rllib_old_stack(trained.ppo)[2]
    if not is_whole(own):
        configuration.untranslated = [dataclasses.asdict(each) for each in differences]
    return capture
