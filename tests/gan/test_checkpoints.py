"""Checkpoint files: the same bytes for the same content, whole or not at all, never code."""

import pickle
from dataclasses import replace

import pytest
import torch

from gan.checkpoints import (
    LATER_PARAMS,
    Origin,
    content_digest,
    load_checkpoint,
    load_generator,
    read_origin,
    save_checkpoint,
)
from gan.errors import GanError
from gan.models.interfaces import build_generator, initialise
from gan.params.model import ModelParams

NETWORK = {"family": "dcgan", "width": 4, "widest": 16, "activation": "relu"}
NORMS = {"norm": "batch", "first_norm": True, "self_modulation": True}
NORMS |= {"spectral_norm": False, "last": "tanh"}
MODEL = {"latent_size": 8, "generator": NETWORK | NORMS, "discriminator": NETWORK}
ORIGIN = Origin(MODEL, 32, 640, "a" * 64, "b" * 64, "hinge 32px")


@pytest.fixture
def generator():
    model = ModelParams.model_validate(MODEL)
    network = build_generator(model, 32)
    initialise(network, model.generator, torch.Generator().manual_seed(0))
    return network.eval()


@pytest.fixture
def path(tmp_path, generator):
    """A checkpoint of the generator."""
    save_checkpoint(tmp_path / "a.pt", ORIGIN, generator)
    return tmp_path / "a.pt"


def refusal(path, load=load_checkpoint):
    with pytest.raises(GanError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_what_was_saved_comes_back_and_equal_content_gives_equal_bytes(path, tmp_path, generator):
    loaded, origin = load_generator(path)
    latents = torch.randn(4, 8)
    assert origin == ORIGIN
    assert not loaded.training
    assert torch.equal(loaded(latents), generator(latents))
    save_checkpoint(tmp_path / "folder" / "another_name.pt", ORIGIN, loaded)
    assert path.read_bytes() == (tmp_path / "folder" / "another_name.pt").read_bytes()
    save_checkpoint(tmp_path / "b.pt", replace(ORIGIN, images_seen=641), generator)
    assert path.read_bytes() != (tmp_path / "b.pt").read_bytes()


def test_the_state_of_a_training_comes_back_as_it_was(path, generator):
    state = {"step": 7, "window": {"loss": torch.tensor(0.5)}, "betas": (0.5, 0.9), "none": None}
    save_checkpoint(path, ORIGIN, generator, state)
    content = load_checkpoint(path)
    assert (content["kind"], content["state"]) == ("training", state)
    assert load_generator(path)[1] == ORIGIN


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (self.marker, "w")


@pytest.mark.parametrize("wrapped", ["zip", "pickle"])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, wrapped):
    marker, path = tmp_path / "it_ran", tmp_path / "evil.pt"
    content = {"format": "avatar-gan checkpoint 2", "averaged": Evil(str(marker))}
    if wrapped == "zip":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    assert "not a checkpoint of gan" in refusal(path)
    assert not marker.exists()
    torch.load(path, weights_only=False) if wrapped == "zip" else pickle.loads(path.read_bytes())
    assert marker.exists()  # the file is indeed a trap


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda path: path.write_text("a text file"), "not a checkpoint of gan"),
        (lambda path: torch.save({"state_dict": {}}, path), "not a checkpoint of gan"),
        (lambda path: None, "no such checkpoint file"),
    ],
)
def test_what_is_no_checkpoint_is_reported_in_one_line(tmp_path, write, problem):
    write(tmp_path / "x.pt")
    assert problem in refusal(tmp_path / "x.pt")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_checkpoint_is_reported_in_one_line(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "damaged" in refusal(path)


def test_a_flipped_bit_anywhere_is_noticed_or_changes_nothing(path, generator):
    whole, noticed = path.read_bytes(), 0
    for place in range(0, len(whole), len(whole) // 150):
        damaged = bytearray(whole)
        damaged[place] ^= 16
        path.write_bytes(damaged)
        try:
            loaded, origin = load_generator(path)
        except GanError:
            noticed += 1
            continue
        assert origin == ORIGIN
        mine, theirs = loaded.state_dict(), generator.state_dict()
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert noticed > 50


def test_the_digest_sees_values_names_types_and_shapes():
    some = {"a": torch.tensor([1.0, 2.0]), "b": [1, (2, "x")], "c": None}
    others = [
        some | {"a": torch.tensor([1.0, 2.5])},
        some | {"a": torch.tensor([[1.0, 2.0]])},
        some | {"a": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        some | {"b": [1, [2, "x"]]},
        some | {"b": [1, (2, "y")]},
        some | {"c": 0},
        {**{"d": some["a"]}, "b": some["b"], "c": None},
    ]
    digests = {content_digest(each) for each in [some, *others]}
    assert len(digests) == 1 + len(others)
    assert content_digest(some | {"sha256": "anything"}) == content_digest(some)


@pytest.mark.parametrize(
    "change",
    [
        {"origin": None},
        {"origin": {**vars(ORIGIN), "size": 64}},
        {"origin": {**vars(ORIGIN), "size": 50}},
        {"origin": {**vars(ORIGIN), "size": 32.0}},
        {"origin": {**vars(ORIGIN), "model": {"latent_size": -1}}},
        {"averaged": {}},
        {"averaged": 5},
    ],
)
def test_weights_that_do_not_fit_their_params_are_refused_in_one_line(path, change):
    content = load_checkpoint(path) | change
    torch.save(content | {"sha256": content_digest(content)}, path)
    assert "do not fit" in refusal(path, load_generator)


def rewrite(path, change):
    """Write a checkpoint again, after `change(content)`."""
    content = load_checkpoint(path)
    change(content)
    torch.save(content | {"sha256": content_digest(content)}, path)


def test_params_that_came_later_are_filled_in(path, generator, monkeypatch):
    monkeypatch.setitem(LATER_PARAMS, "generator", {"first_norm": True})
    rewrite(path, lambda content: content["origin"]["model"]["generator"].pop("first_norm"))
    loaded, origin = load_generator(path)
    assert origin == ORIGIN
    assert torch.equal(loaded(torch.ones(4, 8)), generator(torch.ones(4, 8)))
    content = load_checkpoint(path)
    read_origin(path, content)
    assert content_digest(content) == content["sha256"]
    monkeypatch.setitem(LATER_PARAMS, "generator", {})
    assert "do not fit" in refusal(path, load_generator)


def test_params_that_have_gone_are_left_out(path, generator):
    def add(content):
        for network in ("generator", "discriminator"):
            content["origin"]["model"][network]["blocks"] = 1

    rewrite(path, add)
    loaded, origin = load_generator(path)
    assert origin == ORIGIN
    assert torch.equal(loaded(torch.ones(4, 8)), generator(torch.ones(4, 8)))


@pytest.mark.parametrize("network", ["generator", "discriminator"])
@pytest.mark.parametrize("family", ["upsample", "resnet"])
def test_a_family_that_has_gone_is_refused_naming_it_and_the_last_version(path, network, family):
    rewrite(path, lambda content: content["origin"]["model"][network].update(family=family))
    message = refusal(path, load_generator)
    assert network in message
    assert f"'{family}'" in message
    assert "version 0.1.0 " in message
    assert load_checkpoint(path)["origin"]["run_key"] == ORIGIN.run_key  # its lineage is readable


def test_the_trained_generator_has_a_mean_of_its_own(path, generator):
    trained = {name: value + 1 for name, value in generator.state_dict().items()}
    save_checkpoint(path, ORIGIN, generator, {"generator": trained})
    generator.load_state_dict(trained)
    generator.measure_mean()
    loaded, _ = load_generator(path, raw=True)
    assert torch.equal(loaded.project_mean, generator.project_mean)
    assert loaded.project_mean.std() > 0
