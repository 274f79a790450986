"""Model card of a generator, in Markdown: description, training data, evaluation, usage.

Headings and front matter are those of Hugging Face's model cards, so that the card serves there
too (Mitchell et al. 2019, arXiv:1810.03993, for the idea).
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from gan.metrics.build import number_of
from pipeline.evaluation.format_number import figure
from pipeline.markdown import code, render_markdown
from pipeline.tracking.run import Run
from pipeline.tracking.run_folder.folder import RunFolder
from pipeline.training.identity import flatten

TEMPLATE = Path(__file__).with_name("card.md")
LICENCES = ("CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0")
"""Licences that Hugging Face knows, in lower case."""
TASK = "unconditional-image-generation"
FACTS = {"git_commit": "Commit", "git_dirty": "Uncommitted changes", "data_md5": "DVC data md5"}
"""Tags of a training's MLflow run that its card repeats, with their names there."""


def log_model_with_card(run: Run, checkpoint: Path, result: Mapping[str, Any]) -> None:
    """Record an evaluated checkpoint as a model; an error costs a line, as all errors of a run do.

    result: of the evaluation, whose subject is the checkpoint.
    """

    def add(_folder: RunFolder) -> None:
        with tempfile.TemporaryDirectory(prefix="gan-") as folder:
            card = Path(folder) / "README.md"
            card.write_text(model_card(result["subject"], result), encoding="utf-8")
            run.model(checkpoint, card)

    run.attempt(add)


def model_card(subject: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> str:
    """Write the card of a checkpoint.

    subject: as `gan.checkpoints.describe_checkpoint` has it; its lineage may be empty. evaluation:
    the result of `gan evaluate`, None if there is none.
    """
    lineage = subject["lineage"]
    front = _front(subject, evaluation)
    values: dict[str, Any] = {
        "front": yaml.safe_dump(front, sort_keys=False, allow_unicode=True),
        "subject": subject,
        "lineage": lineage,
        "evaluation": evaluation,
        "figure": lambda number: Markup(figure(number)),
        "metrics": list(_metrics(evaluation["metrics"])) if evaluation else [],
        "facts": {
            "Run key": subject["run_key"],
            "Images seen": subject["images_seen"],
            "Checkpoint's sha256": subject.get("sha256"),
            "Tensor cache": subject["trained_on"],
            "Dataset": lineage.get("snapshot"),
            "Code of the training": lineage.get("decided", {}).get("code_digest"),
        },
    }
    if lineage:
        decided = lineage["decided"]
        used = {key: each for key, each in decided["train"].items() if each not in ("", None)}
        values |= {
            "decided": decided,
            "recipe": flatten(decided["model"] | used | {"images": decided["images"]}),
            "licences": lineage["licences"]
            or {lineage["source"].get("licence") or "unknown": None},
        }
    return render_markdown(TEMPLATE, values)


def add_code_facts(card: str, tags: Mapping[str, str]) -> str:
    """Append the commit from the run's tags to the card, which ends with the provenance table."""
    known = [(name, tags[key]) for key, name in FACTS.items() if tags.get(key)]
    return card + "".join(f"| {name} | {code(value)} |\n" for name, value in known)


def read_metrics(card: str) -> dict[str, float]:
    """Read the metrics in a card's front matter; {} if it has none."""
    try:
        front = yaml.safe_load(card.split("---\n")[1])
        metrics = front["model-index"][0]["results"][0]["metrics"]
        return {each["name"]: float(each["value"]) for each in metrics}
    except (IndexError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return {}


def without_front(card: str) -> str:
    """Strip the front matter from a card."""
    return re.sub(r"\A---\n.*?\n---\n+", "", card, count=1, flags=re.DOTALL)


def _front(subject: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> dict[str, Any]:
    """Front matter, with results in Hugging Face's form."""
    lineage = subject["lineage"]
    source = lineage.get("source", {})
    named = list(lineage.get("licences", {})) or [source.get("licence")]
    shared = len(named) == 1 and named[0] in LICENCES
    other = {"license": "other", "license_name": "of-the-training-pictures"}
    objective = [lineage["decided"]["train"]["objective"]] if lineage else []
    front = {
        **({"license": named[0].lower()} if shared else other),
        "library_name": "mlflow",
        "pipeline_tag": TASK,
        "tags": ["gan", "anime", "avatars", TASK, *objective],
    }
    if evaluation and evaluation["metrics"]:
        data = f"avatars of {subject['size']} px from {source.get('source') or 'unknown'}"
        metrics = [
            {"type": each["metric"], "name": key, "value": each["value"]}
            for key, each in evaluation["metrics"].items()
        ]
        results = {"task": {"type": TASK}, "dataset": {"name": data, "type": "avatars"}}
        result = results | {"metrics": metrics}
        front["model-index"] = [{"name": subject["name"], "results": [result]}]
    return front


def _metrics(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Markup, Markup]]:
    """Key, number and, the first time, meaning of each metric."""
    explained: set[str] = set()
    for key, each in metrics.items():
        spread = each["deviation"]
        number = figure(each["value"], spread) + (f" ± {spread:.2g}" if spread else "")
        meaning = number_of(each["metric"])
        better = "" if meaning.better == "neither" else f", {meaning.better} is better"
        text = "" if meaning.title in explained else f"{meaning.title}{better}. {meaning.text}"
        explained.add(meaning.title)
        yield key, Markup(number), Markup(text)
