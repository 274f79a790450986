"""Metrics by name; a new metric is one more line here.

Modules are named, not imported: params.yaml is checked against this list without torch.
"""

METRICS = {
    "frechet_distance": "gan.metrics.frechet_distance",
    "frechet_infinity": "gan.metrics.frechet_infinity",
    "kernel_distance": "gan.metrics.kernel_distance",
    "precision_recall": "gan.metrics.precision_recall",
    "inception_score": "gan.metrics.inception_score",
    "sliced_wasserstein": "gan.metrics.sliced_wasserstein",
    "spectrum_distance": "gan.metrics.spectrum_distance",
    "memorisation": "gan.metrics.memorisation",
    "face_share": "gan.metrics.face_share",
}
