"""A process that gets features from a store, slowly: STORE IMAGES.npy SECONDS_A_BATCH."""

import sys
from pathlib import Path

import numpy as np
from array_source import ArraySource
from projecting import Projection

from pipeline.features.store import FeatureStore

if __name__ == "__main__":
    store, images, seconds = sys.argv[1:]
    extractor = Projection(seconds_a_batch=float(seconds))
    source = ArraySource(np.load(images))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()  # importing takes longer than the work: wait for the start signal
    (features,) = FeatureStore(Path(store), Path(store) / "exported").get(source, [extractor], 5)
    sys.stdout.write(f"{extractor.seen} {float(features.features.sum())}\n")
