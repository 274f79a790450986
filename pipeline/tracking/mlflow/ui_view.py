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
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from pipeline.tracking.descriptions import DESCRIPTION
from pipeline.tracking.mlflow.store import MlflowStore

VIEW = "training"  # its name in addresses
MENU = {"workflowType": "machine_learning"}  # else the UI's menu is that for chat programs
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
KIND_TAG = "mlflow.experimentKind"  # without it the UI asks what the experiment is for
PREPARED_TAG = "mlflow.prepared"  # the UI lists no tag that begins like this

RUNS = 50  # the newest, to see which metrics there are
GRID = "diversity/grid"  # has a point for each grid of pictures
LOSSES = ("loss/generator", "loss/discriminator")
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


def prepare_view(store: MlflowStore, experiment: str) -> str:
    """Give an experiment its view and its description; returns its path on the UI's server.

    Tags that a person changed stay, and a second call changes nothing. "" if there is no such
    experiment. Raises MLflow's errors.
    """
    known = store.client.get_experiment_by_name(experiment)
    if known is None:
        return ""
    runs = store.client.search_runs([known.experiment_id], max_results=RUNS)
    keys = {key for run in runs for key in run.data.metrics}
    newest = next((run.info.run_id for run in runs if GRID in run.data.metrics), None)
    grids = store.client.get_metric_history(newest, GRID) if newest else ()
    view = _build_view(keys, max((int(point.step) for point in grids), default=0))
    # as MLflow 3.16 and later save a view; `deflate;` and base64 is the UI's own packing
    packed = base64.b64encode(zlib.compress(json.dumps(view).encode())).decode()
    saved = {"name": "Training", "createdAt": known.creation_time or 0}
    wanted = {
        VIEW_TAG: json.dumps(saved | {"state": f"deflate;{packed}"}),
        DESCRIPTION: NOTE,
        KIND_TAG: "custom_model_development",
    }
    tags = known.tags | _write_unchanged(store, known, wanted)
    query = MENU | ({"viewStateShareKey": VIEW} if VIEW_TAG in tags else {})
    return f"/#/experiments/{known.experiment_id}/runs?{urlencode(query)}"


def _write_unchanged(
    store: MlflowStore, experiment: Any, wanted: Mapping[str, str]
) -> dict[str, str]:
    """Write the tags whose present text, or lack of one, is that of an earlier call."""
    tags = experiment.tags
    written: dict[str, str | None] = json.loads(tags.get(PREPARED_TAG, "{}"))
    changed = {
        key: text
        for key, text in wanted.items()
        if text != tags.get(key) and _digest(tags.get(key)) == written.get(key)
    }
    digests = written | {key: _digest(text) for key, text in changed.items()}
    new = changed | ({PREPARED_TAG: json.dumps(digests)} if changed else {})
    for key, text in new.items():
        store.client.set_experiment_tag(experiment.experiment_id, key, text)
    return new


def _digest(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def _build_view(metric_keys: Iterable[str], grid_step: int) -> dict[str, object]:
    """State of MLflow's page of runs: columns of the table, sections of charts.

    metric_keys: of the metrics that its runs have. grid_step: images seen, of the grid that is
    shown first.
    """
    distances = sorted(
        filter(DISTANCE.match, metric_keys),
        key=lambda key: (not key.startswith("fid_"), not key.startswith("fd_"), key),
    )
    metrics = (*LOSSES, *distances, "best_images_seen")
    names = {f"metrics.`{key}`": key for key in metrics}
    names |= {f"params.`{key}`": key for key in SETTINGS}
    names |= {f"attributes.`{key}`": key for key in ("Duration", "Dataset")}
    charts = {
        ("losses", "Losses over images seen", 2): [_curves(key) for key in LOSSES],
        ("pictures", "Pictures over images seen", 1): [
            _chart("IMAGE", key, imageKeys=[key], step=grid_step, showRunParams=False)
            for key in ("grid", "best")
        ],
        ("distances", "Distance to real images, less is better", 2): [
            _chart("BAR", key, metricKey=key) for key in distances
        ],
        ("balance", "Balance over images seen", 2): [
            _curves("score/real", "score/fake"),
            _curves(GRID),
        ],
    }
    return {
        "selectedColumns": list(names),
        "columnOrder": list(names),
        # pixels that show a column's whole name; MLflow's default is 100
        "columnWidths": {name: max(100, 7 * len(key) + 36) for name, key in names.items()},
        "runsHiddenMode": "FIRST_10_RUNS",
        "compareRunSections": [
            {"uuid": key, "name": title, "display": True, "isReordered": True, "columns": columns}
            | {"cardHeight": 420}  # pictures are 256 high, and need the rest
            for key, title, columns in charts
        ],
        "compareRunCharts": [
            chart | {"metricSectionId": key} for (key, *_), row in charts.items() for chart in row
        ],
        "isAccordionReordered": True,  # else the UI sorts the sections by name
        "hideEmptyCharts": True,
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0},
    }


def _chart(kind: str, key: str, **settings: object) -> dict[str, object]:
    known = {"uuid": f"{kind}-{key}", "type": kind, "deleted": False, "isGenerated": False}
    return known | {"runsCountToCompare": 10} | settings


def _curves(*keys: str) -> dict[str, object]:
    return _chart(
        "LINE",
        keys[0],
        metricKey=keys[0],
        selectedMetricKeys=list(keys),
        xAxisKey="step",
        xAxisScaleType="linear",
        scaleType="linear",
        yAxisKey="metric",
        lineSmoothness=0,
        useGlobalXaxisKey=True,
        useGlobalLineSmoothing=True,
    )
