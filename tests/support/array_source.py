"""Images in memory as a source, which counts the passes over it."""

import hashlib

import numpy as np

from gan.features.extraction import image_batches


class ArraySource:
    """(N,H,W,3) uint8."""

    def __init__(self, images, tag="train", description="pictures of a test"):
        self.images, self.tag, self.description = images, tag, description
        self.digest = hashlib.sha256(images.tobytes()).hexdigest()
        self.size = images.shape[1:3]
        self.passes = 0

    def __len__(self):
        return len(self.images)

    def batches(self, size):
        self.passes += 1
        return image_batches(self.images, size)

    def select(self, indices):
        return np.array(self.images[list(indices)])
