"""Runs of trainings in an MLflow store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.tracking.mlflow.store import MlflowStore

PAGE = 500  # a server answers within seconds, which is all that the client waits for


@dataclass(frozen=True)
class StoredRun:
    """MLflow run of a training.

    started: milliseconds since 1970; metrics: latest values, `steps`: at which; experiment: name.
    """

    run_id: str
    name: str
    started: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    status: str = ""
    steps: Mapping[str, int] = field(default_factory=dict)
    experiment: str = ""


def search_trainings(
    store: MlflowStore, condition: str, most: int, order: Sequence[str] = ()
) -> list[StoredRun]:
    """Runs with a run key in any experiment that match MLflow's filter.

    In MLflow's `order`, among equals the newest first.
    """
    experiments = {each.experiment_id: each.name for each in store.client.search_experiments()}
    query = " AND ".join(["tags.run_key LIKE '_%'", *([condition] if condition else [])])
    runs: list[Any] = []
    token: str | None = ""
    while token is not None and len(runs) < most:
        page = store.client.search_runs(
            list(experiments),
            query,
            order_by=[*order, "start_time DESC"],
            max_results=min(most - len(runs), PAGE),
            page_token=token or None,
        )
        runs += page
        token = page.token or None
    return [
        StoredRun(
            run.info.run_id,
            run.info.run_name or run.info.run_id,
            run.info.start_time or 0,
            run.data.tags,
            run.data.params,
            run.data.metrics,
            run.info.status,
            {each.key: each.step for each in run.data.to_proto().metrics},
            experiments.get(run.info.experiment_id, ""),
        )
        for run in runs
    ]
