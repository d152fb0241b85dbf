"""``--out URI``: a study on any storage that pyarrow writes to, as s3:// and gs://.

It is computed in a folder of this machine, and copied there as it grows: whatever was complete is there when this machine is
not.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from parity.errors import CannotStart, Interrupted, one_line
from parity.results import study as files
from parity.system.console import say
from parity.system.scratch import LOCK_FILE, locked_folder

COPY_EVERY_S = 5.0
# ``Path`` makes s3:/bucket/folder of s3://bucket/folder. One letter is a drive.
_URI = re.compile(r"^([a-z][a-z0-9+.-]+):/+([^?]+)(\?.*)?$")

Place = Callable[[Path], str | None]


@contextlib.contextmanager
def stored(out: Path, resume: str | None) -> Iterator[tuple[Path, str | None, Place]]:
    """Yields the folder of studies to work in, the name to resume, and what says where people find a study of that folder.

    Raises:
        CannotStart: nothing can be written there, which is tried first; or what was computed could not be: it says where it is.
    """
    asked = _URI.match(resume.replace("://", ":/")) if resume is not None else None
    match = asked or _URI.match(str(out))
    if match is None:
        yield out, resume, lambda _: None
        return
    scheme, path, query = match[1], match[2], match[3] or ""
    if asked is not None:
        path, _, resume = path.rpartition("/")
    if scheme == "file":
        yield Path("/" + path), resume, lambda _: None
        return
    uri = f"{scheme}://{path}{query}"
    mirror = _Mirror(uri)
    local, lock = locked_folder()

    def place(folder: Path) -> str:
        return f"{scheme}://{path}/{folder.relative_to(local)}{query}"

    if resume is not None:
        mirror.fetch(local, resume)
    with mirror.kept_up(local, lock):
        try:
            yield local, resume, place
        except (CannotStart, Interrupted) as error:
            study = re.compile(re.escape(str(local)) + r"/([\w.-]+)")
            raise type(error)(study.sub(lambda name: shlex.quote(place(local / name[1])), str(error))) from error


class _Mirror:
    def __init__(self, uri: str) -> None:
        from pyarrow import fs

        self._uri = uri
        try:
            self._storage, self._root = fs.FileSystem.from_uri(uri)
            probe = f"{self._root}/.parity-{secrets.token_hex(4)}"
            self._storage.create_dir(self._root)
            self._write(probe, b"")
            self._storage.delete_file(probe)
        except Exception as error:  # pyarrow's own, OSError, and what else a storage raises
            raise CannotStart(f"--out {uri}: cannot write there ({one_line(error)}).") from error
        self._there: dict[str, int] = {}

    def fetch(self, local: Path, name: str) -> None:
        from pyarrow import fs

        selector = fs.FileSelector(f"{self._root}/{name}", recursive=True, allow_not_found=True)
        for info in self._storage.get_file_info(selector):
            relative = info.path.removeprefix(self._root).lstrip("/")
            target = (local / relative).resolve()
            if info.type != fs.FileType.File or not target.is_relative_to(local.resolve()):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._storage.open_input_stream(info.path) as stream:
                target.write_bytes(stream.read())
            self._there[relative] = target.stat().st_mtime_ns

    @contextlib.contextmanager
    def kept_up(self, local: Path, lock: FileLock) -> Iterator[None]:
        """Copies ``local`` as it grows, and at the end, when it is removed; it stays where that fails."""
        over = threading.Event()
        copier = threading.Thread(target=self._now_and_then, args=(local, over), daemon=True)
        copier.start()
        try:
            yield
        finally:
            over.set()
            copier.join()
            try:
                self._copy(local)
            except Exception as error:
                (local / LOCK_FILE).unlink()  # no other command takes it for one that is left
                raise CannotStart(
                    f"--out {self._uri}: the study could not be copied there ({one_line(error)}); it lies in {local}."
                ) from error
            finally:
                lock.release(force=True)
            shutil.rmtree(local)

    def _now_and_then(self, local: Path, over: threading.Event) -> None:
        told = False
        while not over.wait(COPY_EVERY_S):
            try:
                self._copy(local)
            except Exception as error:
                if not told:
                    say(f"--out {self._uri}: cannot write there now ({one_line(error)}); it is tried again")
                told = True

    def _copy(self, local: Path) -> None:
        # What says that a trial has ended comes after what it says.
        paths = sorted(local.rglob("*"), key=lambda path: path.name == files.TRIAL_FILE)
        for path in paths:
            relative = path.relative_to(local).as_posix()
            try:
                changed = path.stat().st_mtime_ns
                if path.is_file() and not path.name.startswith(".") and self._there.get(relative) != changed:
                    self._write(f"{self._root}/{relative}", path.read_bytes())
                    self._there[relative] = changed
            except FileNotFoundError:
                continue  # replaced at this moment
        for relative in [each for each in self._there if not (local / each).exists()]:
            self._storage.delete_file(f"{self._root}/{relative}")
            del self._there[relative]

    def _write(self, path: str, data: bytes) -> None:
        self._storage.create_dir(path.rpartition("/")[0], recursive=True)
        with self._storage.open_output_stream(path) as stream:
            stream.write(data)
