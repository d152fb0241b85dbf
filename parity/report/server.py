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
from parity.errors import CannotStart
from parity.report import HTML_FILE, write_html
from parity.report.bench_page import BENCH_PAGE, bench_page
from parity.report.content import content
from parity.report.page import html_report, studies_page
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


def serve(out: Path, study: str | None, port: int, browser: bool) -> int:
    """Serves studies and benches under ``out`` until Ctrl-C, and opens one, or the page that lists all. Returns the exit code.

    A folder elsewhere than under ``out`` is served with its neighbours.

    Raises:
        CannotStart: there is no such study or folder, or the port is taken.
    """
    page = ""
    bench = find_bench(study, out) if study is not None else None
    if bench is not None and not (bench / STUDY_FILE).is_file():
        out, page = bench.resolve().parent, f"{quote(bench.resolve().name)}/{BENCH_PAGE}"
    elif study is not None:
        folder = find_study(study, out).resolve()
        load_study(folder)
        out, page = folder.parent, f"{quote(folder.name)}/{HTML_FILE}"
    with make_server(out, port) as server, contextlib.suppress(KeyboardInterrupt):
        url = f"http://{LOOPBACK}:{server.server_address[1]}/{page}"
        print(f"{url}  (Ctrl-C ends)", file=sys.stderr, flush=True)
        if browser:
            webbrowser.open(url)
        server.serve_forever()
    return 0


def make_server(out: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of ``out`` on the loopback interface, not yet running.

    Raises:
        CannotStart: ``out`` is no folder, or the port cannot be had.
    """
    if not out.is_dir():
        raise CannotStart(f"There is no folder {out}; `parity run` makes studies, --out names another place.")
    root = out.resolve()
    handler = type("StudiesHandler", (_Handler,), {"root": root})
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


def studies(out: Path) -> list[StudyEntry]:
    """All studies under ``out``, newest first; one that cannot be read is listed with the reason."""
    return [_entry(folder) for folder in reversed(list_studies(out))]


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


def benches(out: Path) -> list[BenchEntry]:
    """All benches under ``out`` that are in no study; one that cannot be read is listed with the reason."""
    entries = []
    for folder in list_benches(out):
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
    server_version = "parity"
    sys_version = ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        # A name that someone else's DNS points at 127.0.0.1 is not ours: its pages would read this server.
        if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in (LOOPBACK, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        try:
            self._answer(unquote(urlsplit(self.path).path))
        except CannotStart as error:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain=str(error))
        except (OSError, ValueError):
            self.send_error(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET

    def _answer(self, path: str) -> None:
        if path in ("/", "/index.html"):
            page = studies_page(studies(self.root), benches(self.root), self.root.name)
            self._send(page.encode(), _TYPES[".html"])
            return
        target = self._inside(path)
        folder = target.parent if target.name in (HTML_FILE, BENCH_PAGE) else target
        if target.name == BENCH_PAGE and (folder / BENCH_FILE).is_file():
            self._send(bench_report(folder).encode(), _TYPES[".html"])
        elif target.is_dir() and (target / BENCH_FILE).is_file() and not (target / STUDY_FILE).is_file():
            self._redirect(f"/{quote(target.relative_to(self.root).as_posix())}/{BENCH_PAGE}")
        elif not (folder / STUDY_FILE).is_file():
            self._send(target.read_bytes(), _TYPES.get(target.suffix, "application/octet-stream"))
        elif folder is target:
            self._redirect(f"/{quote(folder.relative_to(self.root).as_posix())}/{HTML_FILE}")
        else:
            self._send(report_page(folder).encode(), _TYPES[".html"])

    def _inside(self, path: str) -> Path:
        """The file that a URL means.

        Raises:
            FileNotFoundError: it, or what it links to, lies outside the folder that is served.
        """
        target = (self.root / path.lstrip("/")).resolve()
        if not target.is_relative_to(self.root):
            raise FileNotFoundError(path)
        return target

    def _send(self, body: bytes, content_type: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _redirect(self, location: str) -> None:
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the terminal shows the URL, not every request."""
