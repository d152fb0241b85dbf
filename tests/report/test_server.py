"""``parity view``: the list of studies, reports on demand, and nothing beyond the folder."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from report_studies import conclude, write_study

from parity.errors import CannotStart
from parity.report.server import make_server, serve
from parity.results import study as files

ARMS = {"sb3": [0.97, 0.9, 0.93], "rllib": [0.9, 0.8, 0.85]}
Get = Callable[..., tuple[int, dict[str, str], str]]


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two concluded studies, a newer one that is still running, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("view") / "results"
    conclude(write_study(folder / "old", ARMS, created="2026-11-20T09:00:00Z"))
    conclude(write_study(folder / "new", ARMS, created="2026-11-21T09:00:00Z"))
    write_study(folder / "running", ARMS, created="2026-11-22T09:00:00Z")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "study.json").write_text('{"created": "2026-11-19"}')
    return folder


@pytest.fixture
def out(studies: Path, tmp_path: Path) -> Path:
    """A copy to change, with a file beside it that must not be served."""
    (tmp_path / "secret").write_text("secret")
    return shutil.copytree(studies, tmp_path / "results")


@pytest.fixture
def get(out: Path) -> Iterator[Get]:
    """Sends a path as it is: no client normalises it."""
    with make_server(out) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def request(path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
            try:
                connection.request(method, path, headers=headers)
                answer = connection.getresponse()
                return answer.status, dict(answer.getheaders()), answer.read().decode("utf-8")
            finally:
                connection.close()

        yield request
        server.shutdown()
        thread.join()


def test_the_index_lists_every_study_newest_first(out: Path, get: Get) -> None:
    status, headers, page = get("/")
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    places = [page.index(f">{name}<") for name in ("running", "new", "old", "damaged")]
    assert places == sorted(places)
    assert page.count(">INCONCLUSIVE<") + page.count(">EQUIVALENT<") == 2
    assert "not concluded" in page and "parity run --resume running" in page and "unreadable" in page
    assert files.load_study(out / "new").file.created[:10] in page


def test_a_missing_report_is_built_from_stored_data_and_kept(out: Path, get: Get) -> None:
    report = out / "new" / "report.html"
    before = report.read_text()
    report.unlink()
    status, _, page = get("/new/report.html")
    assert status == 200 and page == before == report.read_text()


def test_a_report_older_than_its_summary_is_built_again(out: Path, get: Get) -> None:
    report = out / "new" / "report.html"
    report.write_text("stale")
    os.utime(report, (0, 0))
    assert "Learning curves" in get("/new/report.html")[2]


def test_a_study_that_is_not_concluded_is_shown_as_it_stands_and_not_stored(out: Path, get: Get) -> None:
    status, _, page = get("/running/report.html")
    assert status == 200 and "This study is not concluded" in page
    assert not (out / "running" / "report.html").exists() and not (out / "running" / "summary.json").exists()


def test_files_of_a_study_are_served_and_folders_are_not_listed(get: Get) -> None:
    status, headers, text = get("/new/trials/tiles/sb3/0/log")
    assert (status, text) == (200, "tiles/sb3/0: a log\n") and headers["Content-Type"].startswith("text/plain")
    assert get("/new/figures/tiles-steps.svg")[1]["Content-Type"] == "image/svg+xml"
    assert get("/new/trials/")[0] == 404 and get("/new/nothing")[0] == 404
    status, headers, _ = get("/new/")
    assert (status, headers["Location"]) == (302, "/new/report.html")
    status, headers, body = get("/new/report.html", "HEAD")
    assert status == 200 and int(headers["Content-Length"]) > 1e6 and body == ""


@pytest.mark.parametrize(
    "path",
    ["/../secret", "/%2e%2e/secret", "/new/../../secret", "/new/..%2f..%2fsecret", "//../secret", "/link", "/\x00"],
)
def test_nothing_outside_the_folder_is_served(out: Path, get: Get, path: str) -> None:
    (out / "link").symlink_to(out.parent / "secret")
    try:
        status, _, body = get(path)
    except http.client.InvalidURL:
        return
    assert status == 404 and "secret" not in body.replace(path, "")


@pytest.mark.parametrize(
    "path", ["new/.lock", "new/.git/config", "new/notes.exe", "beside.txt", ".hidden/report.html", "linked/report.html"]
)
def test_what_is_no_part_of_a_study_is_not_served(out: Path, get: Get, path: str) -> None:
    for file in ("new/.lock", "new/.git/config", "new/notes.exe", "beside.txt"):
        (out / file).parent.mkdir(exist_ok=True)
        (out / file).write_text("secret")
    shutil.copytree(out / "old", out / ".hidden")
    shutil.move(out / "old", out.parent / "elsewhere")
    (out / "linked").symlink_to(out.parent / "elsewhere")
    (out / "new/trials/link").symlink_to(out.parent / "secret")
    (out / "new/trials/other").symlink_to(out / "running/study.json")
    assert [get(f"/{each}")[0] for each in (path, "new/trials/link", "new/trials/other")] == [404] * 3
    assert ">.hidden<" not in get("/")[2] and ">linked<" not in get("/")[2]


def test_a_study_that_is_named_is_served_without_its_neighbours(out: Path) -> None:
    with make_server(out, only="new") as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        ends = {}
        for path in ("/", "/new/report.html", "/old/report.html", "/old/study.json"):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
            connection.request("GET", path)
            answer = connection.getresponse()
            ends[path] = answer.status, answer.read().decode()
            connection.close()
        server.shutdown()
        thread.join()
    assert [status for status, _ in ends.values()] == [200, 200, 404, 404]
    assert ">new<" in ends["/"][1] and ">old<" not in ends["/"][1]


def test_no_script_but_the_reports_own_runs_in_a_stored_report(out: Path, get: Get) -> None:
    """A study of somebody else's has a report of somebody else's."""
    (out / "new/report.html").write_text("<script>fetch('study.json')</script>")
    _, headers, page = get("/new/report.html")
    assert "fetch" in page
    policy = headers["Content-Security-Policy"]
    assert (
        policy.startswith("default-src 'none'; script-src 'sha256-")
        and "'unsafe-inline'" not in policy.split("style-src")[0]
    )
    digest = base64.b64encode(hashlib.sha256(b"fetch('study.json')").digest()).decode()
    assert digest not in policy and "connect-src" not in policy
    assert "sandbox" in get("/new/figures/tiles-steps.svg")[1]["Content-Security-Policy"]


def test_another_name_for_this_machine_is_refused(get: Get) -> None:
    assert get("/", Host="evil.example:80")[0] == 403
    assert get("/", Host="[")[0] == 404
    assert get("/", Host="localhost:1234")[0] == 200


def test_the_server_listens_on_the_loopback_interface_only(out: Path) -> None:
    with make_server(out) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_an_unreadable_study_is_a_sentence_and_no_traceback(get: Get) -> None:
    status, _, page = get("/damaged/report.html")
    assert status == 500 and "damaged/study.json cannot be read" in page and "Traceback" not in page


def test_an_unknown_study_a_missing_folder_and_a_taken_port_cannot_start(out: Path) -> None:
    with pytest.raises(CannotStart, match="There is no study nothing"):
        serve(out, "nothing", 0, browser=False)
    with pytest.raises(CannotStart, match="There is no folder"):
        serve(out / "nowhere", None, 0, browser=False)
    with pytest.raises(CannotStart, match="cannot be read"):
        serve(out, "damaged", 0, browser=False)
    with pytest.raises(CannotStart, match="--port 65536"):
        serve(out, None, 65536, browser=False)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CannotStart, match="0 takes a free one"):
        serve(out, None, taken.getsockname()[1], browser=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent as SIGINT")
@pytest.mark.parametrize(("study", "page"), [(None, ""), ("new", "new/report.html")])
def test_ctrl_c_ends_it_with_code_0_after_the_url_was_said(out: Path, study: str | None, page: str) -> None:
    code = "import sys; from pathlib import Path; from parity.report.server import serve; "
    code += "out, *study = sys.argv[1:]; sys.exit(serve(Path(out), *(study or [None]), 0, False))"
    command = [sys.executable, "-c", code, str(out), *([study] if study else [])]
    # A shell's background job ignores SIGINT and hands that down; a user's terminal does not.
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=30)
    assert re.match(rf"http://127\.0\.0\.1:\d+/{page}  ", line)
    assert process.returncode == 0 and "Traceback" not in rest[1] and rest[0] == ""
