"""`gan lineage`: the lineage of a picture, checkpoint or run, as text or JSON."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import typer
import yaml

from pipeline.paths import Paths
from pipeline.runs.lineage.check import Finding
from pipeline.runs.lineage.check import check as run_checks
from pipeline.runs.lineage.commands import list_steps, reproduce_command
from pipeline.runs.lineage.trace import HISTORY, Code, Lineage, as_json, trace
from pipeline.runs.lineage.tracked_run import PATCH

LABEL, WIDTH = 12, 99
UNKNOWN = "unknown"

EDITED = (
    "NOT the digest of its settings, data and code: the metadata was edited, or belongs to "
    "another file. Trust none of it"
)


def run(subject: str, paths: Paths, *, check: bool, as_json: bool) -> None:
    """Print the lineage, or with `check` whether all of it is available; if not, exit with 1.

    GanError if the subject is no picture, checkpoint or run, or has no metadata.
    """
    lineage = trace(subject, paths)
    findings = run_checks(lineage) if check else []
    lines = _text(lineage, findings)
    typer.echo(_as_json(lineage, findings, check) if as_json else "\n".join(lines))
    if not all(each.there for each in findings):
        raise SystemExit(1)


def _as_json(lineage: Lineage, findings: list[Finding], checked: bool) -> str:
    content = as_json(lineage)
    if checked:
        content["checks"] = [vars(each) for each in findings]
    return json.dumps(content, indent=1)  # in ASCII: lone surrogates too


def _text(lineage: Lineage, findings: list[Finding]) -> Iterator[str]:
    yield _escape(lineage.subject.given)
    if findings:
        for each in findings:
            label = "ok" if each.there else "missing"
            yield from _label(label, [f"{each.name}: {each.text}"])
        return
    for label, lines in _parts(lineage).items():
        yield from _label(label, lines)
    yield ""
    yield from _commands(lineage)


def _label(label: str, lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        start = label if number == 0 else ""
        yield f"  {start:<{LABEL}}{_escape(line)}".rstrip()


def _escape(text: str) -> str:
    """The text without control characters: a picture may come from anywhere."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _parts(lineage: Lineage) -> dict[str, list[str]]:
    return {
        "picture": _picture(lineage),
        "checkpoint": _checkpoint(lineage),
        "run": _run(lineage),
        "code": _code(lineage),
        "data": _data(lineage),
        "settings": _settings(lineage),
    }


def _picture(lineage: Lineage) -> list[str]:
    subject = lineage.subject
    if subject.kind != "picture":
        return []
    return [f"seeds {subject.seeds}, truncation {subject.truncation:g}"]


def _checkpoint(lineage: Lineage) -> list[str]:
    metadata = lineage.subject.metadata
    if not metadata:
        return [f"{UNKNOWN}: neither in models/ nor among the artefacts of the MLflow run"]
    size = f"{metadata['size']} px"
    lines = [f"{size}, {metadata['images_seen']:,} images seen, {metadata['weights']} weights"]
    return lines + ([f"sha256 {metadata['sha256']}"] if metadata.get("sha256") else [])


def _run(lineage: Lineage) -> list[str]:
    matches = lineage.subject.key_matches()
    lines = [lineage.name, f"key {lineage.subject.run_key}"]
    if matches is False:
        lines.append(EDITED)
    if matches is None:
        lines.append("a checkpoint of an older format, which does not record what the key is of")
    if run := lineage.run:
        lines.append(f"MLflow run {run.id}: {run.url}")
        return lines + ([f"on {run.machine}"] if run.machine else [])
    return [
        *lines,
        f"MLflow run {UNKNOWN}: {lineage.no_run}",
        "if it is tracked elsewhere: MLFLOW_TRACKING_URI=... before this command, or run this in "
        "its repository",
    ]


def _code(lineage: Lineage) -> list[str]:
    digest = [f"digest {lineage.code_digest}"] if lineage.code_digest else []
    code = lineage.code
    if code is None:
        return [
            f"commit {UNKNOWN}: neither an MLflow run nor the history of a repository names it",
            *digest,
        ]
    lines = [f"commit {code.commit}, by {code.source}"]
    if code.source == HISTORY:
        lines = [f"commit {code.commit}, which records its results ({HISTORY})"]
    if not code.available:
        remote = lineage.tag("git_remote")
        where = f"a clone of {remote}" if remote else "the run's own repository"
        lines.append(f"not in this repository; look in {where}, or `git fetch --all`")
    return [*lines, *_changes(code), *digest]


def _changes(code: Code) -> list[str]:
    if code.dirty is None:
        return ["unknown whether there were uncommitted changes: Git did not answer in time"]
    if not code.dirty:
        return []
    kept = f"kept {'in part ' if code.partial else ''}as artefact {PATCH} of the MLflow run"
    return [f"with uncommitted changes, {kept if code.has_patch else 'not kept'}"]


def _data(lineage: Lineage) -> list[str]:
    stored, source = lineage.subject.stored_lineage, lineage.source
    lines = []
    if source:
        rest = {key: value for key, value in source.items() if key != "source"}
        lines.append(f"{source.get('source')}: {_join(rest)}")
    if counts := stored.get("counts"):
        licences = "".join(f", {n} {name}" for name, n in stored["licences"].items())
        lines.append(
            f"{counts.get('train')} training images, {counts.get('holdout')} held out{licences}"
        )
    if lineage.dataset_digest:
        lines.append(f"dataset digest {lineage.dataset_digest}")
    if lineage.cache_digest:
        lines.append(f"cache digest {lineage.cache_digest}")
    return lines or [UNKNOWN]


def _join(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _settings(lineage: Lineage) -> list[str]:
    inputs = lineage.subject.key_inputs
    if not inputs:
        return [f"{UNKNOWN}; see the parameters of the MLflow run" if lineage.run else UNKNOWN]
    settings = {
        "preprocess": lineage.subject.stored_lineage["preprocess"],
        "model": inputs["model"],
        "train": {"images": inputs["images"], **inputs["train"]},
    }
    text = yaml.safe_dump(settings, sort_keys=False, width=WIDTH - LABEL, default_flow_style=None)
    return text.splitlines()


def _commands(lineage: Lineage) -> Iterator[str]:
    steps = list_steps(lineage)
    if not steps:
        yield "no commit is known, so there are no commands that make it again"
        return
    yield "commands that make it again:"
    for step in steps:
        if step.comment:
            yield f"  # {_escape(step.comment)}"
        yield f"  {_escape(step.command)}"
    yield "or one command, which also compares:"
    yield f"  {_escape(reproduce_command(lineage))}"
