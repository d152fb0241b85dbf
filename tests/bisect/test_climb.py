"""From a probe to the whole port: the derived environments, what is not applicable, and where a climb stops."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

sys.path.insert(0, str(Path(__file__).parent))
from bisect_ports import HOLDER, Cards, Table

from parity.bisect.hybrid import HybridBuilder
from parity.bisect.jobs import TakeStep
from parity.bisect.step_tasks import STEP_TASKS, AllLegal, LearnerAlone, next_legal, task_of_step
from parity.bisect.steps import LADDER_STEPS, Step, all_steps, steps_sentence
from parity.results.bisect import StepEntry
from parity.task import registry as tasks
from parity.task.masks import MaskedEnv
from parity.task.registry import TaskRef

PORTS = Path(__file__).parent / "bisect_ports.py"


def port(name: str) -> TaskRef:
    return tasks.resolve(f"{PORTS}:{name}")


def step(key: str) -> Step:
    return next(each for each in all_steps(["probe-mask"]) if each.key == key)


def take(ref: TaskRef, step: Step) -> StepEntry:
    return TakeStep(step).run(ref)


def test_every_step_has_its_task_and_its_words() -> None:
    assert list(STEP_TASKS) == list(LADDER_STEPS)


def test_without_masks_an_illegal_action_is_played_as_the_next_legal_one() -> None:
    mask = np.array([0, 0, 1, 0, 1, 0, 1], bool)
    assert next_legal(3, mask[:4], spaces.Discrete(4)) == 2
    assert next_legal(2, mask[:4], spaces.Discrete(4)) == 2
    both = next_legal(np.array([0, 2]), mask, spaces.MultiDiscrete([4, 3]))
    assert both.tolist() == [2, 2]
    env = AllLegal(MaskedEnv(Cards()))
    env.reset(seed=0)
    for action in range(12):
        assert env.action_masks().all()
        _, _, over, _, _ = env.step(action % 4)
        if over:
            env.reset()
    assert env.env.counts.violations == 0  # type: ignore[attr-defined]


def test_less_of_an_observation_keeps_its_mask() -> None:
    builder = HybridBuilder(tasks.load(port("good")))
    env = task_of_step(builder, "masked").env()
    seen, _ = env.reset(seed=0)
    assert seen.shape == env.observation_space.shape == (5,) and seen.dtype == env.observation_space.dtype == np.float32
    masked = MaskedEnv(env, "method:action_masks")
    masked.reset(seed=0)
    assert masked.action_masks().shape == (4,) and not masked.action_masks().all()
    assert set(task_of_step(builder, "dictionary").env().reset(seed=0)[0]) == {"shown", "played"}


def test_the_learning_agent_alone_sees_and_earns_what_it_does_among_others() -> None:
    alone, together = LearnerAlone(Table(), HOLDER), Table()
    assert alone.possible_agents == [HOLDER]
    seen, _ = alone.reset(seed=3)
    among, _ = together.reset(seed=3)
    for _ in range(3):
        np.testing.assert_array_equal(seen[HOLDER]["shown"], among[HOLDER]["shown"])
        action = int(np.argmax(seen[HOLDER]["action_mask"]))
        seen, reward, over, _, _ = alone.step({HOLDER: action})
        among, rewards, overs, _, _ = together.step({HOLDER: action, "watcher": 0})
        assert reward == {HOLDER: rewards[HOLDER]} and over == overs


@pytest.mark.parametrize("key", ["all-legal", "alone"])
def test_a_good_port_holds_at_a_derived_step(key: str) -> None:
    reached = take(port("good"), step(key))
    assert reached.status == "holds", reached


def test_what_a_port_has_no_counterpart_of_is_said() -> None:
    found = {key: take(port("good"), step(key)) for key in ("images", "connectors")}
    assert found["images"].reason == "the observation has no image"
    assert found["connectors"].reason == "the port has no connectors of its own"
    assert all(each.status == "not applicable" for each in found.values())


@pytest.mark.slow
def test_the_settings_of_a_port_break_its_last_step_only() -> None:
    ref = port("configuration_with_two_faults")
    assert take(ref, step("toy")).status == "holds"
    assert take(ref, step("module")).status == "breaks"
    reached = take(ref, step("settings"))
    assert reached.codes == ["PAR010", "PAR602"] and "learning_rate" in (reached.reason or "")


@pytest.mark.slow
def test_a_probe_is_trained_with_the_classes_of_the_port() -> None:
    asked = Step("probe-observation", "p", is_probe=True)
    assert take(port("good"), asked).status == "holds"
    assert take(tasks.resolve("parity.selftest.planted:advantage_sign"), asked).status == "breaks"


def taken(key: str, status: str = "holds", **fields: Any) -> StepEntry:
    return StepEntry.model_validate({"step": key, "words": f"the step {key}", "status": status, **fields})


def test_the_sentence_names_the_first_step_that_breaks_and_the_last_that_holds() -> None:
    broken = taken("c", "breaks", rung=3, reason="PAR303: message", codes=["PAR303"])
    steps = [taken("a"), taken("b", "not applicable", reason="none"), broken]
    sentence = "The first step that breaks is the step c (rung 3: PAR303: message); the step before, the step a, holds."
    assert steps_sentence("t", steps) == sentence
    assert steps_sentence("t", steps[:2]).startswith("Nothing breaks on the way up")
    asked = taken("p", "breaks", failures=["the value is 1: it is 0"])
    assert "the step p (the value is 1: it is 0)" in steps_sentence("t", [asked])
