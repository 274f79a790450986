"""`gan lineage`: the lineage of a picture, checkpoint or run, as text or JSON."""

import json
import shlex
from collections.abc import Iterator
from typing import Any

import typer
import yaml

from pipeline.console import without_secrets
from pipeline.paths import Paths
from pipeline.runs.lineage.check import KEY, Finding
from pipeline.runs.lineage.check import check as run_checks
from pipeline.runs.lineage.commands import FOLDER, list_steps
from pipeline.runs.lineage.trace import CHANGES, PATCH, Lineage, trace
from pipeline.tracking.mlflow.store import tracking_uri


def run(subject: str, paths: Paths, *, check: bool, as_json: bool) -> None:
    """Print the lineage, or with `check` whether all of it is available; if not, exit with 1.

    GanError if the subject is no picture, checkpoint or run, or has no metadata.
    """
    lineage = trace(subject, paths)
    findings = list(run_checks(lineage)) if check else []
    if as_json:
        checks = {"checks": [vars(each) for each in findings]} if check else {}
        content = _list_facts(lineage) | checks
        typer.echo(json.dumps(content, indent=1))  # in ASCII: lone surrogates too
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
        yield f"  {'ok' if each.there else 'missing':<12}{each.name}: {each.text}"


def _format_lineage(lineage: Lineage) -> Iterator[str]:
    """Known facts as YAML, notes, and the commands."""
    facts = _list_facts(lineage)
    for key in ("tags", "no_run"):
        facts["run"].pop(key)
    steps, command = facts.pop("commands"), facts.pop("reproduce")
    for name, part in facts.items():
        known = {key: value for key, value in part.items() if value not in (None, "", {})}
        text = yaml.safe_dump(
            {name: known},
            sort_keys=False,
            default_flow_style=None if name == "settings" else False,
            allow_unicode=True,
            width=99,
        )
        yield from text.splitlines()
    yield from (f"note: {note}" for note in _list_notes(lineage))
    if steps:
        yield from ("", "commands that make it again:", *(f"  {each}" for each in steps))
        yield from ("or one command, which also compares:", f"  {command}")


def _list_notes(lineage: Lineage) -> Iterator[str]:
    code, matches = lineage.code, lineage.subject.key_matches()
    if not lineage.subject.metadata:
        yield "no checkpoint of it is in models/ or among the artefacts of the MLflow run"
    elif matches is not True:
        yield f"run key: {KEY[matches]}"
    if lineage.run is None:
        yield (
            f"no MLflow run is known: {lineage.no_run}; if it is tracked elsewhere, set "
            "MLFLOW_TRACKING_URI=... before this command, or run this in its repository"
        )
    if code is None:
        yield "no commit is known, so there are no commands that make it again"
    else:
        if not code.available:
            remote = lineage.tag("git_remote")
            where = f"a clone of {remote}" if remote else "the run's own repository"
            yield f"the commit is not in this repository; look in {where}, or `git fetch --all`"
        if code.changes in CHANGES:
            yield CHANGES[code.changes]


def _list_facts(lineage: Lineage) -> dict[str, Any]:
    """All of it in plain values; unknown ones are null or empty."""
    subject, metadata, run = lineage.subject, lineage.subject.metadata, lineage.run
    stored, inputs = subject.stored_lineage, subject.key_inputs
    uri = without_secrets(tracking_uri(lineage.paths)).rstrip("/")
    settings = {name: inputs[name] for name in ("model", "train", "images") if inputs}
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
            "id": run.run_id if run else None,
            "url": run and (f"{uri}/#/runs/{run.run_id}" if uri.startswith("http") else "gan ui"),
            "machine": lineage.tag("hardware.gpu") or lineage.tag("hardware.cpu") or None,
            "tags": dict(run.tags) if run else {},
            "no_run": lineage.no_run or None,
        },
        "code": _describe_code(lineage),
        "data": {
            "cache_digest": lineage.cache_digest or None,
            "snapshot": lineage.dataset_digest or None,
            "md5": lineage.tag("data_md5") or None,
            "source": lineage.source,
            "licences": stored.get("licences", {}),
            "counts": stored.get("counts", {}),
        },
        "settings": {"preprocess": stored["preprocess"]} | settings if inputs else {},
        "commands": list_steps(lineage),
        "reproduce": f"gan reproduce {shlex.quote(subject.given)} --to {FOLDER}",
    }


def _describe_code(lineage: Lineage) -> dict[str, Any]:
    code, top = lineage.code, lineage.history.top
    dirty = {"none": False, "unknown": None}.get(code.changes, True) if code else None
    return {
        "digest": lineage.code_digest or None,
        "commit": code.commit if code else None,
        "commit_from": code.source if code else None,
        "here": code.available if code else None,
        "dirty": dirty,
        "patch": PATCH if code and code.has_patch else None,
        "patch_whole": code.complete if code and code.has_patch else None,
        "recorded": lineage.recorded_by,
        "repository": str(top) if top else None,
    }
