"""A capture on disk: what is stored is loaded, what is not there raises, what is no capture is one sentence."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from parity.errors import CannotStart
from parity.results.capture import (
    Capture,
    Configuration,
    Forward,
    Lockstep,
    Missing,
    ModuleFacts,
    Raised,
    Replica,
    Resets,
    Returns,
    Rows,
    Step,
    ThroughAlgorithm,
    View,
)
from parity.results.capture_file import load, save


@pytest.fixture
def capture() -> Capture:
    weights = np.arange(3.0, dtype=np.float32)
    made = Capture()
    made.context.modules["policy/0"] = ModuleFacts(class_name="Module", choices=[2, 3])
    made.context.rows["policy/0"] = Rows(module="policy/0", valid=np.ones(3, bool), observations={"a/b": weights})
    made.context.raised["forward policy/0"] = Raised(type="ValueError", message="no")
    made.context.configuration = Configuration(port={"gamma": 0.9}, task={}, sb3={}, schedules={"sb3": {"lr": [1.0]}})
    made.contract.view = View(episode=weights)
    made.contract.resets = Resets(seeds=[[0, None], [1]])
    made.contract.returns["policy/0"] = Returns(module="policy/0", advantages=weights)
    made.forward["policy/0"] = Forward(module="policy/0", logits={"train": weights})
    made.step["policy/0"] = Step(module="policy/0", before={"w.x": weights}, sb3={"sb3": {"w.x": weights * 2}})
    made.lockstep = Lockstep(reason="not exact")
    replica = Replica(names=["w"], missing=[], spread=np.zeros(1))
    made.algorithm = None
    through = ThroughAlgorithm(module="policy/0", replicas={"learner 0": replica})
    assert through.replicas["learner 0"].names == ["w"]
    return made


def test_what_is_stored_is_loaded(capture: Capture, tmp_path: Path) -> None:
    save(capture, tmp_path / "c.zip")
    loaded = load(tmp_path / "c.zip")
    assert loaded.context.modules == capture.context.modules and loaded.context.raised == capture.context.raised
    assert loaded.context.configuration == capture.context.configuration
    assert loaded.contract.resets == capture.contract.resets
    assert loaded.lockstep is not None and loaded.lockstep.reason == "not exact" and loaded.algorithm is None
    rows, step = loaded.context.rows["policy/0"], loaded.step["policy/0"]
    assert rows.valid.dtype == bool and rows.observations["a/b"].dtype == np.float32
    assert np.array_equal(step.sb3["sb3"]["w.x"], [0.0, 2.0, 4.0]) and np.array_equal(step.before["w.x"], [0, 1, 2])
    with zipfile.ZipFile(tmp_path / "c.zip") as archive:
        assert sum(name.endswith(".npy") for name in archive.namelist()) == 3, "each array once"


def test_a_number_that_was_not_collected_raises_and_says_what_it_passes_through(capture: Capture) -> None:
    forward = pickle.loads(pickle.dumps(capture)).forward["policy/0"]
    with pytest.raises(Missing) as raised:
        _ = forward.values
    assert raised.value.what == "Forward.values" and raised.value.module == "policy/0"
    assert raised.value.parts == ("build", "sample", "batch", "observations", "forward")
    assert forward.optional("values") is None and forward.has("logits") and not forward.has("logits", "values")


def test_a_field_that_nothing_reads_any_more_is_left_out(capture: Capture, tmp_path: Path) -> None:
    save(capture, tmp_path / "now.zip")
    with zipfile.ZipFile(tmp_path / "now.zip") as now, zipfile.ZipFile(tmp_path / "then.zip", "w") as then:
        for name in now.namelist():
            text = now.read(name)
            if name == "capture.json":
                document = json.loads(text)
                document["capture"]["context"]["configuration"]["brought"] = True
                text = json.dumps(document).encode()
            then.writestr(name, text)
    loaded = load(tmp_path / "then.zip")
    assert loaded.context.configuration == capture.context.configuration


def test_what_is_no_capture_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "c.zip"
    path.write_text("no zip")
    with pytest.raises(CannotStart, match=r"holds no capture .*parity check --save"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("facts.json", "{}")
    with pytest.raises(CannotStart, match="whose captures had no schema"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("capture.json", '{"schema_version": 99}')
    with pytest.raises(CannotStart, match="schema_version 99, this parity reads 2"):
        load(path)
