"""Results of evaluations as `gan evaluate` writes them, for tests of what is made of them."""

import hashlib
import statistics

from gan.metrics.build import number_of
from gan.metrics.metric import metric_key

SEEDS = [2, 3, 4]

TRAIN = {"frechet": 941.07, "infinity": 921.4, "kernel": 0.61322, "kernel_error": 0.0031}
TRAIN |= {"precision": 0.6123, "recall": 0.3411, "density": 0.7712, "coverage": 0.4098}
PIXELS = {"sliced_wasserstein": 41.22, "sliced_wasserstein_64": 61.4, "spectrum": 3.218}
HOLDOUT = {"frechet": 1007.61, "kernel": 0.61985, "kernel_error": 0.0094}
ALONE = {"score": 4.2113, "memorisation": 0.0513, "memorisation_p": 0.3824}
CURVE = [1402.31, 1188.05, 1090.77, 1043.2, 1011.9, 981.44, 962.1, 950.041, 955.62, 968.3]


def digest(text: str) -> str:
    """A hex sha256 that is the same in every run."""
    return hashlib.sha256(text.encode()).hexdigest()


def metric(name, value, extractor="lite0", against="train", reals=4603):
    """One metric with a value for each seed."""
    values = [value * (1 + 0.002 * step) for step in (-1.13, 0.42, 0.71)]
    return {
        "value": statistics.mean(values),
        "deviation": statistics.stdev(values),
        "values": values,
        "metric": name,
        "extractor": extractor,
        "against": against,
        "fakes": 5000,
        "reals": reals,
        "protocol": digest(f"{name} {extractor} {against}")[:16],
    }


def metrics_of(extractor="lite0"):
    """Every metric of one extractor, and those of pixels."""
    found = {}
    for numbers, against, reals in (
        (TRAIN, "train", 4603),
        (HOLDOUT, "holdout", 504),
        (ALONE, None, None),
    ):
        small = reals if against == "holdout" else None
        for name, value in numbers.items():
            key = metric_key(number_of(name), extractor, 5000, against or "train", small)
            found[key] = metric(name, value, extractor, against, reals)
    for name, value in PIXELS.items():
        key = metric_key(number_of(name), number_of(name).extractor, 5000)
        found[key] = metric(name, value, number_of(name).extractor)
    return found


def closest(count=16):
    """Pairs of a fake and the cache's row that is nearest to it."""
    return [
        {
            "fake": 4711 * (i + 1) % 5000,
            "row": 1013 * (i + 3) % 4603,
            "mirrored": i % 3 == 0,
            "distance": 11.25 + 0.375 * i,
            "relative": 0.8125 + 0.0078125 * i,
        }
        for i in range(count)
    ]


def checkpoint_result():
    """A checkpoint of a finished run, evaluated on three seeds against both splits."""
    test = {"share": 0.0513, "expected": 0.05, "p_value": 0.3824, "suspicious": False}
    return {
        "format": "avatar-gan evaluation 1",
        "subject": {
            "kind": "checkpoint",
            "name": "models/best.pt",
            "sha256": digest("best.pt"),
            "size": 64,
            "images_seen": 96000,
            "run_key": "30936db85eaf77a2",
            "weights": "averaged",
            "trained_on": digest("cache"),
        },
        "references": {
            "train": reference("train split of the cache", 4603),
            "holdout": reference("holdout split of the cache", 504),
        },
        "protocol": {
            "fakes": 5000,
            "seeds": SEEDS,
            "extractors": {"lite0": extractor("lite0", "float32")},
        },
        "metrics": metrics_of(),
        "memorisation": {"lite0": test | {"closest": closest()}},
        "selection": {
            "key": "fd_lite0_2048",
            "seed": 1,
            "best": 96000,
            "curve": [[12000 * (i + 1), value] for i, value in enumerate(CURVE)],
        },
        "notes": ["inception: weights/ has no pt_inception-2015-12-05-6726825d.pth; no fid"],
    }


def reference(what, count, other=False):
    """A reference of a result."""
    return {"what": what, "digest": digest(what), "count": count, "other": other}


def extractor(name, precision):
    """An extractor of a result."""
    protocol = "uint8, to 299 px by bilinear interpolation, 2048 numbers"
    return {"protocol": protocol, "precision": precision, "digest": digest(name)}


def folder_result():
    """A folder of images against one split: one set of fakes, nothing selected, no test."""
    result = checkpoint_result()
    subject = {"kind": "folder", "name": "samples", "sha256": digest("samples"), "size": [64, 48]}
    one = metric("frechet", 941.07)
    one |= {"values": [one["value"]], "deviation": None}
    result["protocol"]["seeds"] = [None]
    return result | {
        "subject": subject,
        "metrics": {"fd_lite0_5k": one},
        "memorisation": {},
        "selection": None,
        "notes": [],
    }


def crowded_result():
    """Three extractors against three references: more numbers than fit on a screen."""
    result = checkpoint_result()
    others = "a_folder_of_other_pictures"
    for name in ("inception", "clip_vit_b_32_openai_finetuned_on_drawings"):
        result["protocol"]["extractors"][name] = extractor(name, "bf16")
        result["metrics"] |= metrics_of(name)
        for number, value in (("frechet", 50.5), ("kernel", 0.01)):
            found = metric(number, value, name, others, 16797)
            result["metrics"][f"{number}_{name}_5k_other"] = found
    result["references"][others] = reference(
        "folder another_set_of_anime_faces_in_a_rather_long_path/and_one_more_folder", 16797, True
    )
    return result
