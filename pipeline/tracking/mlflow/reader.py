"""Reader of an MLflow store: runs of trainings, their files, copies of their files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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


def _read(run: Any, experiments: Mapping[str, str]) -> StoredRun:
    info, data = run.info, run.data
    return StoredRun(
        info.run_id,
        info.run_name or info.run_id,
        info.start_time or 0,
        data.tags,
        data.params,
        data.metrics,
        info.status,
        {each.key: each.step for each in data.to_proto().metrics},
        experiments.get(info.experiment_id, ""),
    )


class MlflowReader(MlflowStore):
    """Store opened for reading runs."""

    def trainings(self, condition: str, most: int, order: Sequence[str] = ()) -> list[StoredRun]:
        """Runs with a run key in any experiment that match MLflow's filter.

        In MLflow's `order`, among equals the newest first.
        """
        experiments = {e.experiment_id: e.name for e in self._client.search_experiments()}
        query = " AND ".join(["tags.run_key LIKE '_%'", *([condition] if condition else [])])
        runs = self._pages(list(experiments), query, [*order, "start_time DESC"], most)
        return [_read(run, experiments) for run in runs]

    def _pages(
        self, experiments: list[str], query: str, order: list[str], most: int
    ) -> Iterator[Any]:
        token: str | None = None
        while most > 0:
            size = min(most, PAGE)
            page = self._client.search_runs(
                experiments, query, order_by=order, max_results=size, page_token=token
            )
            yield from page
            most, token = most - len(page), page.token
            if not token:
                return

    def files(self, run_id: str, folder: str) -> dict[str, int]:
        """Paths of the files in a folder of a run's artefacts, with their sizes; {} if none."""
        found = self._client.list_artifacts(run_id, folder)
        return {each.path: each.file_size or 0 for each in found if not each.is_dir}

    def last_step(self, run_id: str, keys: Sequence[str]) -> int | None:
        """The greatest step at which one of these metrics was logged; None if none was."""
        steps = [
            point.step for key in keys for point in self._client.get_metric_history(run_id, key)
        ]
        return max(steps, default=None)

    def download(self, run_id: str, file: str, into: Path) -> Path:
        """Copy an artefact into a folder that exists; returns the copy."""
        return Path(self._client.download_artifacts(run_id, file, str(into)))
