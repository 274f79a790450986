"""Images in memory as a source, which counts how often it was gone through."""

import hashlib

import numpy as np

from gan.features.extraction import image_batches


class ArraySource:
    """(N,H,W,3) uint8."""

    def __init__(self, images, tag="train", what="pictures of a test"):
        self.images, self.tag, self.what = images, tag, what
        self.digest = hashlib.sha256(images.tobytes()).hexdigest()
        self.size = images.shape[1:3]
        self.passes = 0

    def __len__(self):
        return len(self.images)

    def batches(self, size):
        self.passes += 1
        return image_batches(self.images, size)

    def rows(self, indices):
        return np.array(self.images[list(indices)])
