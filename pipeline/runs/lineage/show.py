"""`gan lineage`: where a picture, checkpoint or run comes from, as text or JSON."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import typer
import yaml

from pipeline.paths import Paths
from pipeline.runs.lineage.check import Finding, check
from pipeline.runs.lineage.commands import recipe, short_way
from pipeline.runs.lineage.trace import HISTORY, Code, Lineage, as_json, trace
from pipeline.runs.lineage.tracked_row import PATCH

LABEL, WIDTH = 12, 99
UNKNOWN = "not known here"

EDITED = (
    "NOT what its settings, data and code give: this was edited, or belongs to something else. "
    "Trust none of it"
)


def run(subject: str, paths: Paths, *, check: bool, as_json: bool) -> None:
    """Print all that is known; with `check` look for it too, and exit with 1 if some is missing.

    GanError if the subject is no picture, checkpoint or run, or says nothing of itself.
    """
    found = trace(subject, paths)
    findings = _checked(found) if check else []
    typer.echo(_as_json(found, findings, check) if as_json else "\n".join(_text(found, findings)))
    if not all(each.there for each in findings):
        raise SystemExit(1)


def _checked(found: Lineage) -> list[Finding]:
    return check(found)


def _as_json(found: Lineage, findings: list[Finding], checked: bool) -> str:
    content = as_json(found)
    if checked:
        content["checks"] = [vars(each) for each in findings]
    return json.dumps(content, indent=1)  # in ASCII: lone surrogates too


def _text(found: Lineage, findings: list[Finding]) -> Iterator[str]:
    yield _shown(found.subject.given)
    if findings:
        for each in findings:
            label = "ok" if each.there else "missing"
            yield from _labelled(label, [f"{each.name}: {each.text}"])
        return
    for label, lines in _parts(found).items():
        yield from _labelled(label, lines)
    yield ""
    yield from _again(found)


def _labelled(label: str, lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        start = label if number == 0 else ""
        yield f"  {start:<{LABEL}}{_shown(line)}".rstrip()


def _shown(text: str) -> str:
    """Without what would move a terminal's cursor: a picture may come from anywhere."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _parts(found: Lineage) -> dict[str, list[str]]:
    return {
        "picture": _picture(found),
        "checkpoint": _checkpoint(found),
        "run": _run(found),
        "code": _code(found),
        "data": _data(found),
        "settings": _settings(found),
    }


def _picture(found: Lineage) -> list[str]:
    subject = found.subject
    if subject.kind != "picture":
        return []
    return [f"seeds {subject.seeds}, truncation {subject.truncation:g}"]


def _checkpoint(found: Lineage) -> list[str]:
    said = found.subject.said
    if not said:
        return [f"{UNKNOWN}: neither models/ nor the row has one"]
    size = f"{said['size']} px"
    lines = [f"{size}, {said['images_seen']:,} images seen, {said['weights']} weights"]
    return lines + ([f"sha256 {said['sha256']}"] if said.get("sha256") else [])


def _run(found: Lineage) -> list[str]:
    holds = found.subject.key_holds()
    lines = [found.name, f"key {found.subject.run_key}"]
    if holds is False:
        lines.append(EDITED)
    if holds is None:
        lines.append("the checkpoint is of an older format and doesn't say what the key is of")
    if found.row:
        lines.append(f"row {found.row.row.run_id}: {found.row.url}")
        return lines + ([f"on {found.row.machine}"] if found.row.machine else [])
    return [
        *lines,
        f"row {UNKNOWN}: {found.no_row}",
        "where it is tracked: MLFLOW_TRACKING_URI=... before this command, or in its repository",
    ]


def _code(found: Lineage) -> list[str]:
    digest = [f"digest {found.digest}"] if found.digest else []
    code = found.code
    if code is None:
        return [f"commit {UNKNOWN}: the row names it, or its repository's history", *digest]
    lines = [f"commit {code.commit}, by {code.source}"]
    if code.source == HISTORY:
        lines = [f"commit {code.commit}, which records its results ({HISTORY})"]
    if not code.here:
        remote = found.row.row.tags.get("git_remote") if found.row else None
        where = f"a clone of {remote}" if remote else "the run's own repository"
        lines.append(f"not in a repository here; it is in {where}, maybe after `git fetch --all`")
    return [*lines, *_changes(code), *digest]


def _changes(code: Code) -> list[str]:
    if code.dirty is None:
        return ["whether all was committed then is not known: Git was too slow to say"]
    if not code.dirty:
        return []
    kept = f"kept {'in part ' if code.partial else ''}on the row as {PATCH}"
    return [f"with uncommitted changes, {kept if code.patch else 'not kept'}"]


def _data(found: Lineage) -> list[str]:
    lineage = found.subject.lineage
    lines = []
    if found.source:
        rest = {key: value for key, value in found.source.items() if key != "source"}
        lines.append(f"{found.source.get('source')}: {_listed(rest)}")
    if counts := lineage.get("counts"):
        licences = "".join(f", {n} {name}" for name, n in lineage["licences"].items())
        lines.append(
            f"{counts.get('train')} to train on, {counts.get('holdout')} held out{licences}"
        )
    if found.snapshot:
        lines.append(f"snapshot digest {found.snapshot}")
    if found.cache_digest:
        lines.append(f"cache digest {found.cache_digest}")
    return lines or [UNKNOWN]


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _settings(found: Lineage) -> list[str]:
    decided = found.subject.decided
    if not decided:
        return [f"{UNKNOWN}, but the row's parameters have them" if found.row else UNKNOWN]
    shown = {
        "preprocess": found.subject.lineage["preprocess"],
        "model": decided["model"],
        "train": {"images": decided["images"], **decided["train"]},
    }
    text = yaml.safe_dump(shown, sort_keys=False, width=WIDTH - LABEL, default_flow_style=None)
    return text.splitlines()


def _again(found: Lineage) -> Iterator[str]:
    steps = recipe(found)
    if not steps:
        yield "no commit is known here, so there are no commands that make it again"
        return
    yield "once more, from nothing:"
    for step in steps:
        if step.why:
            yield f"  # {_shown(step.why)}"
        yield f"  {_shown(step.command)}"
    yield "or all of it, with a comparison:"
    yield f"  {_shown(short_way(found))}"
