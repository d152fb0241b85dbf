"""A study on storage that is no folder, and files that go to a cluster's nodes and come back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from parity.errors import CannotStart, Interrupted
from parity.study.delivery import MARK_FILE, FileKeeper, packed, unpacked
from parity.study.storage import stored
from parity.task.registry import resolve


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for an object store: ``s3://`` leads there."""
    folder = tmp_path / "bucket"
    folder.mkdir()

    class Storage:
        @staticmethod
        def from_uri(uri: str) -> tuple[Any, str]:
            return fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()), uri.partition("://")[2].partition("?")[0]

    monkeypatch.setattr(fs, "FileSystem", Storage)
    return folder


def test_what_is_written_is_stored_and_read_again_to_resume(bucket: Path) -> None:
    with stored(Path("s3://all/studies?region=x"), None) as (out, name, place):
        (out / "a/trials").mkdir(parents=True)
        (out / "a/study.json").write_text("1")
        (out / "a/trials/new").write_text("2")
        assert name is None and place(out / "a") == "s3://all/studies/a?region=x"
    assert not out.exists()
    assert (bucket / "all/studies/a/trials/new").read_text() == "2"
    with stored(Path("results"), "s3://all/studies/a") as (out, name, _):
        assert name == "a" and (out / "a/trials/new").read_text() == "2"
        (out / "a/trials/new").unlink()
    assert [path.name for path in (bucket / "all/studies/a").rglob("*") if path.is_file()] == ["study.json"]


def test_an_interrupted_study_is_named_by_its_uri(bucket: Path) -> None:
    with (
        pytest.raises(Interrupted, match=r"finish with: parity run --resume s3://all/a$"),
        stored(Path("s3://all"), None) as (out, _, _),
    ):
        raise Interrupted(f"finish with: parity run --resume {out / 'a'}")


def test_a_storage_that_cannot_be_written_to_is_refused_before_anything_starts(bucket: Path) -> None:
    bucket.rmdir()
    bucket.touch()
    with pytest.raises(CannotStart, match=r"--out s3://all: cannot write there"), stored(Path("s3://all"), None):
        raise AssertionError("it started")


def test_a_study_that_cannot_be_copied_at_the_end_is_kept_and_named(bucket: Path) -> None:
    storing = stored(Path("s3://all"), None)
    out, _, _ = storing.__enter__()
    (out / "study.json").write_text("1")
    (bucket / "all").rmdir()
    (bucket / "all").touch()
    with pytest.raises(CannotStart, match=r"could not be copied there .* it lies in") as error:
        storing.__exit__(None, None, None)
    assert str(out) in str(error.value) and (out / "study.json").read_text() == "1"
    (out / "study.json").unlink()
    out.rmdir()


@pytest.mark.parametrize("out", ["results", "file:///data/results"])
def test_a_folder_is_a_folder(out: str) -> None:
    with stored(Path(out), "a") as (folder, name, place):
        assert folder == Path(out.removeprefix("file://")) and name == "a" and place(folder) is None


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.py").write_text("task = None\n")
    return tmp_path


def test_task_files_reach_a_node_with_what_lies_beside_them(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tasks / "one/envs").mkdir()
    (tasks / "one/envs/board.py").touch()
    (tasks / "one/.venv").mkdir()
    (tasks / "one/.venv/large").touch()
    ref = resolve("one/one.py")
    there = tasks / "there"
    runtime_env = packed([ref, resolve("two/two.py")], there)
    assert runtime_env["working_dir"] == str(there)
    names = sorted(str(path.relative_to(there)) for path in there.rglob("*") if path.is_file())
    assert names == [MARK_FILE, "envs/board.py", "one.py", "two.py"]
    assert unpacked(ref) == ref
    monkeypatch.syspath_prepend(str(there))
    assert unpacked(ref).location == str(there / "one.py")


def test_files_of_one_name_that_differ_and_folders_that_are_too_large_are_refused(
    tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [resolve("one/one.py"), resolve("two/two.py")]
    (tasks / "one/envs.py").write_text("1")
    (tasks / "two/envs.py").write_text("2")
    with pytest.raises(CannotStart, match=r"different files envs\.py"):
        packed(refs, tasks / "there")
    monkeypatch.setattr("parity.study.delivery.MOST_MB", 0)
    with pytest.raises(CannotStart, match="folder of their own"):
        packed(refs[:1], tasks / "elsewhere")


def test_what_comes_back_stays_in_the_study(tmp_path: Path) -> None:
    keeper = FileKeeper(tmp_path)
    keeper.put("trials/t/sb3/0/log", b"1")
    assert keeper.get("trials/t/sb3/0") == {"log": b"1"}
    keeper.remove("trials/t/sb3/0/log")
    assert keeper.get("trials/t/sb3/0") == {}
    for path in ("trials/../study.json", "../x", os.fspath(tmp_path.parent / "x")):
        with pytest.raises(ValueError, match="no trial's"):
            keeper.put(path, b"")
