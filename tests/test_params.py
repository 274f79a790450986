"""What params.yaml may say, and how a mistake in it is told."""

from pathlib import Path

import pytest
import yaml

from gan.errors import GanError
from gan.params import load_params, parse_params

REPOSITORY = Path(__file__).resolve().parents[1]
SHIPPED = REPOSITORY / "params.yaml"


def edited(dotted: str, value: object) -> dict:
    values = yaml.safe_load(SHIPPED.read_text())
    *sections, key = dotted.split(".")
    section = values
    for name in sections:
        section = section[name]
    section[key] = value
    return values


def refusal(values: object) -> str:
    with pytest.raises(GanError) as caught:
        parse_params(values, "params.yaml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("params.yaml: ")
    return message


@pytest.mark.parametrize(
    "file",
    [SHIPPED, *sorted((REPOSITORY / "docs").rglob("params*.yaml"))],
    ids=lambda file: str(file.relative_to(REPOSITORY)),
)
def test_every_shipped_params_file_is_valid(file):
    params = load_params(file)
    assert params.train.recipe == getattr(params.train, params.train.objective)


@pytest.mark.parametrize("name", ["bce", "wgan_gp", "hinge"])
def test_every_objective_can_be_switched_on(name):
    params = parse_params(edited("train.objective", name), "test")
    assert params.train.recipe == getattr(params.train, name)


def test_an_unknown_key_is_named():
    assert "train.learning_rate is unknown" in refusal(edited("train.learning_rate", 1.0))


def test_a_missing_key_is_named():
    values = yaml.safe_load(SHIPPED.read_text())
    del values["train"]["hinge"]["betas"]
    assert "train.hinge.betas is missing" in refusal(values)


def test_all_mistakes_are_told_at_once():
    values = edited("preprocess.size", 50)
    del values["evaluate"]["splits"]
    message = refusal(values)
    assert "preprocess.size" in message
    assert "evaluate.splits" in message


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("train.objective", "foo", "'bce', 'wgan_gp' or 'hinge'"),
        ("preprocess.size", 50, "32, 48, 64, 96 or 128"),
        ("preprocess.size", "64", "32, 48, 64, 96 or 128"),
        ("preprocess.holdout", 1.0, "less than 1"),
        ("preprocess.crop", "none", "'square', 'pad' or 'faces'"),
        ("preprocess.faces.detector", "none", "'animeface', 'cascade' or 'boxes'"),
        ("preprocess.filters.min_side", -1, "greater than or equal to 0"),
        ("preprocess.filters.max_aspect", 0.5, "greater than or equal to 1"),
        ("preprocess.filters.max_one_colour", 0.4, "greater than or equal to 0.5"),
        ("preprocess.filters.min_sharpness", float("nan"), "finite number"),
        ("preprocess.duplicates.near", 1, "boolean"),
        ("preprocess.duplicates.dhash", 11, "less than or equal to 10"),
        ("preprocess.duplicates.phash", 65, "less than or equal to 64"),
        ("preprocess.background", [1, 2], "at least 3"),
        ("train.batch_size", 1, "greater than or equal to 2"),
        ("train.batch_size", 16.5, "integer"),
        ("train.flip", 1, "boolean"),
        ("train.seed", -1, "greater than or equal to 0"),
        ("train.seed", 2**64, "less than"),
        ("train.images", 0, "greater than 0"),
        ("train.precision", "fp16", "'auto', 'float32' or 'bf16'"),
        ("train.bce.generator_learning_rate", float("inf"), "finite"),
        ("train.bce.generator_learning_rate", float("nan"), "finite"),
        ("train.hinge.discriminator_norm", "group", "'none', 'batch', 'layer' or 'instance'"),
        ("evaluate.splits", ["train", "train"], "twice"),
        ("evaluate.splits", [], "at least 1"),
        ("features.inception_sha256", "abc", "pattern"),
    ],
)
def test_a_bad_value_is_told_with_its_key_and_what_is_allowed(key, value, allowed):
    message = refusal(edited(key, value))
    assert key.rsplit(".", 1)[-1] in message
    assert key.split(".")[0] in message
    assert repr(value) in message
    assert allowed in message


def test_a_value_inside_a_list_is_told_with_its_place():
    message = refusal(edited("train.hinge.betas", [0.5, 1.5]))
    assert "train.hinge.betas.1 = 1.5: input should be less than 1" in message


def test_batch_norm_in_the_critic_of_wgan_gp_is_refused_with_the_reason():
    message = refusal(edited("train.wgan_gp.discriminator_norm", "batch"))
    assert "train.wgan_gp: discriminator_norm: batch is not allowed" in message
    assert "none, layer or instance" in message
    assert "gradient of each sample" in message


@pytest.mark.parametrize("objective", ["bce", "hinge"])
def test_batch_norm_is_allowed_with_other_objectives(objective):
    params = parse_params(edited(f"train.{objective}.discriminator_norm", "batch"), "test")
    assert getattr(params.train, objective).discriminator_norm == "batch"


def test_the_seed_that_chooses_may_not_report():
    values = edited("evaluate.report_seed", 1)
    values["evaluate"]["selection_seed"] = 1
    message = refusal(values)
    assert "selection_seed and report_seed are both 1 and must differ" in message


@pytest.mark.parametrize("values", [None, [], "text", 5])
def test_a_file_without_sections_is_told_which_it_needs(values):
    assert "preprocess, model, train, features, evaluate" in refusal(values)


def test_params_are_frozen():
    params = load_params(SHIPPED)
    with pytest.raises(ValueError, match="frozen"):
        params.train.seed = 2


@pytest.mark.parametrize("text", ["1e-05", "1E-5", "1.e-5", "0.00001", "1.0e-5"])
def test_numbers_as_dvc_writes_them_are_numbers(tmp_path, text):
    file = tmp_path / "params.yaml"
    values = edited("train.bce.generator_learning_rate", "HERE")
    file.write_text(yaml.safe_dump(values).replace("HERE", text))
    assert load_params(file).train.bce.generator_learning_rate == 1e-5


def test_no_file_is_one_line(tmp_path):
    with pytest.raises(GanError, match="no such file; run in the repository or give --params"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"train: [1,\nb: 2", "not valid YAML"), (b"\xff\xfe\x00", "cannot be read")],
)
def test_a_file_that_is_not_yaml_is_one_line(tmp_path, content, told):
    file = tmp_path / "params.yaml"
    file.write_bytes(content)
    with pytest.raises(GanError, match=told) as caught:
        load_params(file)
    assert "\n" not in str(caught.value)


def test_a_folder_instead_of_a_file_is_one_line(tmp_path):
    with pytest.raises(GanError, match="cannot be read"):
        load_params(tmp_path)
