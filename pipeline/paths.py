"""Places of every artefact of the repository; no other module knows these names."""

import hashlib
import os
from pathlib import Path


class Paths:
    """Places under the root of a checkout (`root` is where dvc.yaml and params.yaml stand)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.receipt = root / "data.ok"
        self.source = root / "source.yaml"
        self.pin = root / "data.dvc"
        self.cache = root / "cache"
        self.reference = root / "reference"
        self.models = root / "models"
        self.reports = root / "reports"
        self.weights = root / "weights"
        self.faces = root / "faces"
        """Input of a face detector that a person brings: an XML or a list of boxes."""
        self.logs = root / "logs"
        """Local, git-ignored: times, rates, run ids."""
        self.main_root = Path(os.environ.get("DVC_ROOT", root))
        """The repository itself, also inside `dvc exp run --temp`, where root is a copy."""
        self.progress = self.main_root / ".dvc" / "tmp" / "gan"
        """Unfinished trainings: outside the outs, which DVC deletes before a stage runs."""
        self.features = self.progress / "features"
        """Features of real images, by their content: computed once, whoever asks."""


def sha256_of(file: Path) -> str:
    """Hex digest of a file's content; OSError if it can't be read."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
