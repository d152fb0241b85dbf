"""``--task``: what it resolves to, and the sentence that it ends in where it resolves to nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from parity import PPOParams, Task
from parity.errors import CannotStart
from parity.task.registry import BUILT_IN, load, resolve, validation_sentence
from parity.testing.toy_envs import Maze, Net, maze_task

HEAD = "from parity import PPOParams, Task\nfrom parity.testing.toy_envs import Maze, Net, maze_task\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory outside the repository; what tasks import from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def refusal(text: str) -> str:
    """The sentence of a task that cannot be loaded."""
    with pytest.raises(CannotStart) as stopped:
        load(resolve(text))
    sentence = str(stopped.value)
    assert "\n" not in sentence and sentence.endswith((".", "?"))
    return sentence


def test_a_file_gives_its_task(folder: Path) -> None:
    (folder / "my_port.py").write_text(HEAD + "task = maze_task(id='mine')\nother = maze_task(id='other')\n")
    assert load(resolve("my_port.py")).id == "mine"
    assert load(resolve("my_port.py:other")).id == "other"
    assert load(resolve(str(folder / "my_port.py"))).id == "mine"


def test_a_module_is_found_from_the_working_directory(folder: Path) -> None:
    (folder / "packaged_ports").mkdir()
    (folder / "packaged_ports" / "__init__.py").write_text("")
    (folder / "packaged_ports" / "second.py").write_text(HEAD + "mine = maze_task(id='deep')\n")
    assert load(resolve("packaged_ports.second:mine")).id == "deep"


def test_a_file_imports_its_siblings_from_wherever_it_is_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "port").mkdir()
    (folder / "port" / "maze_helpers.py").write_text(
        "from parity.testing.toy_envs import Maze\ndef make(): return Maze('info')\n"
    )
    (folder / "port" / "my_port.py").write_text(
        "from maze_helpers import make\n" + HEAD + "task = Task(id='sibling', env=lambda: make(), network=Net)\n"
    )
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    task = load(resolve("../port/my_port.py"))
    assert task.env().convention == "info"


def test_two_files_of_one_name_are_two_tasks(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "my_port.py").write_text(HEAD + f"task = maze_task(id={name!r})\n")
    assert [load(resolve(f"{name}/my_port.py")).id for name in "ab"] == ["a", "b"]


def test_a_file_is_run_once(folder: Path) -> None:
    (folder / "once.py").write_text(HEAD + "open('runs', 'a').write('x')\ntask = maze_task()\n")
    assert load(resolve("once.py")) is load(resolve("once.py"))
    assert (folder / "runs").read_text() == "x"


def test_resolving_runs_nothing_and_says_where_it_points_without_a_path_of_this_machine(folder: Path) -> None:
    (folder / "my_port.py").write_text("raise RuntimeError\n")
    ref = resolve("my_port.py:mine")
    assert ref.source == "my_port.py:mine"
    assert ref.folder == str(folder)
    assert resolve("tiles").source == "parity_envs.tiles.task:tiles" and resolve("tiles").folder is None


def test_every_built_in_id_resolves_without_importing_it() -> None:
    assert "tiles" in BUILT_IN and "tiles-100" in BUILT_IN
    assert all(resolve(name).text == name for name in BUILT_IN)


def test_an_unknown_id_is_told_what_is_close_and_the_other_forms() -> None:
    sentence = refusal("tilse")
    assert "no such task" in sentence and "`parity tasks`" in sentence and "my_port.py:name" in sentence
    assert "did you mean tiles" in refusal("tile")


@pytest.mark.parametrize("text", ["nowhere.py", "nowhere.py:task", "./nowhere", "a" * 400 + ".py", "/"])
def test_a_file_that_is_not_there_is_said_to_be_missing(text: str) -> None:
    assert "there is no file" in refusal(text)


@pytest.mark.parametrize("text", ["", ":", ":task", "x y:task", "my_port.py:2"])
def test_a_text_of_no_known_form_is_refused(text: str) -> None:
    assert "no such task" in refusal(text)


def test_a_module_that_is_not_there_is_named() -> None:
    assert refusal("no_such_package.tasks:mine") == (
        "--task no_such_package.tasks:mine: No module named 'no_such_package'; install it, or correct the name."
    )


# File contents -> what the sentence must say.
BAD_FILES = {
    "x = (\n": "syntax error in bad.py, line 1: '(' was never closed",
    "\0": "syntax error in bad.py: source code string cannot contain null bytes",
    HEAD + "other = maze_task()\n": "bad.py defines no `task`; it defines other: write --task bad.py:other",
    HEAD: "bad.py defines no `task`; write task = parity.Task(...) there",
    "task = {'id': 'mine'}\n": "`task` is a dict, not a parity.Task",
    HEAD + "task = maze_task\n": "`task` is a function, not a parity.Task",
    "import no_such_package\n": "No module named 'no_such_package'; install it, or correct the name",
    "def make():\n    raise ValueError('two\\nlines')\nmake()\n": "bad.py, line 2 raised ValueError: two lines",
    "import sys\nsys.exit('usage')\n": "bad.py, line 2 raised SystemExit: usage",
    HEAD + "maze_task(steps=-1)\n": "Task field `steps`: input should be greater than or equal to 1",
}


@pytest.mark.parametrize(("text", "says"), BAD_FILES.items(), ids=range(len(BAD_FILES)))
def test_a_task_file_that_gives_no_task_says_why_and_where(folder: Path, text: str, says: str) -> None:
    (folder / "bad.py").write_text(text)
    sentence = refusal("bad.py")
    assert sentence.startswith("--task bad.py: ") and says in sentence


def test_a_syntax_error_in_a_sibling_names_the_sibling(folder: Path) -> None:
    (folder / "broken_sibling.py").write_text("x = 1\ndef f(:\n")
    (folder / "my_port.py").write_text("import broken_sibling\n")
    assert "syntax error in broken_sibling.py, line 2" in refusal("my_port.py")


def test_a_file_that_failed_is_run_again_when_it_was_mended(folder: Path) -> None:
    (folder / "my_port.py").write_text("x = (\n")
    refusal("my_port.py")
    (folder / "my_port.py").write_text(HEAD + "task = maze_task(id='mended')\n")
    assert load(resolve("my_port.py")).id == "mended"


# Arguments of `Task` (on top of a good one) -> the whole sentence.
BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"netwrok": Net}, "Task has no field `netwrok`; did you mean `network`?"),
    ({"id": "two words"}, "Task field `id`: string should match pattern"),
    ({"env": "CartPole-v1"}, "Task field `env`: input should be callable (given: 'CartPole-v1')."),
    ({"network": None}, "Task: network may only be left out where both sb3_model and rllib_config are given."),
    ({"steps": 0}, "Task field `steps`: input should be greater than or equal to 1 (given: 0)."),
    ({"eval_every": 0}, "Task field `eval_every`: input should be greater than or equal to 1 (given: 0)."),
    ({"margin": 0}, "Task field `margin`: input should be greater than 0 (given: 0)."),
    ({"mask": "observation:legal"}, 'Task field `mask`: "observation:legal" names no place of the mask; write'),
    ({"rllib_module": "MyModule"}, "Task field `rllib_module`: input should be a type (given: 'MyModule')."),
    ({"reference": {"best": 1.0}}, "Task field `reference.uniform_legal` is missing."),
    (
        {"reference": {"uniform_legal": 1.0, "best": 0.9}},
        "Task field `reference`: best must not be below uniform_legal.",
    ),
    (
        {"reference": {"uniform_legal": float("nan")}},
        "Task field `reference`: uniform_legal and best must be finite.",
    ),
    ({"ppo": {"gamma": 2}}, "Task field `ppo.gamma`: input should be less than or equal to 1 (given: 2)."),
]


@pytest.mark.parametrize(("fields", "says"), BAD_FIELDS, ids=[next(iter(fields)) for fields, _ in BAD_FIELDS])
def test_a_bad_field_is_one_sentence_with_its_name_and_what_it_wants(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as stopped:
        maze_task(**fields)
    sentence = validation_sentence(stopped.value)
    assert sentence.startswith(says) and "\n" not in sentence


def test_a_missing_or_misplaced_argument_is_told_by_its_name() -> None:
    with pytest.raises(ValidationError) as stopped:
        Task(id="a")  # type: ignore[call-arg]
    assert validation_sentence(stopped.value) == "Task field `env` is missing."
    with pytest.raises(ValidationError) as stopped:
        Task("a", Maze, Net, 64)  # type: ignore[arg-type]
    assert validation_sentence(stopped.value).startswith("Task field `ppo`: input should be a dictionary or")


def test_a_finished_network_is_refused() -> None:
    env = Maze()
    with pytest.raises(ValidationError, match="give the class, or a function"):
        maze_task(network=Net(env.observation_space, env.action_space))


def test_a_last_minibatch_of_one_row_is_refused_where_it_would_be_normalised() -> None:
    with pytest.raises(ValidationError, match="65 rows leave a last minibatch of one row at batch_size 64"):
        PPOParams(n_envs=5, n_steps=13, batch_size=64)
    assert PPOParams(n_envs=5, n_steps=13, batch_size=64, normalize_advantage=False).rollout_steps == 65


def test_defaults_are_those_of_the_contract() -> None:
    task = Task(id="a", env=Maze, network=Net)
    assert (task.steps, task.eval_every, task.eval_episodes, task.margin) == (65_536, 8_192, 100, 0.15)
    assert task.ppo == PPOParams(
        n_envs=8, n_steps=256, batch_size=64, n_epochs=10, learning_rate=3e-4, gamma=0.99, gae_lambda=0.95, clip_range=0.2,
        clip_range_vf=None, ent_coef=0.0, vf_coef=0.5, max_grad_norm=0.5, adam_eps=1e-5, normalize_advantage=True,
        target_kl=None,
    )  # fmt: skip
    assert task.declared == {} and task.other_modules == {} and task.reference is None and task.mask is None
