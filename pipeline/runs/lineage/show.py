"""`gan lineage`: the lineage of a picture, checkpoint or run, as text or JSON."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import typer
import yaml

from pipeline.console import without_secrets
from pipeline.paths import Paths
from pipeline.runs.lineage.check import Finding
from pipeline.runs.lineage.check import check as run_checks
from pipeline.runs.lineage.commands import list_steps, reproduce_command
from pipeline.runs.lineage.trace import HISTORY, PATCH, Code, Lineage, TrackedRun, trace
from pipeline.tracking.mlflow.store import tracking_uri

LABEL, WIDTH = 12, 99
UNKNOWN = "unknown"

EDITED = (
    "NOT the digest of its settings, data and code: the metadata was edited, or belongs to "
    "another file. Trust none of it"
)
CHANGES = {
    "whole": f"with uncommitted changes, kept as artefact {PATCH} of the MLflow run",
    "in part": f"with uncommitted changes, kept in part as artefact {PATCH} of the MLflow run",
    "lost": "with uncommitted changes, not kept",
    "unknown": "unknown whether there were uncommitted changes: Git did not answer in time",
}


def run(subject: str, paths: Paths, *, check: bool, as_json: bool) -> None:
    """Print the lineage, or with `check` whether all of it is available; if not, exit with 1.

    GanError if the subject is no picture, checkpoint or run, or has no metadata.
    """
    lineage = trace(subject, paths)
    findings = run_checks(lineage) if check else []
    if as_json:
        checks = {"checks": [vars(each) for each in findings]} if check else {}
        typer.echo(json.dumps(_as_json(lineage) | checks, indent=1))  # in ASCII: lone surrogates
    else:
        lines = _format_findings(findings) if check else _format_lineage(lineage)
        typer.echo("\n".join(map(_escape, [lineage.subject.given, *lines])))
    if not all(each.there for each in findings):
        raise SystemExit(1)


def _escape(text: str) -> str:
    """The text without control characters: a picture may come from anywhere."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _format_findings(findings: list[Finding]) -> Iterator[str]:
    for each in findings:
        yield f"  {'ok' if each.there else 'missing':<{LABEL}}{each.name}: {each.text}"


def _format_lineage(lineage: Lineage) -> Iterator[str]:
    subject = lineage.subject
    picture = [f"seeds {subject.seeds}, truncation {subject.truncation:g}"]
    parts = {
        "picture": picture if subject.kind == "picture" else [],
        "checkpoint": _describe_checkpoint(lineage),
        "run": _describe_run(lineage),
        "code": _describe_code(lineage),
        "data": _describe_data(lineage) or [UNKNOWN],
        "settings": _describe_settings(lineage),
    }
    for label, lines in parts.items():
        for number, line in enumerate(lines):
            yield f"  {'' if number else label:<{LABEL}}{line}".rstrip()
    yield ""
    yield from _format_commands(lineage)


def _describe_checkpoint(lineage: Lineage) -> list[str]:
    metadata = lineage.subject.metadata
    if not metadata:
        return [f"{UNKNOWN}: neither in models/ nor among the artefacts of the MLflow run"]
    size = f"{metadata['size']} px"
    lines = [f"{size}, {metadata['images_seen']:,} images seen, {metadata['weights']} weights"]
    return lines + ([f"sha256 {metadata['sha256']}"] if metadata.get("sha256") else [])


def _describe_run(lineage: Lineage) -> Iterator[str]:
    matches, run = lineage.subject.key_matches(), lineage.run
    yield lineage.name
    yield f"key {lineage.subject.run_key}"
    if matches is False:
        yield EDITED
    if matches is None:
        yield "a checkpoint of an older format, which does not record what the key is of"
    if run is None:
        yield f"MLflow run {UNKNOWN}: {lineage.no_run}"
        yield (
            "if it is tracked elsewhere: MLFLOW_TRACKING_URI=... before this command, or run this "
            "in its repository"
        )
        return
    yield f"MLflow run {run.id}: {_url(run, lineage.paths)}"
    tags = run.tags
    torch = tags.get("torch") or tags.get("version.torch")
    machine = [tags.get("hardware.gpu") or tags.get("hardware.cpu"), tags.get("precision")]
    if known := [part for part in (*machine, f"torch {torch}" if torch else None) if part]:
        yield f"on {', '.join(known)}"


def _url(run: TrackedRun, paths: Paths) -> str:
    """Address in the server's UI, or the command that opens the local store."""
    uri = without_secrets(tracking_uri(paths))
    return f"{uri.rstrip('/')}/#/runs/{run.id}" if uri.startswith("http") else "gan ui"


def _describe_code(lineage: Lineage) -> Iterator[str]:
    code = lineage.code
    if code is None:
        yield f"commit {UNKNOWN}: neither an MLflow run nor the history of a repository names it"
    else:
        yield from _describe_commit(code, lineage)
    if lineage.code_digest:
        yield f"digest {lineage.code_digest}"


def _describe_commit(code: Code, lineage: Lineage) -> Iterator[str]:
    by = f"by {code.source}"
    if code.source == HISTORY:
        by = f"which records its results ({HISTORY})"
    yield f"commit {code.commit}, {by}"
    if not code.available:
        remote = lineage.tag("git_remote")
        where = f"a clone of {remote}" if remote else "the run's own repository"
        yield f"not in this repository; look in {where}, or `git fetch --all`"
    if code.changes in CHANGES:
        yield CHANGES[code.changes]


def _describe_data(lineage: Lineage) -> list[str]:
    stored, source = lineage.subject.stored_lineage, lineage.source
    lines = []
    if source:
        rest = [f"{key} {value}" for key, value in source.items() if key != "source"]
        lines.append(f"{source.get('source')}: {', '.join(rest)}")
    if counts := stored.get("counts"):
        licences = "".join(f", {n} {name}" for name, n in stored["licences"].items())
        lines.append(
            f"{counts.get('train')} training images, {counts.get('holdout')} held out{licences}"
        )
    digests = {"dataset": lineage.dataset_digest, "cache": lineage.cache_digest}
    return lines + [f"{name} digest {digest}" for name, digest in digests.items() if digest]


def _describe_settings(lineage: Lineage) -> list[str]:
    settings = _list_settings(lineage)
    if not settings:
        return [f"{UNKNOWN}; see the parameters of the MLflow run" if lineage.run else UNKNOWN]
    settings["train"] = {"images": settings.pop("images"), **settings["train"]}
    text = yaml.safe_dump(settings, sort_keys=False, width=WIDTH - LABEL, default_flow_style=None)
    return text.splitlines()


def _list_settings(lineage: Lineage) -> dict[str, Any]:
    """Sections of params.yaml that decide the training; {} if not recorded."""
    stored, inputs = lineage.subject.stored_lineage, lineage.subject.key_inputs
    if not inputs:
        return {}
    names = ("model", "train", "images")
    return {"preprocess": stored["preprocess"]} | {name: inputs[name] for name in names}


def _format_commands(lineage: Lineage) -> Iterator[str]:
    steps = list_steps(lineage)
    if not steps:
        yield "no commit is known, so there are no commands that make it again"
        return
    yield "commands that make it again:"
    for comment, command in steps:
        if comment:
            yield f"  # {comment}"
        yield f"  {command}"
    yield "or one command, which also compares:"
    yield f"  {reproduce_command(lineage)}"


def _as_json(lineage: Lineage) -> dict[str, Any]:
    """All of it in plain values; unknown ones are null or empty."""
    subject, metadata, run = lineage.subject, lineage.subject.metadata, lineage.run
    stored = subject.stored_lineage
    return {
        "subject": {
            "kind": subject.kind,
            "given": subject.given,
            "seeds": subject.seeds or None,
            "truncation": subject.truncation if subject.kind == "picture" else None,
        },
        "checkpoint": {
            key: metadata.get(key) for key in ("sha256", "images_seen", "weights", "size")
        },
        "run": {
            "name": lineage.name,
            "key": subject.run_key,
            "key_holds": subject.key_matches(),
            "id": run.id if run else None,
            "url": _url(run, lineage.paths) if run else None,
            "tags": dict(run.tags) if run else {},
            "no_run": lineage.no_run or None,
        },
        "code": _code_as_json(lineage),
        "data": {
            "cache_digest": lineage.cache_digest or None,
            "snapshot": lineage.dataset_digest or None,
            "md5": lineage.tag("data_md5") or None,
            "source": lineage.source,
            "licences": stored.get("licences", {}),
            "counts": stored.get("counts", {}),
        },
        "settings": _list_settings(lineage),
        "commands": [command for _, command in list_steps(lineage)],
        "reproduce": reproduce_command(lineage),
    }


def _code_as_json(lineage: Lineage) -> Mapping[str, Any]:
    code, top = lineage.code, lineage.history.top
    known: dict[str, Any] = dict.fromkeys(
        ("commit", "commit_from", "here", "dirty", "patch", "patch_whole")
    )
    if code:
        known = {
            "commit": code.commit,
            "commit_from": code.source,
            "here": code.available,
            "dirty": {"none": False, "unknown": None}.get(code.changes, True),
            "patch": PATCH if code.has_patch else None,
            "patch_whole": code.complete if code.has_patch else None,
        }
    return known | {
        "digest": lineage.code_digest or None,
        "recorded": lineage.recorded_by,
        "repository": str(top) if top else None,
    }
