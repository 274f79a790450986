"""Places of every artefact of the repository; no other module knows these names."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """Places under the root of a checkout (`root` is where dvc.yaml and params.yaml stand)."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def receipt(self) -> Path:
        return self.root / "data.ok"

    @property
    def source(self) -> Path:
        return self.root / "source.yaml"

    @property
    def pin(self) -> Path:
        return self.root / "data.dvc"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def reference(self) -> Path:
        return self.root / "reference"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def weights(self) -> Path:
        return self.root / "weights"

    @property
    def faces(self) -> Path:
        """Input of a face detector that a person brings: an XML or a list of boxes."""
        return self.root / "faces"

    @property
    def logs(self) -> Path:
        """Local, git-ignored: times, rates, run ids."""
        return self.root / "logs"

    @property
    def main_root(self) -> Path:
        """The repository itself, also inside `dvc exp run --temp`, where root is a copy."""
        return Path(os.environ.get("DVC_ROOT", self.root))

    @property
    def progress(self) -> Path:
        """Unfinished trainings: outside the outs, which DVC deletes before a stage runs."""
        return self.main_root / ".dvc" / "tmp" / "gan"

    @property
    def features(self) -> Path:
        """Features of real images, by their content: computed once, whoever asks."""
        return self.progress / "features"


def sha256_of(file: Path) -> str:
    """Hex digest of a file's content; OSError if it can't be read."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
