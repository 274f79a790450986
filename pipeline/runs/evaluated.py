"""Evaluated runs: their metrics, each with its protocol, from an MLflow run or evaluation.json."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gan.errors import GanError
from pipeline.console import one_line
from pipeline.evaluation.result import (
    CheckpointFacts,
    EvaluationResult,
    MetricResult,
    read_result,
)
from pipeline.tracking.mlflow.reader import StoredRun
from pipeline.training.identity import flatten

SHORT = 8  # digits of an id in a label


@dataclass(frozen=True)
class MetricValue:
    """A metric of a run. deviation: over latent seeds. Only equal protocols compare.

    protocol_parts: what the protocol is the digest of; only evaluation.json has them.
    """

    value: float
    deviation: float | None
    protocol: str
    protocol_parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluatedRun:
    """A run and its metrics.

    where: id of the MLflow run or path of the file; equal ones are the same run.
    data_settings: settings and digest of the training data by dotted key, as far as recorded.
    """

    name: str
    where: str
    run_id: str | None
    run_key: str | None
    cache_digest: str | None
    objective: str | None
    images_seen: int | None
    metrics: Mapping[str, MetricValue]
    data_settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name and id or file, for messages."""
        return f"{self.name} ({self.run_id[:SHORT] if self.run_id else self.where})"


def read_evaluation(file: Path) -> EvaluatedRun:
    """Read an evaluation.json of `gan evaluate`; GanError if the file is something else."""
    result = read_result(file)
    subject = result.subject if isinstance(result.subject, CheckpointFacts) else None
    lineage = subject.lineage if subject else {}
    settings = {k: str(v) for k, v in flatten({"cache": lineage.get("preprocess", {})}).items()}
    return EvaluatedRun(
        name=one_line(result.subject.name),
        where=str(file),
        run_id=None,
        run_key=subject.run_key if subject else None,
        cache_digest=subject.trained_on if subject else None,
        objective=None,
        images_seen=subject.images_seen if subject else None,
        metrics={
            key: MetricValue(
                each.value, each.deviation, each.protocol, _protocol_parts(each, result)
            )
            for key, each in result.metrics.items()
            if math.isfinite(each.value)
        },
        data_settings=settings | _dataset(lineage.get("snapshot")),
    )


def _dataset(digest: str | None) -> dict[str, str]:
    return {} if digest is None else {"dataset": str(digest)[:12]}


def _protocol_parts(metric: MetricResult, result: EvaluationResult) -> dict[str, str]:
    parts = {"number of real images": str(metric.reals)}
    if extractor := result.protocol.extractors.get(metric.extractor):
        parts |= {"extractor": extractor.digest, "precision": extractor.precision}
    if reference := result.references.get(metric.against or ""):
        parts["real images"] = reference.digest
    return parts


def evaluated_from(run: StoredRun) -> EvaluatedRun:
    """Read metrics of an MLflow run; GanError if it has none, or none with a protocol."""
    protocols = read_protocols(run)
    if protocols is None:
        measured = any(key.startswith(("fid_", "fd_")) for key in run.metrics)
        why = "its metrics have no protocol" if measured else "not evaluated yet"
        command = f"`gan evaluate --run {run.run_id[:SHORT]}`"
        raise GanError(f"{label_of(run)}: {why}; {command} does it")
    settings = {key: value for key, value in run.params.items() if key.startswith("cache.")}
    finite = {key: value for key, value in run.metrics.items() if math.isfinite(value)}
    return EvaluatedRun(
        name=one_line(run.name),
        where=run.run_id,
        run_id=run.run_id,
        run_key=run.tags["run_key"],
        cache_digest=run.tags.get("cache_digest"),
        objective=run.params.get("train.objective"),
        images_seen=best_of(run),
        metrics={
            key: MetricValue(finite[key], finite.get(f"deviation/{key}"), protocol)
            for key, protocol in protocols.items()
            if key in finite
        },
        data_settings=settings | _dataset(run.tags.get("snapshot_digest")),
    )


def read_protocols(run: StoredRun) -> dict[str, str] | None:
    """Read the protocols of a run's metrics by key; None where the tag is missing or damaged."""
    try:
        return {str(key): str(each) for key, each in json.loads(run.tags["protocols"]).items()}
    except (KeyError, ValueError, AttributeError):
        return None


def label_of(run: StoredRun) -> str:
    """Name and id of an MLflow run, for messages."""
    return f"{one_line(run.name)} ({run.run_id[:SHORT]})"


def best_of(run: StoredRun) -> int | None:
    """Images seen by the snapshot that evaluation chose; None if it is not known."""
    value = run.metrics.get("best_images_seen", math.nan)
    return int(value) if math.isfinite(value) else None
