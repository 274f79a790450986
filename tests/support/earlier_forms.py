"""Files as the flat layout wrote them: every stored key is spelt out, no writer of the product.

A stored key that is renamed in the product alone fails the tests that read these files.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from PIL import Image, PngImagePlugin

RUN_KEY, CODE, DATASET = "a1" * 32, "c2" * 32, "5f" * 32
SECONDS = 1_796_072_339
"""A time, in seconds since 1970."""

NETWORK = {"family": "dcgan", "width": 4, "widest": 16, "blocks": 1}
NORMS = {"norm": "batch", "first_norm": True, "spectral_norm": False, "last": "tanh"}
MODEL = {
    "latent_size": 8,
    "generator": {**NETWORK, "activation": "relu", **NORMS},
    "discriminator": {**NETWORK, "activation": "leaky_relu"},
}
TRAIN = {
    "seed": 1,
    "batch_size": 8,
    "objective": "bce",
    "init_from": "",
    "snapshot_every": 64,
    "recipe": {"critic_steps": 1, "discriminator_norm": "batch", "spectral_norm": False},
}
PREPROCESS = {
    "size": 32,
    "crop": "square",
    "holdout": 0.25,
    "background": [255, 255, 255],
    "max_pixels": 40000000,
    "filters": {
        "min_side": 32,
        "max_aspect": 2.0,
        "min_contrast": 8.0,
        "max_one_colour": 0.93,
        "min_sharpness": 25.0,
        "min_colour": 2.0,
    },
    "duplicates": {"near": True, "dhash": 4, "phash": 8},
}
SOURCE = {
    "source": "embedded",
    "view": "avatars",
    "count": 8,
    "size": 32,
    "seed": 1,
    "painter": 1,
    "licence": "CC0-1.0",
}


def _norm(layer: int, width: int) -> dict[str, tuple[int, ...]]:
    names = ("weight", "bias", "running_mean", "running_var")
    shapes = {f"layers.{layer}.{name}": (width,) for name in names}
    return {**shapes, f"layers.{layer}.num_batches_tracked": ()}


GENERATOR = {
    "project.weight": (256, 8),
    **_norm(0, 16),
    "layers.2.weight": (16, 8, 4, 4),
    **_norm(3, 8),
    "layers.5.weight": (8, 4, 4, 4),
    **_norm(6, 4),
    "layers.8.weight": (4, 3, 4, 4),
    "layers.8.bias": (3,),
}
DISCRIMINATOR = {
    "layers.0.weight": (4, 3, 4, 4),
    "layers.0.bias": (4,),
    "layers.2.weight": (8, 4, 4, 4),
    **_norm(3, 8),
    "layers.5.weight": (16, 8, 4, 4),
    **_norm(6, 16),
    "layers.9.weight": (1, 256),
    "layers.9.bias": (1,),
}
"""Names and shapes of the weights of both networks: MODEL at 32 px, norms of TRAIN's recipe."""

Weights = dict[str, torch.Tensor]


# checkpoints


def draw_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> Weights:
    """Weights of these names and shapes; positive where they are variances."""
    random = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(24)
        elif name.endswith("running_var"):
            weights[name] = 1 + torch.rand(shape, generator=random)
        else:
            weights[name] = 0.3 * torch.randn(shape, generator=random)
    return weights


def lineage_of(cache_digest: str) -> dict[str, Any]:
    """Lineage of the run and the data, as a checkpoint and a PNG store it."""
    decided = {
        "model": MODEL,
        "train": TRAIN,
        "cache_digest": cache_digest,
        "code_digest": CODE,
        "images": 192,
    }
    return {
        "decided": decided,
        "preprocess": PREPROCESS,
        "snapshot": DATASET,
        "source": SOURCE,
        "licences": {"CC0-1.0": 8},
        "counts": {"train": 6, "holdout": 2},
    }


def training_state(weights: Weights) -> dict[str, Any]:
    """The `state` of a checkpoint of kind `training`."""
    return {
        "generator": {name: value + 1 for name, value in weights.items()},
        "discriminator": draw_weights(DISCRIMINATOR, 9),
        "averaged": weights,
        "generator_optimiser": _adam_state(GENERATOR),
        "discriminator_optimiser": _adam_state(DISCRIMINATOR),
        "generator_scaler": {},
        "discriminator_scaler": {},
        "strength": torch.tensor(0.25),
        "broken_at": torch.tensor(-1),
        "overfitting": torch.tensor(0.5),
        "overfitting_steps": 3,
        "step": 24,
        "window": {
            "loss/generator": torch.tensor(1.5),
            "gradient_norm/generator": torch.tensor(12.5),
        },
        "window_counts": {"loss/generator": 2, "gradient_norm/generator": torch.tensor(2.0)},
        "rate_scale": 0.5,
        "retries": 1,
        "best_diversity": 2.75,
        "poor_grids": 1,
    }


def _adam_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    learned = [shape for name, shape in shapes.items() if name.endswith((".weight", ".bias"))]
    options = {"eps": 1e-08, "weight_decay": 0, "amsgrad": False, "maximize": False}
    options |= {"foreach": None, "capturable": False, "differentiable": False, "fused": True}
    options |= {"decoupled_weight_decay": False}
    group = {"lr": 0.0004, "betas": (0.5, 0.999), **options, "params": list(range(len(learned)))}
    moments = {
        index: {
            "step": torch.tensor(24.0),
            "exp_avg": torch.full(shape, 0.01),
            "exp_avg_sq": torch.full(shape, 0.02),
        }
        for index, shape in enumerate(learned)
    }
    return {"state": moments, "param_groups": [group]}


def write_checkpoint(
    path: Path,
    version: int = 3,
    *,
    training: bool = False,
    images_seen: int = 192,
    cache_digest: str = "d3" * 32,
    seed: int = 0,
) -> Weights:
    """Write a checkpoint of format 2 or 3; returns the weights of its averaged generator."""
    weights = draw_weights(GENERATOR, seed)
    origin = {
        "model": MODEL,
        "size": 32,
        "images_seen": images_seen,
        "run_key": RUN_KEY,
        "cache_digest": cache_digest,
        "name": "bce 32px w4 s1",
    }
    if version == 3:
        origin["lineage"] = lineage_of(cache_digest)
    content = {
        "format": f"avatar-gan checkpoint {version}",
        "kind": "training" if training else "generator",
        "origin": origin,
        "averaged": weights,
        "state": training_state(weights) if training else None,
    }
    content["sha256"] = digest_of(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return weights


def digest_of(content: Any) -> str:
    """sha256 of nested plain values and tensors, with their types and the order of keys."""
    digest = hashlib.sha256()
    _add_to_digest(digest, content)
    return digest.hexdigest()


def _add_to_digest(digest: "hashlib._Hash", value: Any) -> None:
    if isinstance(value, torch.Tensor):
        digest.update(f"tensor {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.contiguous().numpy().tobytes())
    elif isinstance(value, dict):
        digest.update(f"dict {len(value)} ".encode())
        for key, each in value.items():
            _add_to_digest(digest, key)
            _add_to_digest(digest, each)
    elif isinstance(value, list | tuple):
        digest.update(f"{type(value).__name__} {len(value)} ".encode())
        for each in value:
            _add_to_digest(digest, each)
    else:
        digest.update(f"{type(value).__name__} {value!r} ".encode())


# pictures and evaluations


def _subject(images_seen: int, cache_digest: str) -> dict[str, Any]:
    return {
        "name": "bce 32px w4 s1",
        "size": 32,
        "images_seen": images_seen,
        "run_key": RUN_KEY,
        "weights": "averaged",
        "trained_on": cache_digest,
        "lineage": lineage_of(cache_digest),
        "sha256": "e4" * 32,
    }


def write_avatar(path: Path, seed: int = 7, cache_digest: str = "d3" * 32) -> None:
    """Write a PNG with the texts that `gan generate` puts into it."""
    content = {
        "format": "avatar-gan picture 1",
        "seeds": str(seed),
        "truncation": 1.0,
        **_subject(64, cache_digest),
    }
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Software", "avatar-gan")
    texts.add_text("gan.seed", str(seed))
    texts.add_text("gan.run_key", RUN_KEY)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    texts.add_text("gan.lineage", text, zip=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), "teal").save(path, pnginfo=texts)


def write_evaluation(folder: Path, distance: float, images_seen: int) -> None:
    """Write evaluation.json as the stage does, with one Fréchet distance and one MMD."""

    def metric(value: float, name: str, protocol: str) -> dict[str, Any]:
        return {
            "value": value,
            "deviation": 0.1,
            "values": [value - 0.1, value, value + 0.1],
            "metric": name,
            "extractor": "lite0",
            "against": "train",
            "fakes": 64,
            "reals": 6,
            "protocol": protocol * 16,
        }

    lite0 = {"protocol": "efficientnet-lite0", "precision": "float32", "digest": "18" * 32}
    reference = {"digest": "90" * 32, "count": 6, "other": False}
    content = {
        "format": "avatar-gan evaluation 1",
        "subject": {"kind": "checkpoint", **_subject(images_seen, "d3" * 32)},
        "references": {"train": {"what": "train split of the cache", **reference}},
        "protocol": {"fakes": 64, "seeds": [2, 3, 4], "extractors": {"lite0": lite0}},
        "metrics": {
            "fd_lite0_64_small6": metric(distance, "frechet", "4"),
            "kd_lite0_64": metric(distance / 100, "kernel", "5"),
        },
        "memorisation": {},
        "selection": {
            "key": "fd_lite0_64_small6",
            "seed": 1,
            "best": images_seen,
            "curve": [[images_seen, distance]],
        },
        "notes": ["no memorisation: 2 images are held out"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(content, indent=1) + "\n")


# data/ and cache/


def draw_images(count: int, seed: int = 0) -> np.ndarray:
    """(count, 32, 32, 3) uint8: coloured blocks, which every filter lets pass."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return blocks.repeat(4, axis=1).repeat(4, axis=2)


def write_cache(folder: Path, images: np.ndarray, holdout: int) -> str:
    """Write a tensor cache; returns its digest."""
    count = len(images)
    counts = {"train": count - holdout, "holdout": holdout}
    pixels = [hashlib.sha256(image.tobytes()).digest() for image in images]
    decided = {"counts": counts, "settings": PREPROCESS}
    whole = hashlib.sha256(b"".join(pixels))
    whole.update(json.dumps(decided, sort_keys=True).encode())
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    face = pa.nulls(count, pa.float64())
    measured = pa.array(np.linspace(20, 60, count), pa.float32())
    columns = {
        "row": pa.array(range(count), pa.int64()),
        "sha256": pa.array([each.hex() for each in pixels], pa.large_string()),
        "split": pa.array(["train"] * counts["train"] + ["holdout"] * holdout, pa.large_string()),
        "width": pa.array([32] * count, pa.int32()),
        "height": pa.array([32] * count, pa.int32()),
        "side": pa.array([32.0] * count, pa.float64()),
        **dict.fromkeys(("face_x", "face_y", "face_width", "face_height", "score"), face),
        **dict.fromkeys(("brightness", "contrast", "one_colour", "sharpness", "colour"), measured),
        "dhash": pa.array(range(count), pa.uint64()),
        "pixels": pa.array(pixels, pa.binary(32)),
    }
    pq.write_table(pa.table(columns), folder / "index.parquet")
    percentiles = {"p05": 100.0, "p50": 150.0, "p95": 190.0}
    statistics = {"mean": [164.889, 146.295, 149.374], "std": [67.103, 61.845, 60.888]}
    statistics |= {"brightness": percentiles, "side": dict.fromkeys(percentiles, 32.0)}
    meta = {
        "format": 2,
        "settings": PREPROCESS,
        "filter": "pillow draft >= 2x, bicubic antialiased",
        "snapshot": DATASET,
        "source": SOURCE,
        "licences": {"CC0-1.0": count},
        "counts": counts,
        "statistics": statistics,
        "digest": whole.hexdigest(),
        "versions": {"numpy": "2.4.6", "pillow": "13.0.0"},
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")
    return whole.hexdigest()


# progress of trainings, unsent records, MLflow runs


def write_progress(progress: Path, identity: dict[str, Any], images_seen: int = 32) -> Path:
    """Write the progress folder of a killed training; returns it."""
    text = json.dumps(identity, sort_keys=True)
    folder = progress / hashlib.sha256(text.encode()).hexdigest()[:16]
    folder.mkdir(parents=True)
    (folder / "lock").write_text("4711\n")
    (folder / "identity.json").write_text(json.dumps(identity, sort_keys=True, indent=1) + "\n")
    (folder / "losses.tsv").write_text("images_seen\tloss/generator\n16\t0.7165\n32\t0.7461\n")
    state = folder / f"state-{images_seen:012d}.pt"
    write_checkpoint(state, training=True, images_seen=images_seen)
    return folder


def identity_of(cache_digest: str) -> dict[str, Any]:
    """Content of a progress folder's identity.json."""
    return {
        "cache_digest": cache_digest,
        "code_digest": CODE,
        "device": "cpu",
        "model": MODEL,
        "precision": "float32",
        "torch": torch.__version__,
        "train": TRAIN,
    }


def write_training_records(folder: Path) -> int:
    """Write unsent records of a training's MLflow run; returns their number."""
    tags = {"run_key": RUN_KEY, "stage": "train", "mlflow.user": "anna"}
    tags |= {"mlflow.source.name": "gan train", "mlflow.source.type": "LOCAL"}
    picture, snapshot = "images/grid-64.png", "artifacts/78b3/000000000064.pt"
    records = [
        {"kind": "params", "values": {"train.seed": "1", "train.objective": "bce"}},
        {"kind": "tags", "values": {"cache_digest": "d3" * 32, "code_digest": CODE}},
        {
            "kind": "dataset",
            "name": "avatars 32px",
            "digest": "d3" * 18,
            "source": json.dumps({"snapshot": DATASET, "source": SOURCE}),
            "profile": json.dumps({"holdout": 2, "train": 6}),
            "context": "training",
        },
        {"kind": "links"},
        {"kind": "metrics", "values": {"loss/generator": 0.75, "score/real": 0.1}, "step": 32},
        {"kind": "metrics", "values": {"loss/generator": 0.5}, "step": 64},
        {"kind": "image", "key": "grid", "step": 64, "file": picture},
        {"kind": "artifact", "file": snapshot, "folder": "checkpoints"},
        {"kind": "end", "status": "FINISHED"},
    ]
    write_avatar(folder / "files" / picture)
    write_checkpoint(folder / "files" / snapshot, images_seen=64)
    return _write_records(folder, "avatars", "bce 32px w4 s1", tags, records)


def write_stage_records(folder: Path) -> int:
    """Write unsent records of a preprocess stage that was killed; returns their number."""
    tags = {"stage": "preprocess", "mlflow.source.name": "gan preprocess"}
    table = "artifacts/e685/rejects.tsv"
    records = [
        {"kind": "params", "values": {"size": "32", "crop": "square"}},
        {"kind": "metrics", "values": {"images/train": 6.0, "images/holdout": 2.0}, "step": 0},
        {"kind": "artifact", "file": table, "folder": ""},
    ]
    (folder / "files" / table).parent.mkdir(parents=True)
    (folder / "files" / table).write_text("row\treason\n")
    return _write_records(folder, "avatars-stages", "preprocess 32px", tags, records)


def _write_records(
    folder: Path, experiment: str, name: str, tags: dict[str, str], records: list[dict[str, Any]]
) -> int:
    row = {"id": hashlib.md5(name.encode()).hexdigest(), "experiment": experiment, "name": name}
    row |= {"start_time": SECONDS * 1000, "tags": tags}
    (folder / "run.json").write_text(json.dumps({"row": row, "sent": 0}, indent=1) + "\n")
    (folder / "lock").touch()
    with (folder / "records.jsonl").open("w") as lines:
        for number, record in enumerate(records):
            kind = {"kind": record["kind"], "time": SECONDS * 1000 + number}
            lines.write(json.dumps(kind | record) + "\n")
    return len(records)


def write_run(uri: str, artifacts: Path, snapshot: Path) -> str:
    """Write the MLflow run of an evaluated training, with `snapshot` as its best one."""
    client = MlflowClient(uri)
    experiment = client.create_experiment("avatars", artifacts.absolute().as_uri())
    start = SECONDS * 1000
    run = client.create_run(experiment, start, run_name="bce 32px w4 s1")
    tags = {"run_key": RUN_KEY, "stage": "train", "spool": "8b" * 16, "cache_digest": "d3" * 32}
    tags["protocols"] = json.dumps({"fd_lite0_64_small6": "4" * 16})
    params = {"model.latent_size": "8", "train.objective": "bce", "train.images": "192"}
    points = {
        "loss/generator": {64: 0.75, 192: 0.5},
        "best_images_seen": {192: 64.0},
        "fd_lite0_64_small6": {192: 1004.0},
        "deviation/fd_lite0_64_small6": {192: 0.1},
        "selection/fd_lite0_64_small6": {64: 1004.0, 192: 1007.0},
    }
    client.log_batch(
        run.info.run_id,
        [
            Metric(key, value, start + step, step)
            for key, series in points.items()
            for step, value in series.items()
        ],
        [Param(key, value) for key, value in params.items()],
        [RunTag(key, value) for key, value in tags.items()],
    )
    client.log_artifact(run.info.run_id, str(snapshot), "best")
    client.set_terminated(run.info.run_id, "FINISHED", start + 11_000)
    return str(run.info.run_id)
