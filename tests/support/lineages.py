"""Lineage of a training and subject of a checkpoint, as files of the project have them."""

LINEAGE = {
    "decided": {
        "model": {
            "latent_size": 8,
            "generator": {"family": "dcgan", "width": 4},
            "discriminator": {"family": "antialiased", "width": 6},
        },
        "train": {"objective": "hinge", "batch_size": 8, "seed": 1, "init_from": ""},
        "cache_digest": "d" * 64,
        "code_digest": "c" * 64,
        "images": 192,
    },
    "preprocess": {"size": 32},
    "snapshot": "s" * 64,
    "source": {"source": "embedded", "licence": "CC0-1.0"},
    "licences": {"CC0-1.0": 50},
    "counts": {"train": 4500, "holdout": 5},
}

SUBJECT = {
    "name": "hinge 32px w4 s1",
    "size": 32,
    "images_seen": 128_000,
    "run_key": "e" * 64,
    "weights": "averaged",
    "trained_on": "d" * 64,
    "lineage": LINEAGE,
    "sha256": "f" * 64,
}

EVALUATION = {
    "protocol": {"fakes": 24, "seeds": [2, 3]},
    "metrics": {"fd_lite0_24": {"value": 12.5, "deviation": 0.5, "metric": "frechet"}},
    "memorisation": {},
    "notes": [],
}
"""As much of an evaluation as a card needs."""
