"""Recurrent ports: every rung that makes sense without SB3's counterpart runs, and what has none is said in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from cases import recurrent
from cases.climb import accused, climb

from parity import frameworks
from parity.capture.rllib.sequences import ROW, Sequences, unrolled
from parity.errors import ExitCode, NotSupported
from parity.frameworks.evaluation import evaluate
from parity.results.check import CheckDocument

# Rungs that say nothing about a network of SB3's.
COMPARED = ("contract", "distribution", "rollout", "returns", "loss", "gradient", "step", "update")


@pytest.mark.parametrize(
    ("module", "longest"),
    [
        (recurrent.Gru, 6),
        (recurrent.Gru, 20),
        (recurrent.SharesFeatures, 4),
        (recurrent.Attends, 6),
    ],
)
def test_a_good_recurrent_port_is_accused_of_nothing_and_its_network_is_compared_with_none(
    module: Any, longest: int
) -> None:
    check_is_good(climb(recurrent.task(module, longest), "rllib"))


def test_rllibs_own_masked_lstm_is_accused_of_nothing() -> None:
    check_is_good(climb(recurrent.lstm, "rllib"))


def check_is_good(document: CheckDocument) -> None:
    rungs = document.ladder["rllib"]
    assert {name: rungs[name].status for name in COMPARED if rungs[name].status not in ("pass", "explained")} == {}
    assert not [each for each in document.findings if each.severity == "error"], accused(document)
    assert document.exit_code == ExitCode.UNDECIDED
    assert list(document.not_compared["rllib"]) == ["forward"]
    assert "is recurrent, and sb3-contrib has no masked recurrent policy" in document.not_compared["rllib"]["forward"]


@pytest.mark.parametrize(
    ("module", "longest", "learner", "code"),
    [
        (recurrent.UnmaskedInTraining, 6, None, "PAR201"),
        (recurrent.ForgetsInTraining, 3, None, "PAR205"),
        (recurrent.BackwardsInTraining, 6, None, "PAR205"),
        (recurrent.NeverTrainsItsMemory, 6, None, "PAR602"),
        (recurrent.ValuesOfSampling, 6, None, "PAR404"),
        (recurrent.LosesTheLastAxis, 6, None, "PAR312"),
        (recurrent.Gru, None, None, "PAR312"),
        (recurrent.Gru, 6, recurrent.Growing, "PAR801"),
    ],
)
def test_a_mistake_in_a_recurrent_port_is_named(module: Any, longest: int | None, learner: Any, code: str) -> None:
    document = climb(recurrent.task(module, longest, learner), "rllib")
    assert document.exit_code == ExitCode.DOES_NOT_HOLD
    assert accused(document)[0] == code, [(each.code, each.where) for each in document.findings]
    if module is recurrent.ValuesOfSampling:
        assert "embeddings" in (document.findings[0].model_extra or {})["message"]
    if longest is None:
        assert "max_seq_len" in (document.findings[0].model_extra or {})["message"]


def test_rllib_exact_says_that_it_is_not_for_recurrent_modules() -> None:
    with pytest.raises(NotSupported, match="is recurrent"):
        climb(recurrent.task(recurrent.Gru), "rllib-exact")


def test_the_evaluator_carries_the_state() -> None:
    session = frameworks.get("rllib").open(recurrent.task(recurrent.Remembers), 0, device="cpu", threads=1)
    try:
        played = evaluate(session.eval_runner(3), 8, deterministic=True)
    finally:
        session.close()
    assert (played.returns == recurrent.LENGTH).all()


def padded() -> dict[str, Any]:
    """Two sequences of 3 and 2 steps."""
    generator = torch.Generator().manual_seed(0)
    sign = torch.rand((2, 3, recurrent.DOORS + 1), generator=generator)
    return {
        "obs": {"sign": sign, "action_mask": torch.ones(2, 3, recurrent.DOORS, dtype=torch.int8)},
        "state_in": {"h": torch.rand((2, recurrent.WIDTH), generator=generator)},
        "seq_lens": torch.tensor([3, 2]),
        "actions": torch.zeros(2, 3, dtype=torch.int64),
    }


def gru() -> Any:
    space, actions = recurrent.Doors.observation_space, recurrent.Doors.action_space
    return recurrent.Gru(observation_space=space, action_space=actions, model_config={"max_seq_len": 3})


def test_a_row_has_the_logits_of_its_place_in_its_sequence() -> None:
    module, columns = gru(), padded()
    rows = unrolled(module, columns)
    whole = module.forward_train(columns)["action_dist_inputs"]
    for number, place in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]):
        given = {"obs": {ROW: torch.tensor([number])}}
        assert torch.allclose(rows.forward_train(given)["action_dist_inputs"][0], whole[place], atol=1e-6)
        assert torch.allclose(rows.compute_values(given)[0], module.compute_values(columns)[place], atol=1e-6)
    assert {name for name, _ in rows.named_parameters()} == {name for name, _ in module.named_parameters()}


def test_padding_is_no_row() -> None:
    sequences = Sequences(padded())
    assert np.array_equal(sequences.numbers(), [[0, 1, 2], [3, 4, -1]])
    assert sequences.rows(torch.arange(6).reshape(2, 3)).tolist() == [0, 1, 2, 3, 4]
