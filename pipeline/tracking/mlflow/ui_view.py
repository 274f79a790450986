"""First view of MLflow's UI: columns, curves and pictures, and a note on their meaning.

By default MLflow's table of runs shows no metric, and its charts are in alphabetical order. Both
follow from the state of a view, which MLflow's UI keeps as a tag of the experiment and takes from
the address. The state's format is the UI's own; for one that it doesn't understand it shows the
default page.
"""

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from pipeline.tracking.descriptions import DESCRIPTION
from pipeline.tracking.mlflow.store import MlflowStore

VIEW = "training"
"""Name of the view in addresses."""

MENU = {"workflowType": "machine_learning"}
"""Part of the UI's menu for model training; without it the part for chat programs shows."""

VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
KIND_TAG = "mlflow.experimentKind"  # without it the UI asks what the experiment is for
PREPARED_TAG = "mlflow.prepared"  # the UI lists no tag that begins like this

RUNS = 50  # the newest, to see which metrics there are
GRID = "diversity/grid"  # has a point for each grid of pictures
FIRST_COLUMNS = ("loss/generator", "loss/discriminator")
SETTINGS = ("train.objective", "model.generator.width", "train.images", "train.seed")
DISTANCE = re.compile(r"(fid|fd|kid|kd)_(?!inf_|se_)(?!.*_holdout)")

NOTE = """\
One run is one training. **Step** on every x axis is *images seen*: real images shown to the
discriminator.

* `loss/...`, `score/...`, `gradient_norm/...`: means since the point before.
* `fid_10k`, `fd_lite0_5k`, `kid_...`, `kd_...`: distances to the real images, less is better; the
  number counts the generated images, `lite0` is the feature extractor. They belong to the snapshot
  of `best_images_seen`. Compare only equal names, or ask `gan compare`, which checks more.
* Pictures: `grid` shows the same latents through training (move the slider), `best` the best
  snapshot, `closest` its pictures beside the training images nearest to them.
* Artefacts: `evaluation/report.html`, checkpoints, and the uncommitted patch, if there was one.

Tags name the commit, the digests of code and data, and the machine. More: docs/tracking.md.
"""


class MlflowView(MlflowStore):
    """Store opened to prepare the view of an experiment."""

    def prepare(self, experiment: str) -> str:
        """Prepare an experiment's view; returns its path on the server.

        "" if there is no such experiment. Raises MLflow's errors.
        """
        known = self._client.get_experiment_by_name(experiment)
        if known is None:
            return ""
        runs = self._client.search_runs([known.experiment_id], max_results=RUNS)
        keys = {key for run in runs for key in run.data.metrics}
        step = self._last_grid([run.info.run_id for run in runs if GRID in run.data.metrics])
        prepare_view(self._client, known.experiment_id, keys, step)
        has_view = VIEW_TAG in self._client.get_experiment(known.experiment_id).tags
        query = MENU | ({"viewStateShareKey": VIEW} if has_view else {})
        return f"/#/experiments/{known.experiment_id}/runs?{urlencode(query)}"

    def _last_grid(self, newest_first: Sequence[str]) -> int:
        points = (self._client.get_metric_history(each, GRID) for each in newest_first[:1])
        return max((int(point.step) for history in points for point in history), default=0)


def prepare_view(
    client: Any, experiment_id: str, metric_keys: Iterable[str], grid_step: int = 0
) -> None:
    """Give an experiment its view and its description; tags that a person changed stay.

    metric_keys: of the metrics that its runs have. grid_step: images seen, of the grid that is
    shown first. A second call changes nothing.
    """
    experiment = client.get_experiment(experiment_id)
    wanted = {
        VIEW_TAG: _envelope(build_view(metric_keys, grid_step), experiment.creation_time or 0),
        DESCRIPTION: NOTE,
        KIND_TAG: "custom_model_development",
    }
    written = _digests_written(experiment.tags)
    ours = [key for key in wanted if _digest(experiment.tags.get(key)) == written.get(key)]
    changed = {key: wanted[key] for key in ours if wanted[key] != experiment.tags.get(key)}
    for key, value in changed.items():
        client.set_experiment_tag(experiment_id, key, value)
    if changed:
        now = written | {key: _digest(value) for key, value in changed.items()}
        client.set_experiment_tag(experiment_id, PREPARED_TAG, json.dumps(now))


def _digest(value: str | None) -> str | None:
    return None if value is None else hashlib.sha256(value.encode()).hexdigest()


def _digests_written(tags: Mapping[str, str]) -> dict[str, str | None]:
    """Digests of the texts that an earlier call wrote, by tag."""
    try:
        return dict(json.loads(tags.get(PREPARED_TAG, "{}")))
    except (ValueError, TypeError):
        return {}


def _envelope(state: Mapping[str, object], created: int) -> str:
    """A view as MLflow 3.16 and later save one; `deflate;` and base64 is the UI's own packing."""
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    return json.dumps({"name": "Training", "createdAt": created, "state": f"deflate;{packed}"})


def build_view(metric_keys: Iterable[str], grid_step: int = 0) -> dict[str, object]:
    """State of MLflow's page of runs: columns of the table, sections of charts.

    For the arguments see `prepare_view`.
    """
    distances = sorted(filter(DISTANCE.match, metric_keys), key=_fid_first)
    sections = list(_sections(distances, grid_step))
    columns = list(_columns(distances))
    return {
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {each: _width(each) for each in columns},
        "runsHiddenMode": "FIRST_10_RUNS",
        "compareRunSections": [section for section, _ in sections],
        "compareRunCharts": [chart for _, charts in sections for chart in charts],
        "isAccordionReordered": True,  # else the UI sorts the sections by name
        "hideEmptyCharts": True,
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0},
    }


def _width(column: str) -> int:
    """Width in pixels that shows a column's whole name; MLflow's default is 100."""
    return max(100, 7 * len(column.split("`")[1]) + 36)


def _fid_first(key: str) -> tuple[bool, bool, str]:
    return not key.startswith("fid_"), not key.startswith("fd_"), key


def _columns(distances: Sequence[str]) -> Iterator[str]:
    for key in (*FIRST_COLUMNS, *distances, "best_images_seen"):
        yield f"metrics.`{key}`"
    for key in SETTINGS:
        yield f"params.`{key}`"
    yield "attributes.`Duration`"
    yield "attributes.`Dataset`"


def _sections(
    distances: Sequence[str], grid_step: int
) -> Iterator[tuple[dict[str, object], list[Any]]]:
    losses = [_curves(key) for key in FIRST_COLUMNS]
    yield _section("losses", "Losses over images seen", losses, columns=2)
    pictures = [_pictures("grid", grid_step), _pictures("best", grid_step)]
    yield _section("pictures", "Pictures over images seen", pictures, columns=1)
    bars = [_bars(key) for key in distances]
    yield _section("distances", "Distance to real images, less is better", bars, columns=2)
    balance = [
        _curves("score/real", "score/fake"),
        _curves(GRID),
    ]
    yield _section("balance", "Balance over images seen", balance, columns=2)


def _section(
    key: str, title: str, charts: list[dict[str, object]], columns: int
) -> tuple[dict[str, object], list[dict[str, object]]]:
    section = {"uuid": key, "name": title, "display": True, "isReordered": True}
    section |= {"columns": columns, "cardHeight": 420}  # pictures are 256 high, and need the rest
    return section, [chart | {"metricSectionId": key} for chart in charts]


def _chart(kind: str, key: str) -> dict[str, object]:
    known = {"uuid": f"{kind}-{key}", "type": kind, "deleted": False, "isGenerated": False}
    return known | {"runsCountToCompare": 10}


def _curves(*keys: str) -> dict[str, object]:
    return _chart("LINE", keys[0]) | {
        "metricKey": keys[0],
        "selectedMetricKeys": list(keys),
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "yAxisKey": "metric",
        "lineSmoothness": 0,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _bars(key: str) -> dict[str, object]:
    return _chart("BAR", key) | {"metricKey": key}


def _pictures(key: str, step: int) -> dict[str, object]:
    chart = _chart("IMAGE", key) | {"imageKeys": [key], "step": step}
    return chart | {"showRunParams": False}  # all hundred of them, above each picture
