"""An evaluated run: its numbers and by which protocols they were measured, from row or file."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.tracking.mlflow.reader import StoredRun
from pipeline.tracking.run import flat

FORMAT = "avatar-gan evaluation 1"
SNAPSHOT = "pictures"
SHORT = 8  # digits of an id in a label


@dataclass(frozen=True)
class Number:
    """One metric of a run. deviation: over latent seeds; protocol: only equal ones compare.

    about: what the protocol is made of, where the file says so.
    """

    value: float
    deviation: float | None
    protocol: str
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluated:
    """A run with its numbers.

    where: the row's id or the file, which tells runs apart. data: what made the data that the run
    learned from, by dotted names, where it says so.
    """

    name: str
    where: str
    run_id: str | None
    run_key: str | None
    cache_digest: str | None
    objective: str | None
    images_seen: int | None
    metrics: Mapping[str, Number]
    data: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What messages call it, in one line."""
        return f"{self.name} ({self.run_id[:SHORT] if self.run_id else self.where})"


def from_file(file: Path) -> Evaluated:
    """What `gan evaluate` wrote as evaluation.json; GanError if the file is something else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(content["format"])
        return _from_result(content, str(file))
    except OSError as error:
        raise GanError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise GanError(
            f"{file}: no evaluation of gan, or damaged (expected format {FORMAT!r}); "
            "`gan evaluate --out` writes one"
        ) from None


def _from_result(content: Mapping[str, Any], where: str) -> Evaluated:
    subject = content["subject"]
    return Evaluated(
        name=one_line(subject["name"]),
        where=where,
        run_id=None,
        run_key=subject.get("run_key"),
        cache_digest=subject.get("trained_on"),
        objective=None,
        images_seen=subject.get("images_seen"),
        metrics={
            key: Number(each["value"], each["deviation"], each["protocol"], _about(each, content))
            for key, each in content["metrics"].items()
            if math.isfinite(each["value"])
        },
        data=_data(subject.get("lineage", {})),
    )


def _data(lineage: Mapping[str, Any]) -> dict[str, str]:
    """As a row has it: parameters of the cache, and the digest of the pictures."""
    found = dict(flat({"cache": lineage.get("preprocess", {})}))
    return found | ({SNAPSHOT: str(lineage["snapshot"])[:12]} if "snapshot" in lineage else {})


def _about(metric: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, str]:
    """What two protocols under one key may differ in."""
    extractors, references = content["protocol"]["extractors"], content["references"]
    extractor = extractors.get(metric["extractor"], {})
    reference = references.get(metric["against"] or "", {})
    known = {
        "extractor": extractor.get("digest"),
        "precision": extractor.get("precision"),
        "extractor's protocol": extractor.get("protocol"),
        "real images": reference.get("digest"),
        "number of real images": metric["reals"],
    }
    return {name: str(value) for name, value in known.items() if value is not None}


def from_row(row: StoredRun) -> Evaluated:
    """The numbers on a row; GanError if there are none, or none that say how they were made."""
    protocols = _protocols(row)
    return Evaluated(
        name=one_line(row.name),
        where=row.run_id,
        run_id=row.run_id,
        run_key=row.tags["run_key"],
        cache_digest=row.tags.get("cache_digest"),
        objective=row.params.get("train.objective"),
        images_seen=whole(row.metrics.get("best_images_seen")),
        metrics={
            key: Number(value, _finite(row.metrics.get(f"deviation/{key}")), protocol)
            for key, protocol in protocols.items()
            if (value := _finite(row.metrics.get(key))) is not None
        },
        data={key: value for key, value in row.params.items() if key.startswith("cache.")}
        | ({SNAPSHOT: row.tags["snapshot_digest"][:12]} if "snapshot_digest" in row.tags else {}),
    )


def _protocols(row: StoredRun) -> dict[str, str]:
    again = f"`gan evaluate --run {row.run_id[:SHORT]}`"
    if "protocols" not in row.tags:
        if any(key.startswith(("fid_", "fd_")) for key in row.metrics):
            raise GanError(
                f"{label_of(row)}: its numbers do not say by which protocol they were measured; "
                f"{again} measures again"
            )
        raise GanError(f"{label_of(row)}: not evaluated yet; {again} does it")
    try:
        return {str(key): str(each) for key, each in json.loads(row.tags["protocols"]).items()}
    except (ValueError, AttributeError):
        raise GanError(f"{label_of(row)}: its tag `protocols` is damaged; {again}") from None


def label_of(row: StoredRun) -> str:
    """What messages call a row."""
    return f"{one_line(row.name)} ({row.run_id[:SHORT]})"


def one_line(text: str) -> str:
    """The text without line breaks and double spaces."""
    return " ".join(text.split())


def whole(value: float | None) -> int | None:
    """A count that a tracker made a float of."""
    return None if value is None or not math.isfinite(value) else int(value)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
