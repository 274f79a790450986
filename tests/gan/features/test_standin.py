import pytest
import torch
from inception_weights import standin

from gan.features.inception import Inception

pytestmark = pytest.mark.slow


def test_the_command_writes_the_file_and_tells_its_hash(tmp_path, capsys):
    standin().main([str(tmp_path / "a.pth"), "--pictures", "2"])
    sha256 = capsys.readouterr().out.split()[-1]
    extractor = Inception(tmp_path / "a.pth", sha256, torch.device("cpu"))
    assert extractor.name == f"inception_{sha256[:8]}"
