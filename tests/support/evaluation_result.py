"""Results of evaluations as `gan evaluate` writes them, for tests of what is made of them."""

import hashlib
import statistics

SEEDS = [2, 3, 4]

TRAIN = {"frechet": 941.07, "infinity": 921.4, "kernel": 0.61322, "kernel_error": 0.0031}
TRAIN |= {"precision": 0.6123, "recall": 0.3411, "density": 0.7712, "coverage": 0.4098}
HOLDOUT = {"frechet": 1007.61, "kernel": 0.61985, "kernel_error": 0.0094}
ALONE = {"score": 4.2113, "memorisation": 0.0513, "memorisation_p": 0.3824}
NAMES = {"frechet": "fd", "infinity": "fd_inf", "kernel": "kd", "kernel_error": "kd_se"}


def digest(text: str) -> str:
    """A hex sha256 that is the same in every run."""
    return hashlib.sha256(text.encode()).hexdigest()


def metric(name, value, extractor="lite0", against="train", reals=4603, spread=0.002):
    """One metric with a value for each seed."""
    values = [value * (1 + spread * step) for step in (-1.13, 0.42, 0.71)]
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
    """Every metric of one extractor."""

    def key(name, suffix=""):
        return f"{NAMES.get(name, name)}_{extractor}_5k{suffix}"

    train = {key(name): metric(name, value, extractor) for name, value in TRAIN.items()}
    holdout = {
        key(name, "_holdout_small504"): metric(name, value, extractor, "holdout", 504)
        for name, value in HOLDOUT.items()
    }
    alone = {
        key(name): metric(name, value, extractor, None, None) for name, value in ALONE.items()
    }
    return train | holdout | alone


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
    """A checkpoint of a finished run, judged on three seeds against both splits."""
    data = digest("cache")
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
            "trained_on": data,
        },
        "references": {
            "train": _reference("train split of the cache", 4603),
            "holdout": _reference("holdout split of the cache", 504),
        },
        "protocol": {
            "fakes": 5000,
            "seeds": SEEDS,
            "extractors": {
                "lite0": {
                    "protocol": "uint8, to 128 px by antialiased bicubic, x/127.5 - 1, "
                    "EfficientNet-Lite0 extract_features, mean-pooled to 1280 numbers",
                    "precision": "float32",
                    "digest": digest("lite0"),
                }
            },
        },
        "metrics": metrics_of(),
        "memorisation": {
            "lite0": {
                "share": 0.0513,
                "expected": 0.05,
                "p_value": 0.3824,
                "suspicious": False,
                "closest": closest(),
            }
        },
        "selection": {
            "key": "fd_lite0_2048",
            "seed": 1,
            "best": 96000,
            "curve": [
                [12000, 1402.31],
                [24000, 1188.05],
                [36000, 1090.77],
                [48000, 1043.2],
                [60000, 1011.9],
                [72000, 981.44],
                [84000, 962.1],
                [96000, 950.041],
                [108000, 955.62],
                [120000, 968.3],
            ],
        },
        "notes": ["inception: weights/ has no pt_inception-2015-12-05-6726825d.pth; no fid"],
    }


def _reference(what, count, other=False):
    return {"what": what, "digest": digest(what), "count": count, "other": other}


def folder_result():
    """A folder of images against one split: one set of fakes, nothing chosen, no test."""
    result = checkpoint_result()
    result["subject"] = {
        "kind": "folder",
        "name": "samples",
        "sha256": digest("samples"),
        "size": 64,
    }
    one = metric("frechet", 941.07)
    one |= {"values": [one["value"]], "deviation": None}
    result["metrics"] = {"fd_lite0_5k": one}
    result["protocol"]["seeds"] = [None]
    result["memorisation"] = {}
    result["selection"] = None
    del result["notes"]
    return result


def crowded_result():
    """Three extractors against three references: more numbers than fit on a screen."""
    result = checkpoint_result()
    name = "clip_vit_b_32_openai_finetuned_on_drawings"
    for extractor in ("inception", name):
        result["protocol"]["extractors"][extractor] = {
            "protocol": "uint8, to 299 px by bilinear interpolation, 2048 numbers",
            "precision": "bf16",
            "digest": digest(extractor),
        }
        result["metrics"] |= metrics_of(extractor)
        for key, value in (("frechet", 50.5), ("kernel", 0.01)):
            result["metrics"][f"{key}_{extractor}_5k_other"] = metric(
                key, value, extractor, "a_folder_of_other_pictures", 16797
            )
    result["references"]["a_folder_of_other_pictures"] = _reference(
        "folder another_set_of_anime_faces_in_a_rather_long_path/and_one_more_folder", 16797, True
    )
    return result
