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

from pipeline.evaluation.format_number import figure
from pipeline.evaluation.metric_texts import meaning_of
from pipeline.tracking.descriptions import training_sentence
from pipeline.tracking.run import Run

LICENCES = {  # Hugging Face's names, for a dataset whose pictures share one licence
    "CC0-1.0": "cc0-1.0",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
}
TASK = "unconditional-image-generation"
BETTER = {"lower": "lower is better", "higher": "higher is better", "neither": ""}
FACTS = {"git_commit": "Commit", "git_dirty": "Uncommitted changes", "data_md5": "DVC data md5"}
"""Tags of a training's MLflow run that its card repeats, with their names there."""

USES = """\
## Uses

### Direct Use

Small avatars of drawn characters, one to a seed: placeholders, games, studies of GANs. The same
seed gives the same avatar; `truncation` below 1 gives more typical and less varied ones.

### Out-of-Scope Use

Pictures of a given person, pose or style (nothing but the seed can be chosen), photographs,
larger pictures, and passing avatars off as an artist's work.

## Bias, Risks, and Limitations

Motifs that are frequent in the training data are frequent among the avatars, and motifs that it
lacks never appear. Pictures may be malformed. Like any generator it may repeat training images;
see the finding on memorisation below, which searches for near copies in small thumbnails and can't
prove that there are none.
"""

START = """\
## How to Get Started with the Model

The folder of this file is an MLflow model; `requirements.txt` lists the packages that it needs.

```python
import mlflow

model = mlflow.pyfunc.load_model("FOLDER")  # or models:/NAME@ALIAS of a registered model
images = model.predict({{"seed": [0, 1, 2]}})  # (3, {size}, {size}, 3) uint8
files = model.predict({{"seed": [7]}}, params={{"output": "png", "truncation": 0.7}})
```

`mlflow models serve -m FOLDER --env-manager local -p 5001` answers requests with JSON. With the
project installed `gan generate --ckpt FOLDER/data/generator.pt --seeds 0-63` writes PNG files;
each carries its origin in its metadata.
"""


def log_model_with_card(run: Run, checkpoint: Path, result: Mapping[str, Any]) -> None:
    """Record an evaluated checkpoint as a model; an error costs a line, as all errors of a run do.

    result: of the evaluation, whose subject is the checkpoint.
    """

    def add() -> None:
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
    parts = [
        _front(subject, evaluation),
        _model(subject),
        USES,
        START.format(size=subject["size"]),
        _training(subject["lineage"]),
        _evaluation(evaluation),
        _provenance(subject),
    ]
    return "\n".join(parts)


def add_code_facts(card: str, tags: Mapping[str, str]) -> str:
    """Append the commit from the run's tags to the card, which ends with the provenance table."""
    known = [(name, tags[key]) for key, name in FACTS.items() if tags.get(key)]
    return card + "".join(_line(name, _code(value)) for name, value in known)


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


def _front(subject: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> str:
    lineage = subject["lineage"]
    front: dict[str, Any] = {"license": _licence(lineage), "library_name": "mlflow"}
    if front["license"] == "other":
        front["license_name"] = "of-the-training-pictures"
    front |= {"pipeline_tag": TASK, "tags": ["gan", "anime", "avatars", TASK]}
    if lineage:
        front["tags"].append(lineage["decided"]["train"]["objective"])
    if evaluation and evaluation["metrics"]:
        front["model-index"] = [_index(subject, evaluation)]
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n"


def _licence(lineage: Mapping[str, Any]) -> str:
    named = list(lineage.get("licences", {})) or [lineage.get("source", {}).get("licence")]
    return LICENCES.get(str(named[0]), "other") if len(named) == 1 else "other"


def _index(subject: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Results in Hugging Face's form."""
    metrics = [
        {"type": each["metric"], "name": key, "value": each["value"]}
        for key, each in evaluation["metrics"].items()
    ]
    source = subject["lineage"].get("source", {}).get("source") or "unknown"
    dataset = {"name": f"avatars of {subject['size']} px from {source}", "type": "avatars"}
    return {
        "name": subject["name"],
        "results": [{"task": {"type": TASK}, "dataset": dataset, "metrics": metrics}],
    }


def _model(subject: Mapping[str, Any]) -> str:
    lineage = subject["lineage"]
    training = training_sentence(lineage) if lineage else "Its training is unknown."
    return (
        f"# {_plain(subject['name'])}\n\n"
        "A generator of anime avatars, one half of a generative adversarial network: seeds in, "
        f"pictures of {subject['size']} px out.\n\n"
        "## Model Details\n\n"
        f"{_plain(training)}\n\n"
        f"These are the {_plain(subject['weights'])} weights after {subject['images_seen']:,} "
        "images seen.\n"
    )


def _training(lineage: Mapping[str, Any]) -> str:
    if not lineage:
        return "## Training Details\n\nUnknown.\n"
    counts, source = lineage["counts"], lineage["source"]
    licences = lineage["licences"] or {source.get("licence") or "unknown": None}
    decided = lineage["decided"]
    recipe = {"generator": decided["model"]["generator"]}
    recipe |= {"discriminator": decided["model"]["discriminator"]}
    settings = {key: value for key, value in decided["train"].items() if value not in ("", None)}
    recipe |= {"latent_size": decided["model"].get("latent_size"), **settings}
    recipe |= {"images": f"{decided['images']:,}"}
    lines = "".join(_line(key, _code(_short(value))) for key, value in recipe.items())
    return (
        "## Training Details\n\n### Training Data\n\n"
        f"{counts['train']:,} avatars, {counts.get('holdout', 0):,} more held out.\n\n"
        f"{_table('Source', 'Value')}"
        f"{''.join(_line(key, _code(_short(value))) for key, value in source.items())}\n"
        f"{_table('Licence', 'Pictures')}"
        f"{''.join(_line(key, '' if n is None else f'{n:,}') for key, n in licences.items())}\n"
        "No licence beyond those of the pictures is claimed: check that they allow it before you "
        "pass on model or avatars.\n\n"
        f"### Training Procedure\n\n{_table('Setting', 'Value')}{lines}"
    )


def _short(value: Any) -> str:
    """Format nested settings in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(each)}" for key, each in value.items())
    return str(value)


def _evaluation(evaluation: Mapping[str, Any] | None) -> str:
    if evaluation is None:
        return "## Evaluation\n\nNot evaluated yet; `gan evaluate` does that.\n"
    protocol = evaluation["protocol"]
    seeds = ", ".join(str(each) for each in protocol["seeds"])
    notes = "".join(f"* {_plain(each)}\n" for each in evaluation["notes"])
    lines = "".join(_numbers(evaluation))
    table = f"| Metric | Value | Meaning |\n|---|---|---|\n{lines}" if lines else "No metric.\n"
    return (
        f"## Evaluation\n\n{protocol['fakes']:,} avatars a seed, seeds {seeds}, against real "
        "images of the cache. ± is the standard deviation over these seeds; another training seed "
        "may change a metric more.\n\n"
        f"{table}\n"
        + (f"{notes}\n" if notes else "")
        + f"### Memorisation\n\n{_memorisation(evaluation['memorisation'])}\n"
    )


def _numbers(evaluation: Mapping[str, Any]) -> Iterator[str]:
    explained: set[str] = set()
    for key, each in evaluation["metrics"].items():
        value, spread = each["value"], each["deviation"]
        number = figure(value, spread) + (f" ± {spread:.2g}" if spread else "")
        meaning = meaning_of(each["metric"])
        text = ""
        if each["metric"] not in explained:
            better = BETTER[meaning.better]
            text = f"{meaning.title}{f', {better}' if better else ''}. {meaning.text}"
        explained.add(each["metric"])
        yield f"| {_code(key)} | {number} | {_plain(text)} |\n"


def _memorisation(results: Mapping[str, Any]) -> str:
    if not results:
        return "Not tested.\n"
    return "".join(
        f"{figure(100 * each['share'])} % of the avatars are nearer to one training image than "
        f"nearly all hold-out images are; {figure(100 * each['expected'])} % would if nothing "
        f"was memorised (p = {each['p_value']:.2g}, {_plain(name)}): "
        f"{'evidence of copies.' if each['suspicious'] else 'no evidence of copies.'}\n"
        for name, each in results.items()
    )


def _provenance(subject: Mapping[str, Any]) -> str:
    lineage = subject["lineage"]
    facts = {
        "Run key": subject["run_key"],
        "Images seen": f"{subject['images_seen']:,}",
        "Checkpoint's sha256": subject.get("sha256"),
        "Tensor cache": subject["trained_on"],
        "Dataset": lineage.get("snapshot"),
        "Code of the training": lineage.get("decided", {}).get("code_digest"),
    }
    lines = (_line(name, _code(value)) for name, value in facts.items() if value)
    return (
        "## Provenance\n\n`gan lineage` prints this for an avatar, a checkpoint or a run.\n\n"
        f"{_table('Fact', 'Value')}{''.join(lines)}"
    )


def _table(*heads: str) -> str:
    return f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n"


def _line(name: str, value: str) -> str:
    return f"| {_plain(name)} | {value} |\n"


def _plain(text: Any) -> str:
    """Escape foreign text for one line of Markdown and HTML."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(str(text).split()))


def _code(text: Any) -> str:
    """Format a name or digest as code in a table's cell."""
    line = " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{line}`" if line else ""
