"""Runs of the stages that made a training's data, found by the digests that they share."""

from typing import Any

SHARED = {"scrape": "snapshot_digest", "preprocess": "cache_digest", "reference": "cache_digest"}
"""Tag that the run of a stage shares with the trainings that used its result."""


def link_stages(client: Any, run_id: str) -> None:
    """Tag a training with the newest run of each stage before it; its evaluation does it again."""
    tags = client.get_run(run_id).data.tags
    experiments = client.search_experiments(filter_string="name LIKE '%-stages'")
    ids = [each.experiment_id for each in experiments]
    for stage, digest in SHARED.items():
        if ids and digest in tags:
            condition = f"tags.stage = '{stage}' AND tags.{digest} = '{tags[digest]}'"
            runs = client.search_runs(ids, condition, order_by=["start_time DESC"], max_results=1)
            for run in runs:
                client.set_tag(run_id, f"{stage}_run_id", run.info.run_id)
