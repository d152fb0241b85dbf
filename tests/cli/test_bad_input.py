"""Bad input: exit code 2, one sentence on stderr that names it and the remedy, nothing on stdout, no traceback."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from report_studies import write_study

from parity.errors import CannotStart, ExitCode

Parity = Callable[..., Any]

HEAD = "from parity.testing.toy_envs import *\nfrom parity import PPOParams, Task\n"


def write(text: str, name: str = "my_port.py") -> str:
    """A task file in the current folder."""
    Path(name).write_text(HEAD + text)
    return name


# --- options ---------------------------------------------------------------------------------------------------------

OPTIONS = {
    "run --task nowhere": "--task nowhere: no such task. ",
    "run --task nowhere.py": "--task nowhere.py: there is no file nowhere.py.",
    "run --task": "--task: name at least one.",
    "run --suite small": "--suite small: no such suite; there are quick, parity, full.",
    "run --suite quick --task tiles": "--suite quick names its tasks by itself: leave out --task.",
    "run --suite quick --seeds 0": "--seeds 0: input should be greater than or equal to 1.",
    "run --resume nowhere --suite quick": "--resume finishes a study as it was asked for: leave out --suite.",
    "run --looks 2 4": "--looks 2 4: no alpha is known for these looks; choose --looks 3 5 8 10 or --looks 5 10.",
    "run --looks many": "--looks many: input should be a valid integer",
    "run --sequential --seeds 7": "--seeds 7: a sequential study ends at the last of its looks, 10 seeds; leave it out, ",
    "run --sequential --frameworks sb3": "--sequential: a sequential study stops when a port is compared ",
    "run --frameworks rlib": "--frameworks rlib: no such framework; registered are sb3, rllib",
    "run --frameworks sb3 sb3": "--frameworks sb3 sb3: a name stands twice.",
    "run --frameworks": "--frameworks: name at least one.",
    "run --steps 0": "--steps 0: input should be greater than or equal to 1.",
    "run --steps 1.5": "--steps 1.5: input should be a valid integer",
    "run --seeds 0": "--seeds 0: input should be greater than or equal to 1.",
    "run --seeds many": "--seeds many: input should be a valid integer",
    "run --seed-start -1": "--seed-start -1: input should be greater than or equal to 0.",
    "run --threads 0": "--threads 0: input should be greater than or equal to 1.",
    "run --device gpu": "--device gpu: input should be 'auto', 'cpu' or 'cuda'.",
    "run --require luck": "--require luck: input should be 'equivalent', 'not-worse' or 'learns'.",
    "run --name a/b": '--name a/b: use letters, digits and ". _ -", a letter or digit first.',
    "run --sede 3": "Unknown option: --sede. Did you mean --seeds?",
    "run tiles": "Unused Tokens: ['tiles'].",
    "run --address localhost:1": "--address localhost:1: nothing answers there (",
    "run --resume nowhere": "There is no study nowhere, neither as a folder nor under results/.",
    "run --resume nowhere --seeds 3 --steps 9": "--resume finishes a study as it was asked for: leave out --seeds, --steps.",
    "report nowhere": "There is no study nowhere, neither as a folder nor under results/.",
    "report": "There is no study under results/; `parity run` makes one.",
    "report nowhere --out elsewhere": "There is no study nowhere, neither as a folder nor under elsewhere/.",
    "view nowhere --no-browser": "There is no study nowhere, neither as a folder nor under results/.",
    "rnu": 'Unknown command "rnu". ',
    "--bogus": 'Unknown command "--bogus". ',
}


@pytest.mark.parametrize("line", OPTIONS)
def test_a_bad_option_is_one_sentence(parity: Parity, line: str) -> None:
    assert parity(*line.split()).sentence.startswith(OPTIONS[line])


@pytest.mark.parametrize("path", ["file", "file/below", "file/below/that"])
def test_an_output_folder_that_cannot_be_written_is_one_sentence(parity: Parity, path: str) -> None:
    Path("file").write_text("")
    sentence = parity("run", "--out", path).sentence
    assert sentence.startswith(f"--out {path}: cannot write there (") and sentence.endswith("; choose another folder.")


def test_a_study_that_is_there_already_is_not_overwritten(parity: Parity) -> None:
    Path("results/mine").mkdir(parents=True)
    Path("results/mine/study.json").write_text("{}")
    task = write("task = maze_task()\n")
    assert parity("run", "--task", task, "--frameworks", "sb3", "--name", "mine").sentence == (
        "--name mine: there is such a study already; choose another name, or --resume mine."
    )


TOML = {
    "task = [": "parity.toml: ",
    'taks = "tiles"': "parity.toml, taks: no such option; there are task, suite, env, ",
    'json = "yes"': "parity.toml, json: no such option; there are task, ",
    "steps = 0": "parity.toml, steps 0: input should be greater than or equal to 1.",
    'require = "luck"': "parity.toml, require luck: input should be 'equivalent', 'not-worse' or 'learns'.",
    'suite = "small"': "parity.toml, suite small: no such suite; there are quick, parity, full.",
    'suite = "quick"\ntask = "tiles"': "parity.toml, suite quick names its tasks by itself: leave out parity.toml, task.",
    "sequential = true\nseeds = 3": "parity.toml, seeds 3: a sequential study ends at the last of its looks, 10 seeds; ",
    "looks = [1, 2]": "parity.toml, looks 1 2: no alpha is known for these looks; choose ",
    "task = [1]": "parity.toml, task 1: input should be a valid string.",
    'task = "nowhere.py"': "--task nowhere.py: there is no file nowhere.py.",
}


@pytest.mark.parametrize("text", TOML)
def test_a_bad_parity_toml_is_one_sentence_that_names_it(parity: Parity, text: str) -> None:
    Path("parity.toml").write_text(text + "\n")
    assert parity("run").sentence.startswith(TOML[text])


def test_parity_toml_is_not_read_where_a_task_is_named(parity: Parity) -> None:
    Path("parity.toml").write_text("task = [")
    assert parity("run", "--task", "nowhere").sentence.startswith("--task nowhere: no such task")


def test_parity_toml_is_not_read_where_a_suite_is_named(parity: Parity) -> None:
    Path("parity.toml").write_text("task = [")
    assert parity("run", "--suite", "quick", "--steps", "0").sentence.startswith("--steps 0: ")


def test_the_command_line_goes_before_parity_toml(parity: Parity) -> None:
    Path("parity.toml").write_text('task = "nowhere.py"\nsteps = 0\n')
    assert parity("run", "--steps", "5").sentence == "--task nowhere.py: there is no file nowhere.py."


# --- task files ------------------------------------------------------------------------------------------------------

SHORT_MASK = """
class Short(Maze):
    def _view(self):
        observation, info = super()._view()
        self.mask = self.mask[:3]
        return observation, info
"""
TASKS = {
    "syntax error": ("task = (", "--task my_port.py: syntax error in my_port.py, line 3: '(' was never closed."),
    "unknown field": ("task = maze_task(netwrok=Net)", "--task my_port.py: Task has no field `netwrok`; did you mean"),
    "raises": ("raise OSError('no data')", "--task my_port.py: my_port.py, line 3 raised OSError: no data."),
    "exits": ("raise SystemExit('usage')", "--task my_port.py: my_port.py, line 3 raised SystemExit: usage."),
    "mask of the wrong length": (
        SHORT_MASK + "task = maze_task(env=Short)",
        "The mask of Short (method:action_masks) has 3 entries, the action space Discrete(4) needs 4: return",
    ),
    "no mask": ("task = maze_task(env=lambda: Maze('other'))", "The environment Maze shows no action mask: looked for"),
    "environment that raises": (
        "class Bad(Maze):\n    def reset(self, **_):\n        raise RuntimeError('two\\nlines')\n"
        "task = maze_task(env=Bad, mask='method:action_masks')",
        "Task maze: env raised RuntimeError: two lines (my_port.py, line ",
    ),
    "wrong logits": (
        "task = maze_task(network=WrongLogits)",
        "network WrongLogits: logits have shape [2, 5] for 2 observations; the action space Discrete(4) needs [2, 4].",
    ),
    "wrong values": ("task = maze_task(network=WrongValues)", "network WrongValues: values have shape [2, 1] for 2"),
    "network that raises": (
        "task = maze_task(network=Raising)",
        "network Raising: forward(obs) raised KeyError: 'tiles'",
    ),
    "unknown learning agent": (
        "task = maze_task(multi_agent_env=lambda: 3)",
        "Task maze: multi_agent_env made a int; return a ray.rllib.env.MultiAgentEnv or a PettingZoo",
    ),
    "nothing to learn": (
        "task = maze_task(reference={'uniform_legal': 1.0, 'best': 1.0})",
        "Task maze: by its reference uniform legal play returns the best there is, 1, so a run has nothing to measure; "
        "`parity check` compares the numbers.",
    ),
    "no configuration": (
        "task = maze_task(rllib_config=lambda config: None)",
        "Task maze: rllib_config returned NoneType",
    ),
}


@pytest.mark.parametrize(("text", "says"), TASKS.values(), ids=TASKS)
def test_a_task_that_cannot_be_run_is_one_sentence(parity: Parity, text: str, says: str) -> None:
    frameworks = ["rllib"] if "multi_agent_env" in text or "rllib_config" in text else ["sb3", "rllib"]
    outcome = parity("run", "--task", write(text), "--frameworks", *frameworks)
    assert outcome.sentence.startswith(says)
    assert not list(Path("results").glob("*")), "nothing was computed, so no study is left behind"


@pytest.mark.parametrize("command", ["check", "bench", "bisect"])
def test_a_mask_of_the_wrong_length_is_one_sentence_for_every_command(parity: Parity, command: str) -> None:
    text, says = TASKS["mask of the wrong length"]
    assert parity(command, "--task", write(text)).sentence.startswith(says)


def test_two_tasks_of_one_id_are_one_sentence(parity: Parity) -> None:
    files = [write("task = maze_task()", name) for name in ("a.py", "b.py")]
    outcome = parity("run", "--task", *files, "--frameworks", "sb3")
    assert outcome.sentence == 'Two tasks have the id "maze"; give one of them another id.'


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_sentence(parity: Parity) -> None:
    sentence = parity("run", "--task", write("task = maze_task()"), "--frameworks", "sb3", "--device", "cuda").sentence
    assert sentence.startswith("--device cuda: there is no GPU on this machine (") and "use --device cpu" in sentence


# --- studies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 2}', "[]", "\udcff"])
@pytest.mark.parametrize("command", [["report"], ["run", "--resume"]])
def test_a_study_that_cannot_be_read_is_one_sentence(parity: Parity, command: list[str], text: str) -> None:
    Path("results/mine").mkdir(parents=True)
    Path("results/mine/study.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert parity(*command, "mine").sentence.startswith("results/mine/study.json cannot be read: ")


def test_a_resumed_study_whose_task_file_is_gone_is_one_sentence(parity: Parity) -> None:
    study = write_study(Path("results/mine"), {"sb3": [0.9]}) / "study.json"
    stored = json.loads(study.read_text())
    stored["request"]["task_arguments"] = ["my_port.py"]
    study.write_text(json.dumps(stored))
    assert parity("run", "--resume", "mine").sentence == "--task my_port.py: there is no file my_port.py."


# --- what no user caused ---------------------------------------------------------------------------------------------


def test_an_internal_error_shows_its_traceback_says_that_it_is_one_and_fails(
    parity: Parity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr("parity.results.study.find_study", broken)
    outcome = parity("report")
    assert outcome.code == ExitCode.DOES_NOT_HOLD and outcome.out == ""
    assert "Traceback" in outcome.err
    assert outcome.err.splitlines()[-1] == (
        "parity: internal error: ValueError: two lines; please report the lines above."
    )


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_what_the_system_refuses_is_one_sentence(parity: Parity, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number), "results/mine/report.html")

    monkeypatch.setattr("parity.results.study.find_study", refused)
    assert parity("report").sentence == f"results/mine/report.html: {os.strerror(number)}."


def test_an_interrupted_command_says_so(parity: Parity, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("parity.results.study.find_study", interrupted)
    outcome = parity("report")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "parity: interrupted.\n")


def test_a_study_that_is_interrupted_before_it_is_one_says_how_to_go_on(
    parity: Parity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("parity.study.command.inspect", interrupted)
    outcome = parity("run")
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err == "parity: interrupted: nothing was computed yet; go on with the same command.\n"


def test_a_cluster_of_the_surroundings_that_does_not_answer_is_named_by_its_variable(
    parity: Parity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    said = "RAY_ADDRESS=127.0.0.1:1 (unset it for a Ray of parity's own): nothing answers there"
    assert parity("run").sentence.startswith(said)


def test_gpus_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from parity.study import runner

    monkeypatch.setattr(runner.ray, "cluster_resources", lambda: {"CPU": 2.0})
    with pytest.raises(CannotStart, match=r"--trial-gpus 0\.5: Ray finds 0 GPUs on this machine"):
        runner.check_gpus(0.5, on_cluster=False)
    runner.check_gpus(0.5, on_cluster=True)
    runner.check_gpus(0.0, on_cluster=False)


# --- processes -------------------------------------------------------------------------------------------------------


def blocker(folder: Path, *packages: str) -> str:
    """A folder for PYTHONPATH that makes these packages as good as not installed."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {packages!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    return str(folder)


@pytest.mark.parametrize(
    ("missing", "frameworks", "says"),
    [
        ("ray", "rllib", "parity run schedules its trials with Ray, which is not installed: pip install"),
        ("ray", "sb3", "parity run schedules its trials with Ray, which is not installed: pip install"),
        (
            "tree",
            "rllib",
            "--frameworks rllib needs the package tree, which is not installed: pip install 'parity[rllib]'.",
        ),
        ("sb3_contrib", "sb3", "--frameworks sb3 needs the package sb3_contrib, which is not installed: pip install"),
    ],
)
def test_a_framework_whose_package_is_missing_is_one_sentence(
    parity_apart: Parity, tmp_path: Path, missing: str, frameworks: str, says: str
) -> None:
    path = blocker(tmp_path / "blocked", missing)
    assert parity_apart("run", "--frameworks", frameworks, PYTHONPATH=path).sentence.startswith(says)


def test_a_task_file_that_kills_its_process_is_one_sentence(parity_apart: Parity, tmp_path: Path) -> None:
    (tmp_path / "my_port.py").write_text("import os\nos._exit(3)\n")
    sentence = parity_apart("run", "--task", "my_port.py", "--frameworks", "sb3").sentence
    assert sentence.startswith("--task my_port.py: the process that looked at it died (")


def test_what_a_task_file_prints_stays_off_standard_output(parity_apart: Parity, tmp_path: Path) -> None:
    (tmp_path / "my_port.py").write_text("print('hello')\n" + HEAD + "task = maze_task(network=WrongLogits)\n")
    outcome = parity_apart("run", "--task", "my_port.py", "--frameworks", "sb3", "--json")
    assert outcome.sentence.startswith("network WrongLogits: logits have shape [2, 5]") and "hello" in outcome.err


def test_help_says_what_each_command_is_for(parity: Parity) -> None:
    listed = re.findall(r"│ ([a-z]+) +(\S.*?) *│", parity("--help").out)
    names = [name for name, _ in listed]
    assert {"run", "check", "bisect", "gate", "baseline", "plan", "init", "view"} <= set(names)
    assert all(words[0].isupper() for _, words in listed), listed


def test_help_and_version_hold(parity: Parity) -> None:
    for line in ("--help", "--version", "run --help", "report --help", ""):
        outcome = parity(*line.split())
        assert outcome.code == 0 and outcome.err == "" and outcome.out


def test_the_list_of_tasks_is_one_document(parity: Parity) -> None:
    outcome = parity("tasks", "--json")
    assert outcome.code == 0 and {row["id"] for row in json.loads(outcome.out)} >= {"tiles", "tiles-100"}
