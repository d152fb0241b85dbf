"""The documentation as a site: it builds without a warning, no link is dead, nothing is fetched, every finding has its page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from parity.ladder.findings import RULES

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")


class _Page(HTMLParser):
    """Where a page leads, what it loads, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}
        if tag == "a" and (href := given.get("href")):
            self.links.append(href)
        if source := given.get("src") or (
            given.get("href") if tag == "link" and given.get("rel") == "stylesheet" else None
        ):
            self.loaded.append(source)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("docs") / "site"
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_no_link_of_the_site_is_dead_and_nothing_is_fetched(site: Path) -> None:
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > len(RULES)
    dead = []
    for path, page in pages.items():
        assert not [source for source in page.loaded if re.match(r"(https?:)?//", source)], path
        for link in page.links:
            if re.match(r"[a-z]+:|//", link) or path.name == "404.html":
                continue
            address, anchor = urldefrag(unquote(link))
            target = (path.parent / address).resolve() if address else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (anchor and target in pages and anchor not in pages[target].anchors):
                dead.append((str(path.relative_to(site)), link))
    assert not dead


def test_every_finding_has_a_page_and_is_found_by_the_search(site: Path) -> None:
    assert {path.parent.name for path in site.glob("findings/PAR*/index.html")} == set(RULES)
    words = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"] for entry in words["docs"]}
    assert {f"findings/{code}/" for code in RULES} <= places
    page = (site / "findings" / "PAR003" / "index.html").read_text(encoding="utf-8")
    assert "ValueFunctionAPI" in page and "../PAR401/" in page


def test_the_public_classes_are_documented_from_their_docstrings(site: Path) -> None:
    page = _Page((site / "api" / "index.html").read_text(encoding="utf-8"))
    assert {"parity.task.definition.Task", "parity.task.definition.PPOParams"} <= page.anchors


FOLDERS = ("*.md", "docs/*.md", "examples/**/*.md")
PAGES = sorted(path.relative_to(ROOT).as_posix() for pages in FOLDERS for path in ROOT.glob(pages))


@pytest.mark.parametrize("page", PAGES)
def test_links_between_files_of_the_repository_lead_somewhere(page: str) -> None:
    for link in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
        address, anchor = urldefrag(link)
        if address and not re.match(r"https?:|mailto:", address):
            target = ((ROOT / page).parent / address).resolve()
            assert target.exists(), f"{page}: {link}"
            if anchor and target.suffix == ".md":
                headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}, (
                    f"{page}: {link}"
                )
