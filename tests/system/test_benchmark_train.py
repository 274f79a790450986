"""The contestants of benchmarks/train.py train the same networks."""

import sys
from pathlib import Path

import pytest
from torch import nn

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in ("trainers", "contestant", "peers", "peers.textbook"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("size", "width"), [(64, 16), (32, 8)])
@pytest.mark.parametrize("objective", ["bce", "wgan_gp"])
def test_the_textbook_s_networks_have_the_weights_of_ours(size, width, objective):
    from peers.textbook import discriminator, generator
    from trainers import prepared, settings

    state, _ = prepared(settings(width, objective, 64), size)
    theirs = generator(size, width), discriminator(size, width, objective == "bce")
    for ours, other in zip((state.generator, state.discriminator), theirs, strict=True):
        assert _weights(ours) == _weights(other)


def _weights(network: nn.Module) -> list[int]:
    """Sizes of all parameters, largest first: the projections are written in two ways."""
    return sorted((each.numel() for each in network.parameters()), reverse=True)
