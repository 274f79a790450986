"""Evaluated runs: their metrics, each with its protocol, from an MLflow run or evaluation.json."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.console import one_line
from pipeline.tracking.mlflow.reader import StoredRun
from pipeline.tracking.run import flatten

FORMAT = "avatar-gan evaluation 1"
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
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(content["format"])
        return _read_result(content, str(file))
    except OSError as error:
        raise GanError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise GanError(
            f"{file}: no evaluation of gan, or damaged (expected format {FORMAT!r}); "
            "`gan evaluate --out` writes one"
        ) from None


def _read_result(content: Mapping[str, Any], where: str) -> EvaluatedRun:
    subject = content["subject"]
    return EvaluatedRun(
        name=one_line(subject["name"]),
        where=where,
        run_id=None,
        run_key=subject.get("run_key"),
        cache_digest=subject.get("trained_on"),
        objective=None,
        images_seen=subject.get("images_seen"),
        metrics={
            key: MetricValue(
                each["value"], each["deviation"], each["protocol"], _protocol_parts(each, content)
            )
            for key, each in content["metrics"].items()
            if math.isfinite(each["value"])
        },
        data_settings=_data_settings(subject.get("lineage", {})),
    )


def _data_settings(lineage: Mapping[str, Any]) -> dict[str, str]:
    settings = dict(flatten({"cache": lineage.get("preprocess", {})}))
    return settings | _dataset(lineage.get("snapshot"))


def _dataset(digest: str | None) -> dict[str, str]:
    return {} if digest is None else {"dataset": str(digest)[:12]}


def _protocol_parts(metric: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, str]:
    extractors, references = content["protocol"]["extractors"], content["references"]
    extractor = extractors.get(metric["extractor"], {})
    reference = references.get(metric["against"] or "", {})
    parts = {
        "extractor": extractor.get("digest"),
        "precision": extractor.get("precision"),
        "extractor's protocol": extractor.get("protocol"),
        "real images": reference.get("digest"),
        "number of real images": metric["reals"],
    }
    return {name: str(value) for name, value in parts.items() if value is not None}


def evaluated_from(run: StoredRun) -> EvaluatedRun:
    """Metrics of an MLflow run; GanError if it has none, or none with a protocol."""
    return EvaluatedRun(
        name=one_line(run.name),
        where=run.run_id,
        run_id=run.run_id,
        run_key=run.tags["run_key"],
        cache_digest=run.tags.get("cache_digest"),
        objective=run.params.get("train.objective"),
        images_seen=to_count(run.metrics.get("best_images_seen")),
        metrics={
            key: MetricValue(value, _finite(run.metrics.get(f"deviation/{key}")), protocol)
            for key, protocol in _read_protocols(run).items()
            if (value := _finite(run.metrics.get(key))) is not None
        },
        data_settings={key: value for key, value in run.params.items() if key.startswith("cache.")}
        | _dataset(run.tags.get("snapshot_digest")),
    )


def _read_protocols(run: StoredRun) -> dict[str, str]:
    command = f"`gan evaluate --run {run.run_id[:SHORT]}`"
    if "protocols" not in run.tags:
        if any(key.startswith(("fid_", "fd_")) for key in run.metrics):
            raise GanError(
                f"{label_of(run)}: its metrics have no protocol and cannot be compared; {command} "
                "measures again"
            )
        raise GanError(f"{label_of(run)}: not evaluated yet; {command} does it")
    try:
        return {str(key): str(each) for key, each in json.loads(run.tags["protocols"]).items()}
    except (ValueError, AttributeError):
        raise GanError(
            f"{label_of(run)}: its tag `protocols` is damaged; {command} measures again"
        ) from None


def label_of(run: StoredRun) -> str:
    """Name and id of an MLflow run, for messages."""
    return f"{one_line(run.name)} ({run.run_id[:SHORT]})"


def to_count(value: float | None) -> int | None:
    """A count that MLflow stores as a float; None if it is not finite."""
    return None if value is None or not math.isfinite(value) else int(value)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
