"""`gan register`: a generator as a version of a registered model of MLflow."""

import json
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gan.checkpoints import Origin, describe_checkpoint
from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.runs.checkpoint import checkpoint_of
from pipeline.tracking import rows as tracking
from pipeline.tracking.mlflow.store import tracking_uri
from pipeline.tracking.model.card import model_card, without_front
from pipeline.tracking.model.log_model import Weights, generator_only
from pipeline.tracking.model.registry import LONGEST, MlflowRegistry, Version
from pipeline.tracking.spool.sender import without_secrets

FILE = "evaluation.json"
PORT = 5001  # 5000 is the UI's
RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)

T = TypeVar("T")


def run(subject: str, paths: Paths, *, name: str, alias: str = "") -> None:
    """Register the best checkpoint of a run, or a checkpoint's file, and say how to use it.

    subject: a file, or a run as `pipeline.runs.find.Runs` takes it. alias: moves to the
    version, "" for none. The same checkpoint again makes no second version. GanError for invalid
    names, unknown runs, damaged files and stores that refuse.
    """
    _check(name, alias)
    with _weights(subject, paths) as (weights, row_id):
        store = _asked(paths, lambda: MlflowRegistry(tracking_uri(paths), paths.main_root))
        version = _asked(paths, lambda: _registered(store, weights, row_id, paths, name))
        if alias:
            _asked(paths, lambda: store.point(name, alias, version.number))
        sys.stdout.write(_told(weights.origin, version, name, alias, paths))


def _check(name: str, alias: str) -> None:
    if not name.strip() or re.search(r"[/:'\"\n]", name) or name in (".", ".."):
        raise GanError(f"--name {name!r}: a name without / : and quotes is needed")
    if alias and (not re.fullmatch(r"[\w-]{1,255}", alias) or RESERVED.fullmatch(alias)):
        raise GanError(
            f"--alias {alias!r}: letters, digits, _ and - are allowed; MLflow keeps `latest` and "
            "`v` with a number to itself"
        )


@contextmanager
def _weights(subject: str, paths: Paths) -> Iterator[tuple[Weights, str | None]]:
    """The generator that is meant, and its row if that is known."""
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        file = Path(subject)
        if file.is_file() and file.suffix != ".json":
            yield generator_only(file, Path(folder)), None
            return
        if file.suffix == ".pt":
            raise GanError(f"{subject}: no such checkpoint file")
        with checkpoint_of(subject, paths) as found:
            yield generator_only(found.file, Path(folder)), found.run_id


def _registered(
    store: MlflowRegistry, weights: Weights, row_id: str | None, paths: Paths, name: str
) -> Version:
    row_id = row_id or store.row_of(weights.origin.run_key) or _new_row(weights.origin, paths)
    found = _evaluation(store, weights, row_id, paths)
    card = None
    if found is not None or not store.has_model(row_id, weights):
        card = model_card(found["subject"] if found else _described(weights), found)
    model_id, text = store.logged(row_id, weights, card)
    return store.register(name, model_id, row_id, weights, _description(text))


def _described(weights: Weights) -> dict[str, Any]:
    return describe_checkpoint(weights.origin, sha256=weights.sha256)


def _new_row(origin: Origin, paths: Paths) -> str:
    """A row for a training that the store doesn't know."""
    row = tracking.attach(
        paths,
        experiment=tracking.experiment_name(),
        run_key=origin.run_key,
        name=origin.name,
        params={"model": origin.model},
        tags={"cache_digest": origin.cache_digest},
    )
    if origin.lineage:
        tracking.describe_training(row, origin.lineage)
    row.flush()
    row.tidy()
    if row.run_id is None:
        raise GanError("the store takes no row for this checkpoint; see the line above")
    return row.run_id


def _evaluation(
    store: MlflowRegistry, weights: Weights, row_id: str, paths: Paths
) -> Mapping[str, Any] | None:
    """What an evaluation of these very weights found: in reports/, else with the row."""
    if fits := _fitting(paths.reports / FILE, weights.origin):
        return fits
    if f"evaluation/{FILE}" not in store.files(row_id, "evaluation"):
        return None
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        file = store.download(row_id, f"evaluation/{FILE}", Path(folder))
        return _fitting(file, weights.origin)


def _fitting(file: Path, origin: Origin) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        about = content["subject"]
        same = (about["run_key"], about["images_seen"]) == (origin.run_key, origin.images_seen)
        return content if same and about["weights"] == "averaged" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _description(card: str) -> str:
    text = without_front(card)
    rest = "\n\nThe rest is in README.md, among the model's files."
    if len(text) <= LONGEST:
        return text
    return text[: LONGEST - len(rest)].rpartition("\n#")[0] + rest


def _told(origin: Origin, version: Version, name: str, alias: str, paths: Paths) -> str:
    what = f"{origin.name}, {origin.images_seen:,} images"
    already = "" if version.new else " already"
    place = f"models:/{name}{f'@{alias}' if alias else f'/{version.number}'}"
    uri = without_secrets(tracking_uri(paths))
    size = origin.size
    ask = '{"inputs": {"seed": [7]}, "params": {"output": "png"}}'
    serve = f"mlflow models serve -m {shlex.quote(place)} --env-manager local -p {PORT}"
    return (
        f"{what} is version {version.number} of {name}{already}: {place}\n"
        "\nin Python:\n"
        f"  import mlflow; mlflow.set_tracking_uri({uri!r})\n"
        f"  model = mlflow.pyfunc.load_model({place!r})\n"
        f'  model.predict({{"seed": [0, 1]}})  # (2, {size}, {size}, 3) uint8\n'
        "\nas a server:\n"
        f"  MLFLOW_TRACKING_URI={shlex.quote(uri)} {serve}\n"
        f"  curl -s http://127.0.0.1:{PORT}/invocations -H 'Content-Type: application/json' "
        f"-d '{ask}'\n"
    )


def _asked(paths: Paths, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except GanError:
        raise
    except Exception as error:
        text = without_secrets(" ".join(str(error).split()))
        place = without_secrets(tracking_uri(paths)).removeprefix("sqlite:///")
        if "ConnectionPool" in text:
            text = "the server does not answer"
        raise GanError(f"{place} can't register models: {text[:200]}") from None
