"""Waivers: read strictly, for one kind of claim, for a time, and never for what makes a study INVALID."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from parity.errors import CannotStart
from parity.gate.waivers import apply_waivers
from parity.results.gate import Claim
from parity.results.waivers import Waiver, load_waivers

TODAY = date(2026, 11, 23)
FIELDS = {"claim": "c", "reason": "r", "by": "Ada", "granted": "2026-11-20", "expires": "2026-12-20"}


def write(path: Path, **fields: object) -> Path:
    waiver = {name: value for name, value in (FIELDS | fields).items() if value is not None}
    path.write_text(json.dumps({"waiver": [waiver]}))
    return path


def claim(id_: str, status: str = "fail", kind: str = "learning", **fields: object) -> Claim:
    return Claim.model_validate({"id": id_, "kind": kind, "status": status, "message": "it is worse"} | fields)


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    as_toml = tmp_path / "w.toml"
    lines = [f'{name} = "{FIELDS[name]}"' for name in ("claim", "reason", "by")]
    lines += [f"{name} = {FIELDS[name]}" for name in ("granted", "expires")]
    as_toml.write_text("[[waiver]]\n" + "\n".join(lines))
    assert load_waivers(as_toml) == load_waivers(write(tmp_path / "w.json")) == [Waiver.model_validate(FIELDS)]


REFUSED = {
    "no reason": ({"reason": None}, "waiver.0.reason: Field required"),
    "empty reason": ({"reason": " "}, "waiver.0.reason: String should have at least 1 character"),
    "nobody": ({"by": None}, "waiver.0.by: Field required"),
    "no end": ({"expires": None}, "waiver.0.expires: Field required"),
    "no date": ({"expires": "some day"}, "waiver.0.expires: Input should be a valid date"),
    "backwards": ({"expires": "2026-11-01"}, "waiver.0: expires 2026-11-01 before it was granted, 2026-11-20"),
    "for ever": ({"expires": "2099-01-01"}, "waiver.0: expires 2099-01-01, more than 180 days after"),
    "a field more": ({"until": "2026-12-01"}, "waiver.0.until: Extra inputs are not permitted"),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_a_waiver_that_is_not_whole_is_refused(wrong: str, tmp_path: Path) -> None:
    fields, words = REFUSED[wrong]
    path = write(tmp_path / "w.json", **fields)
    with pytest.raises(CannotStart) as caught:
        load_waivers(path)
    assert str(caught.value).startswith(
        f"{path} cannot be read: {words}"
    ) and "has claim, reason, by, granted, expires" in str(caught.value)


@pytest.mark.parametrize("text", ["[[waiver]", "waiver = 3", "[[waivers]]\nclaim = 'c'"])
def test_a_file_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "w.toml").write_text(text)
    with pytest.raises(CannotStart, match=r"w\.toml"):
        load_waivers(tmp_path / "w.toml")


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="there is no such file"):
        load_waivers(tmp_path / "none.toml")


def waiver(**fields: object) -> Waiver:
    return Waiver.model_validate(FIELDS | fields)


def test_a_glob_covers_claims_of_one_kind_only() -> None:
    claims = [claim("tiles.rllib.learning.final"), claim("tiles.rllib.learning.auc"), claim("tiles.sb3.learning.auc")]
    after, (use,) = apply_waivers([waiver(claim="tiles.rllib.learning.*")], claims, TODAY)
    assert [each.status for each in after] == ["waived", "waived", "fail"]
    assert use.covers == ["tiles.rllib.learning.final", "tiles.rllib.learning.auc"]
    with pytest.raises(CannotStart, match="matches claims on learning, throughput: a waiver is for claims of one kind"):
        apply_waivers([waiver(claim="*")], [*claims, claim("t", kind="throughput")], TODAY)


@pytest.mark.parametrize(
    ("fields", "status", "state", "after"),
    [
        ({}, "fail", "used", "waived"),
        ({}, "undecided", "used", "waived"),
        ({}, "pass", "unused", "pass"),
        ({}, "not_compared", "unused", "not_compared"),
        ({"claim": "other"}, "fail", "no_such_claim", "fail"),
        ({"granted": "2026-06-01", "expires": "2026-11-22"}, "fail", "expired", "fail"),
        ({"expires": "2026-11-23"}, "fail", "used", "waived"),
        ({"granted": "2026-11-24"}, "fail", "not_yet_granted", "fail"),
    ],
)
def test_what_becomes_of_a_waiver_is_said(fields: dict[str, object], status: str, state: str, after: str) -> None:
    (found,), (use,) = apply_waivers([waiver(**fields)], [claim("c", status)], TODAY)
    assert (use.state, found.status) == (state, after)
    assert use.message.startswith(f"the waiver of {use.claim} (Ada: r) ")


def test_what_makes_a_study_invalid_is_not_waived() -> None:
    (found,), (use,) = apply_waivers([waiver()], [claim("c", waivable=False)], TODAY)
    assert found.status == "fail" and use.state == "refused" and not use.covers
