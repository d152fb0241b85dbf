"""What the site has that no file under docs/ says: a page for every finding, the order of pages, links into the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from parity.ladder.findings import RULES
from parity.ladder.findings.page import HEAD, chapters, section

ORDER = {
    "Start": ["index.md", "your-port.md", "verdict.md"],
    "Find out why": ["check.md", "comparable.md", "bisect.md", "watch.md"],
    "Speed": ["bench.md", "fast.md", "speed.md", "cluster.md"],
    "Hold it": ["gate.md", "statistics.md", "figures.md"],
    "Extend": ["frameworks.md", "api.md"],
}
CODE_OR_LINK = re.compile(r"(```.*?```|`[^`]*`|!?\[[^\]]*\]\([^)]*\)|^#.*?$)", re.DOTALL | re.MULTILINE)
RULE_ON_THE_PAGE = re.compile(r"\]\(rules\.md#(par\d{3})[^)]*\)")
INTO_REPOSITORY = re.compile(r"(!?)\[([^\]]*)\]\((\.\./[^)]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    pages = {f"findings/{code}.md": section(rule, level=1) for code, rule in RULES.items()}
    tables = []
    for heading, rules in chapters().items():
        rows = "".join(f"| [{rule.code}]({rule.code}.md) | {rule.severity} | {rule.title} |\n" for rule in rules)
        tables.append(f"\n## {heading}\n\n| finding | severity | says |\n|---|---|---|\n{rows}")
    pages["findings/index.md"] = HEAD + "".join(tables)
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    # Its text is on the pages of the findings.
    files.remove(next(file for file in files if file.src_uri == "rules.md"))
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    docs = Path(config.docs_dir)
    nav: list[Any] = [{room: [page for page in pages if (docs / page).is_file()]} for room, pages in ORDER.items()]
    listed = {page for pages in ORDER.values() for page in pages}
    others = sorted(path.name for path in docs.glob("*.md") if path.name not in listed | {"rules.md"})
    findings = [
        "findings/index.md",
        *({heading: [f"findings/{rule.code}.md" for rule in rules]} for heading, rules in chapters().items()),
    ]
    config.nav = [*nav, *([{"More": others}] if others else []), {"Findings": findings}]
    config.watch.append(str(docs.parent / "parity" / "ladder" / "findings"))
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    above = "../" * page.file.src_uri.count("/")
    markdown = RULE_ON_THE_PAGE.sub(lambda match: f"]({above}findings/{match[1].upper()}.md)", markdown)
    markdown = markdown.replace("](rules.md", f"]({above}findings/index.md")
    markdown = INTO_REPOSITORY.sub(_into_repository, markdown)
    parts = CODE_OR_LINK.split(markdown)
    # Every other part is code, a link or a heading, and stays as it is.
    parts[::2] = [re.sub(r"PAR\d{3}", lambda match: _finding(match[0], above), part) for part in parts[::2]]
    return "".join(parts)


def _finding(code: str, above: str) -> str:
    return f"[{code}]({above}findings/{code}.md)" if code in RULES else code


def _into_repository(match: re.Match[str]) -> str:
    """A file of the repository is not on the site: its path is said instead, a picture's words stand for it."""
    picture, words, target = match.groups()
    path = target.removeprefix("../").partition("#")[0]
    words = " ".join(words.split())
    return f"*{words}* (`{path}`)" if picture or words.strip("`") != path else f"`{path}`"
