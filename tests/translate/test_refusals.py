"""`parity translate` on what it cannot translate: exit code 2, one sentence with file, line or key, and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity.cli import call


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


REFUSED: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "no file": ("gone.py", "", (), "gone.py: there is no such file; give one, or - for standard input."),
    "a syntax error": ("a.py", "\nPPO('p', env", (), "a.py, line 2: '(' was never closed; give Python that runs."),
    "no call": (
        "a.py",
        "x = 1",
        (),
        "a.py: no call of MaskablePPO or PPO is in it; give the file or snippet that has one.",
    ),
    "two calls": (
        "a.py",
        "PPO('p', e)\nPPO('p', e)",
        (),
        "a.py: MaskablePPO or PPO is called in lines 1, 2; choose one with --line.",
    ),
    "no call in that line": (
        "a.py",
        "PPO('p', e)",
        ("--line", "7"),
        "a.py, line 7: no call of MaskablePPO or PPO begins there; one begins in line 1.",
    ),
    "an unknown argument": (
        "a.py",
        "PPO('p', e,\n    n_step=3)",
        (),
        "a.py, line 2: PPO has no argument n_step; did you mean n_steps?",
    ),
    "an argument of PPO alone": (
        "a.py",
        "MaskablePPO('p', e, use_sde=True)",
        (),
        "a.py, line 1: MaskablePPO has no argument use_sde;",
    ),
    "an argument given twice": (
        "a.py",
        "PPO('p', e, 0.1, learning_rate=0.2)",
        (),
        "a.py, line 1: learning_rate is given twice; keep one.",
    ),
    "too many arguments": (
        "a.py",
        f"PPO({', '.join('1' * 40)})",
        (),
        "a.py, line 1: 40 positional arguments, PPO takes ",
    ),
    "hidden arguments": (
        "a.py",
        "PPO('p', e, **load())",
        (),
        "a.py, line 1: **load() hides which arguments there are; write them out, or",
    ),
    "starred arguments": (
        "a.py",
        "PPO(*a)",
        (),
        "a.py, line 1: a starred argument hides which arguments there are; write them out.",
    ),
    "a wrong type": (
        "a.py",
        "PPO('p', e,\n n_steps='many')",
        (),
        "a.py, line 2: n_steps is 'many', input should be a valid integer; correct it.",
    ),
    "a bool for a number": (
        "a.py",
        "PPO('p', e, n_steps=True)",
        (),
        "a.py, line 1: n_steps is True, input should be a valid integer; correct it.",
    ),
    "out of range": (
        "a.json",
        '{"gamma": 1.5}',
        (),
        "a.json, gamma: gamma is 1.5, input should be less than or equal to 1; correct it.",
    ),
    "a seed that is none": ("a.json", '{"seed": "x"}', (), "a.json, seed: seed is 'x', give a whole number."),
    "a minibatch of one row": (
        "a.json",
        '{"n_steps": 65, "batch_size": 64}',
        (),
        "a.json: n_envs * n_steps = 65 rows leave a last minibatch of one row",
    ),
    "a number in quotes": (
        "a.yml",
        "learning_rate: '0.1'",
        (),
        "a.yml, learning_rate: learning_rate is '0.1', input should be a valid number; write it without quotes",
    ),
    "a scheduled gamma": (
        "a.yml",
        "gamma: lin_0.9",
        (),
        "a.yml, gamma: gamma cannot be a schedule in SB3; give a number.",
    ),
    "JSON that ends": ("a.json", '{"n_steps": ', (), "a.json, line 1: Expecting value; correct the JSON."),
    "JSON with a key twice": (
        "a.json",
        '{"gamma": 1, "gamma": 0.9}',
        (),
        "a.json, gamma: it is given twice; keep one.",
    ),
    "a list": ("a.json", "[1]", (), "a.json: a list is in it; give a mapping of arguments, n_steps: 256 and so on."),
    "an empty file": ("a.yml", "", (), "a.yml: nothing is in it; give a mapping of arguments"),
    "an unknown key": (
        "a.yml",
        "A-v0:\n  n_env: 8",
        (),
        "a.yml, A-v0, n_env: MaskablePPO, PPO and RL-Zoo have no such argument; did you mean n_envs?",
    ),
    "unsafe YAML": (
        "a.yml",
        "A-v0:\n  seed: !!python/object/apply:os.system ['touch evil']",
        (),
        "a.yml, line 2: could not determine a constructor for the tag",
    ),
    "bad YAML": ("a.yml", "a: [1", (), "a.yml, line 1: expected ',' or ']', but got '<stream end>'; correct the YAML."),
    "several environments": (
        "a.yml",
        "A-v0: {}\nB-v0: {}",
        (),
        "a.yml: it has 2 environments; choose one with --env: A-v0, B-v0.",
    ),
    "an environment that is not there": (
        "a.yml",
        "A-v0: {}\nB-v0: {}",
        ("--env", "C-v0"),
        "--env C-v0: a.yml has no such environment; did you mean",
    ),
    "an environment of a flat file": (
        "a.yml",
        "n_steps: 8",
        ("--env", "A"),
        "--env A: a.yml is not keyed by environment; leave --env out.",
    ),
    "a line of YAML": (
        "a.yml",
        "n_steps: 8",
        ("--line", "1"),
        "--line 1: a.yml is no Python, where --env chooses among environments; leave --line out.",
    ),
    "an environment of Python": (
        "a.py",
        "PPO('p', e)",
        ("--env", "A"),
        "--env A: a.py is Python, where --line chooses among calls; leave --env out.",
    ),
    "policy_kwargs that are no Python": (
        "a.yml",
        "policy_kwargs: 'dict(net_arch='",
        (),
        "a.yml, policy_kwargs: '(' was never closed",
    ),
    "a number of steps that is none": (
        "a.yml",
        "n_timesteps: soon",
        (),
        "a.yml, n_timesteps: 'soon' is no number of steps; give a whole number.",
    ),
    "deep Python": ("a.py", "PPO(" + "(" * 5000 + ")" * 5000 + ")", (), "a.py"),
    "deep JSON": ("a.json", "[" * 100_000, (), "a.json"),
    "deep YAML": ("a.yml", "[" * 5_000, (), "a.yml"),
    "a null byte": ("a.py", "PPO(\0)", (), "a.py"),
    "no environments at all": ("a.py", "PPO('p', e)", ("--n-envs", "0"), "Invalid value"),
}


@pytest.mark.parametrize(("name", "text", "options", "says"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_translated_is_one_sentence(
    name: str, text: str, options: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text:
        Path(name).write_text(text, encoding="utf-8")
    elif not name.startswith("gone"):
        Path(name).touch()
    assert call(["translate", name, *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"parity: {says}") and err.endswith((".\n", "?\n")) and err.count("\n") == 1, (
        err
    )
    assert not Path("evil").exists()


def test_a_folder_and_what_is_no_text_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bytes.py").write_bytes(b"\xff\xfe\x00")
    assert call(["translate", "bytes.py"]) == 2
    assert capsys.readouterr().err == "parity: bytes.py: it is not text in UTF-8; give Python, JSON or YAML.\n"
    assert call(["translate", "."]) == 2
    assert capsys.readouterr().err.startswith("parity: .: it cannot be read (Is a directory); give a file")
