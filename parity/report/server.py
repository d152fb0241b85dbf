"""``parity view``: a folder of studies in a browser, served to this machine only."""

from __future__ import annotations

import contextlib
import sys
import webbrowser
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from parity.bench.judge import conclude
from parity.errors import CannotStart, printable
from parity.report import HTML_FILE, write_html
from parity.report.bench_page import BENCH_PAGE, bench_page
from parity.report.content import content
from parity.report.page import html_report, report_policy, studies_page
from parity.results.bench import BENCH_FILE, BenchFile, find_bench, list_benches, load_bench_file
from parity.results.reading import complaint, parse, read_json
from parity.results.study import STUDY_FILE, SUMMARY_FILE, StudyFile, find_study, list_studies, load_study
from parity.results.summary import Summary
from parity.verdict.judge import judge

LOOPBACK = "127.0.0.1"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".xml": "application/xml",
    ".md": "text/markdown; charset=utf-8",
    ".parquet": "application/octet-stream",
    "": "text/plain; charset=utf-8",
}
# What is larger is no page for a browser; it would also be read into memory.
LARGEST_FILE = 2**26


def serve(out: Path, study: str | None, port: int, browser: bool) -> int:
    """Serves studies and benches under ``out`` until Ctrl-C, and opens the page that lists all; or serves one alone.

    Returns the exit code.

    Raises:
        CannotStart: there is no such study or folder, or the port is taken.
    """
    page, only = "", None
    bench = find_bench(study, out) if study is not None else None
    if bench is not None and not (bench / STUDY_FILE).is_file():
        out, only = bench.resolve().parent, bench.resolve().name
        page = f"{quote(only)}/{BENCH_PAGE}"
    elif study is not None:
        folder = find_study(study, out).resolve()
        load_study(folder)
        out, only, page = folder.parent, folder.name, f"{quote(folder.name)}/{HTML_FILE}"
    with make_server(out, port, only) as server, contextlib.suppress(KeyboardInterrupt):
        url = f"http://{LOOPBACK}:{server.server_address[1]}/{page}"
        print(f"{url}  (Ctrl-C ends)", file=sys.stderr, flush=True)
        if browser:
            webbrowser.open(url)
        server.serve_forever()
    return 0


def make_server(out: Path, port: int = 0, only: str | None = None) -> ThreadingHTTPServer:
    """A server of what lies under ``out``, or of one folder there, on the loopback interface, not yet running.

    Raises:
        CannotStart: ``out`` is no folder, or the port cannot be had.
    """
    if not out.is_dir():
        raise CannotStart(f"There is no folder {out}; `parity run` makes studies, --out names another place.")
    root = out.resolve()
    handler = type("StudiesHandler", (_Handler,), {"root": root, "only": only})
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), handler)
    except (OSError, OverflowError) as error:
        raise CannotStart(f"--port {port}: {getattr(error, 'strerror', None) or error}; 0 takes a free one.") from error
    server.daemon_threads = True
    return server


@dataclass(frozen=True)
class StudyEntry:
    """A line of the list of studies. ``problem``: why it cannot be read."""

    folder: str
    file: StudyFile | None
    summary: Summary | None
    problem: str | None

    @property
    def url(self) -> str:
        return f"{quote(self.folder)}/{HTML_FILE}"


def studies(out: Path, only: str | None = None) -> list[StudyEntry]:
    """All studies under ``out``, or the one, newest first; one that cannot be read is listed with the reason."""
    return [_entry(folder) for folder in reversed(list_studies(out)) if _is_served(folder, only)]


def _is_served(folder: Path, only: str | None) -> bool:
    """Whether a study or bench is shown: none that is hidden, or a link to somewhere else."""
    return folder.name == only or (only is None and not folder.name.startswith(".") and not folder.is_symlink())


def _entry(folder: Path) -> StudyEntry:
    try:
        file = parse(folder / STUDY_FILE, StudyFile)
    except (ValueError, OSError) as error:
        return StudyEntry(folder.name, None, None, complaint(error))
    try:
        return StudyEntry(folder.name, file, stored_summary(folder), None)
    except CannotStart as error:
        return StudyEntry(folder.name, file, None, str(error))


@dataclass(frozen=True)
class BenchEntry:
    """A line of the list of benches. ``problem``: why it cannot be read."""

    folder: str
    file: BenchFile | None
    problem: str | None

    @property
    def url(self) -> str:
        return f"{quote(self.folder)}/{BENCH_PAGE}"


def benches(out: Path, only: str | None = None) -> list[BenchEntry]:
    """All benches under ``out`` that are in no study, or the one; one that cannot be read is listed with the reason."""
    entries = []
    for folder in (each for each in list_benches(out) if _is_served(each, only)):
        try:
            entries.append(BenchEntry(folder.name, load_bench_file(folder / BENCH_FILE), None))
        except CannotStart as error:
            entries.append(BenchEntry(folder.name, None, str(error)))
    return entries


def bench_report(folder: Path) -> str:
    """The page of a bench, judged as it stands; one that is being measured has no figures yet.

    Raises:
        CannotStart: it cannot be read.
    """
    file = load_bench_file(folder / BENCH_FILE)
    conclude(file)
    return bench_page(file, folder.name)


def stored_summary(folder: Path) -> Summary | None:
    """The summary of a study, None where it was not concluded.

    Raises:
        CannotStart: it cannot be read.
    """
    path = folder / SUMMARY_FILE
    if not path.is_file():
        return None
    return read_json(path, Summary, f"`parity report {folder}` writes it anew")


def report_page(folder: Path) -> str:
    """A study's report: the stored one, or built anew where it is missing or older than the summary.

    A study that is not concluded, for instance one that is running, is judged as it stands, and nothing is stored.

    Raises:
        CannotStart: the study cannot be read.
    """
    stored, summary_file = folder / HTML_FILE, folder / SUMMARY_FILE
    concluded = summary_file.is_file()
    if concluded and stored.is_file() and stored.stat().st_mtime >= summary_file.stat().st_mtime:
        return stored.read_text(encoding="utf-8")
    study, summary = load_study(folder), stored_summary(folder)
    if summary is None:
        return html_report(content(study, judge(study)), preliminary=True)
    try:
        return write_html(study, summary)
    except OSError:  # A folder that may only be read.
        return html_report(content(study, summary))


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of the list, of reports, and of files inside ``root``; there are no folder listings."""

    root: Path
    only: str | None
    server_version = "parity"
    sys_version = ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        try:
            # A name that someone else's DNS points at 127.0.0.1 is not ours: its pages would read this server.
            if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in (LOOPBACK, "localhost"):
                self.send_error(HTTPStatus.FORBIDDEN)
                return
            self._answer(unquote(urlsplit(self.path).path))
        except CannotStart as error:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain=printable(str(error)))
        except ConnectionError:
            self.close_connection = True  # the browser went away
        except (OSError, ValueError):
            self.send_error(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET

    def _answer(self, path: str) -> None:
        if path in ("/", "/index.html"):
            page = studies_page(studies(self.root, self.only), benches(self.root, self.only), self.root.name)
            self._send(page.encode(), ".html")
            return
        folder, target = self._inside(path)
        if target == folder:
            page = HTML_FILE if (folder / STUDY_FILE).is_file() else BENCH_PAGE
            self._redirect(f"/{quote(folder.name)}/{page}")
        elif target == folder / HTML_FILE and (folder / STUDY_FILE).is_file():
            self._send(report_page(folder).encode(), ".html")
        elif target == folder / BENCH_PAGE and (folder / BENCH_FILE).is_file():
            self._send(bench_report(folder).encode(), ".html")
        elif (size := target.stat().st_size) > LARGEST_FILE:
            raise CannotStart(f"{target.name} has {size} bytes, too many for a browser.")
        else:
            self._send(target.read_bytes(), target.suffix)

    def _inside(self, path: str) -> tuple[Path, Path]:
        """The folder of the study or bench, and what in it a URL means.

        Raises:
            FileNotFoundError: there is none; or what is asked for is hidden, or of a kind that none stores.
            ValueError: it, or what it links to, is outside of the folder.
        """
        name, *below = [part for part in path.split("/") if part]
        folder = self.root / name
        is_one = (folder / STUDY_FILE).is_file() or (folder / BENCH_FILE).is_file()
        if name == ".." or not is_one or not _is_served(folder, self.only):
            raise FileNotFoundError(path)
        target = folder.joinpath(*below).resolve()
        hidden = any(part.startswith(".") for part in target.relative_to(folder).parts)
        if hidden or (target != folder and target.suffix not in _TYPES):
            raise FileNotFoundError(path)
        return folder, target

    def _send(self, body: bytes, suffix: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _TYPES[suffix])
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _redirect(self, location: str) -> None:
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def end_headers(self) -> None:
        """Nothing that is served runs a script of its own, is shown within another page, or is read by one."""
        path = getattr(self, "path", "").partition("?")[0]  # a request may be none
        is_page = path.endswith(("/", HTML_FILE, BENCH_PAGE))
        policy = report_policy() if is_page else "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        self.send_header("Content-Security-Policy", f"{policy}; form-action 'none'; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the terminal shows the URL, not every request."""
