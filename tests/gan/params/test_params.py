"""Schema of params.yaml: valid values, and errors that name key, value and rule."""

import copy
import re
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from gan.errors import GanError
from gan.models.registry import FAMILIES
from gan.objectives.registry import OBJECTIVES
from gan.params.evaluation import RENAMED_METRICS
from gan.params.file import load_params, parse_params, parse_text

REPOSITORY = Path(__file__).resolve().parents[3]
SHIPPED = REPOSITORY / "params.yaml"
VALUES = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))

OBJECTIVE = VALUES["train"]["objective"]
RECIPE = f"train.recipes.{OBJECTIVE}"
OPTIMISER = f"{RECIPE}.generator"
CONSTANT = {
    f"{RECIPE}.{network}.schedule.shape": "constant" for network in ("generator", "discriminator")
}
MISSING = object()
FREE = {"arguments", "exclusive", "independent"}
"""Sections whose keys the user chooses."""


def edit(changes: dict) -> dict:
    """Values of the shipped file with dotted keys set, or removed where they are MISSING."""
    values = copy.deepcopy(VALUES)
    for path, new in changes.items():
        *sections, key = path.split(".")
        section = values
        for name in sections:
            section = section[name]
        section[key] = new
        if new is MISSING:
            del section[key]
    return values


def accept(changes: dict):
    return parse_params(edit(changes), "test")


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
    assert params.train.recipe is params.train.recipes[params.train.objective]


def test_every_objective_and_family_can_be_switched_on():
    assert set(load_params(SHIPPED).train.recipes) == set(OBJECTIVES)
    for name in OBJECTIVES:
        train = accept({"train.objective": name}).train
        assert train.recipe is train.recipes[name]
    for name in FAMILIES:
        networks = "generator", "discriminator"
        model = accept({f"model.{network}.family": name for network in networks}).model
        assert {getattr(model, network).family for network in networks} == {name}


def missing_keys(section, prefix=""):
    for key, value in section.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict) and key not in FREE:
            others = {name for name in value if key == "recipes" and name != OBJECTIVE}
            kept = {name: each for name, each in value.items() if name not in others}
            yield from missing_keys(kept, f"{prefix}{key}.")


def test_there_is_no_default_for_any_key():
    paths = [path for path in missing_keys(VALUES) if path != RECIPE]
    assert len(paths) > 100
    for path in paths:
        assert f"{path} is missing" in refusal(edit({path: MISSING}))


def test_all_mistakes_are_reported_at_once_and_unknown_keys_too():
    wrong = {"preprocess.size": 50, "train.a\nb": 1, "evaluate.splits": MISSING}
    message = refusal(edit(wrong))
    for problem in ("preprocess.size = 50: ", "train.a b is unknown", "splits is missing"):
        assert problem in message


@pytest.mark.parametrize(
    ("key", "values", "rule"),
    [
        ("train.objective", ("foo", "WGAN_GP"), f"must be one of {', '.join(OBJECTIVES)}"),
        ("preprocess.size", (50, "64"), "32, 48, 64, 96, 128, 192 or 256"),
        ("model", (5,), "must be a section, with keys"),
        ("model.latent_size", (0, 4097), "or equal to"),
        ("model.generator.family", ("resnet", ""), f"must be one of {', '.join(FAMILIES)}"),
        ("model.generator.first_norm", ("yes", 1), "boolean"),
        ("preprocess.faces.detector", ("none",), "'animeface', 'cascade' or 'boxes'"),
        ("preprocess.filters.min_sharpness", (float("nan"), float("inf")), "finite number"),
        ("preprocess.background", ([1, 2],), "at least 3"),
        ("preprocess.background.1", (300,), "less than or equal to 255"),
        ("train.batch_size", (16.5,), "integer"),
        ("train.seed", (-1, 2**64), "greater|less"),
        (f"{RECIPE}.label_smoothing", (0.5,), "less than 0.5"),
        (f"{OPTIMISER}.learning_rate", (0.0, "fast", 10**400), "greater|number"),
        (f"{OPTIMISER}.schedule.hold", (1.0, -0.1), "less than 1|or equal to 0"),
        (f"{OPTIMISER}.arguments.eps", ("small", True, None), "valid number"),
        (f"{OPTIMISER}.arguments.betas", (0.5, [0.5], [0.1, 0.2, 0.3]), "valid list|2 items"),
        (f"{OPTIMISER}.arguments.betas.1", ("x", True, 1.0, float("nan")), "number|less than 1"),
        (f"{OPTIMISER}.arguments.amsgrad", (1,), "boolean"),
        ("evaluate.splits", ([],), "at least 1"),
        ("evaluate.splits", (["train", "train"],), "twice"),
        ("evaluate.metrics", (["kernel_distance", "kernel_distance"],), "twice"),
        ("features.extractors", (["lite0", "lite0"],), "twice"),
        ("features.inception_sha256", ("abc",), "pattern"),
    ],
)
def test_a_bad_value_is_refused_with_its_key_and_the_rule(key, values, rule):
    for value in values:
        whole = key.removesuffix(".1")  # the second of a list
        new = [0, value, 0] if "background." in key else [0.5, value] if whole != key else value
        changes = {whole: new}
        shown = re.escape(repr(value)[:80])
        assert re.search(rf"{key} = {shown}.*: .*({rule})", refusal(edit(changes)))


def test_an_unknown_argument_is_named_and_a_value_as_long_as_a_page_is_cut():
    assert "arguments.lr is unknown" in refusal(edit({f"{OPTIMISER}.arguments": {"lr": 0.1}}))
    message = refusal(edit({RECIPE: "x" * 5000}))
    assert f"{RECIPE} = 'xxx" in message
    assert len(message) < 200


def test_recipes_are_of_objectives_and_only_the_chosen_one_is_needed():
    for key in (5, None, "wgangp"):
        recipes = VALUES["train"]["recipes"] | {key: VALUES["train"]["recipes"]["bce"]}
        assert f"train.recipes.{key} = {key!r}: " in refusal(edit({"train.recipes": recipes}))
    one = {"train.recipes": {"bce": VALUES["train"]["recipes"]["bce"]}}
    assert f"objective = {OBJECTIVE!r} has no section in train.recipes" in refusal(edit(one))
    assert list(accept(one | {"train.objective": "bce"}).train.recipes) == ["bce"]


@pytest.mark.parametrize("penalty", ["gradient", "r1", "r2"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_penalty_goes_with_batch_norm_in_the_discriminator(objective, penalty):
    recipe = f"train.recipes.{objective}"
    changes = {f"{recipe}.penalties.{penalty}": 0.1, f"{recipe}.discriminator_norm": "batch"}
    assert f"{recipe}: discriminator_norm: batch is not allowed" in refusal(edit(changes))
    for norm in ("none", "layer", "pixel", "instance"):
        changes[f"{recipe}.discriminator_norm"] = norm
        assert accept(changes).train.recipes[objective].penalties.enabled
    assert not accept({f"{RECIPE}.discriminator_norm": "batch"}).train.recipe.penalties.enabled


def test_wgan_gp_without_the_gradient_penalty_is_refused_only_if_it_is_switched_on():
    off = {"train.recipes.wgan_gp.penalties.gradient": 0.0}
    r1 = {"train.objective": "wgan_gp", "train.recipes.wgan_gp.penalties.r1": 10.0}
    assert "train: recipes.wgan_gp.penalties.gradient = 0: " in refusal(edit(off | r1))
    assert accept(off).train.objective == OBJECTIVE


@pytest.mark.parametrize(
    ("optimiser", "arguments", "problem"),
    [
        ("sgd", {"betas": [0.5, 0.9]}, "sgd takes no argument 'betas'; it takes momentum, "),
        ("adam", {"momentum": 0.9}, "adam takes no argument 'momentum'; it takes betas, eps, "),
        ("sgd", {"nesterov": True}, "arguments.nesterov = True needs a momentum"),
        ("sgd", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "and a dampening of 0"),
    ],
)
def test_arguments_that_the_optimiser_would_refuse_are_refused(optimiser, arguments, problem):
    changes = {f"{OPTIMISER}.optimiser": optimiser, f"{OPTIMISER}.arguments": arguments}
    message = refusal(edit(changes))
    assert f"{OPTIMISER}: " in message
    assert problem in message


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_active_values_hold_the_length_only_where_a_learning_rate_falls_with_it(network):
    length = {"train.images": 10**9}
    for shape in ("linear", "cosine"):
        falling = CONSTANT | {f"{RECIPE}.{network}.schedule.shape": shape}
        assert accept(falling).train.active() != accept(falling | length).train.active()
        other = CONSTANT | {f"train.recipes.bce.{network}.schedule.shape": shape}
        assert accept(other).train.active() == accept(other | length).train.active()


def test_active_values_hold_one_recipe_and_no_length():
    active = accept(CONSTANT).train.active()
    assert {"images", "recipes", "keep_checkpoints"}.isdisjoint(active)
    assert active["recipe"] == accept(CONSTANT).train.recipe.model_dump()
    other = CONSTANT | {"train.images": 10**9, "train.keep_checkpoints": 9}
    assert accept(other | {"train.recipes.bce.critic_steps": 7}).train.active() == active
    train = accept({f"{RECIPE}.critic_steps": 5, "train.batch_size": 16}).train
    assert train.active() != active
    assert train.images_per_step == 80


def test_old_ids_of_metrics_and_reporting_with_the_seed_that_chooses_are_refused():
    message = refusal(edit({"evaluate.report_seeds": [7, 1]}))
    assert "selection_seed = 1 is one of report_seeds" in message
    for old, new in RENAMED_METRICS.items():
        message = refusal(edit({"evaluate.metrics": ["memorisation", old]}))
        assert f"evaluate.metrics.1 = {old!r}: now called {new}" in message
        accept({"evaluate.metrics": ["memorisation", new]})


@pytest.mark.parametrize("name", ["vgg", "../clip.pt", "/clip.pt", "clip.onnx", ""])
def test_an_extractor_is_known_or_a_file_in_its_folder(name):
    assert f"{name!r}" in refusal(edit({"features.extractors": [name]}))
    accept({"features.extractors": ["clip.pt", "deep/vgg.ts", "lite0"]})


def test_params_are_frozen_and_a_file_without_sections_is_refused():
    for values in (None, [], "text"):
        assert "preprocess, model, train, features, evaluate" in refusal(values)
    with pytest.raises(ValueError, match="frozen"):
        load_params(SHIPPED).train.recipe.penalties.r1 = 2.0


@pytest.mark.parametrize("text", ["1e-05", "1E-5", "1.e-5", "0.00001", "1.0e-5"])
def test_numbers_as_dvc_writes_them_are_numbers(text):
    values = edit({f"{OPTIMISER}.learning_rate": "HERE"})
    params = parse_text(yaml.safe_dump(values).replace("HERE", text), "test")
    assert params.train.recipe.generator.learning_rate == 1e-5


def test_what_dvc_sets_by_its_option_s_is_understood_and_the_rest_kept(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(SHIPPED.read_text())
    overrides = [
        f"{OPTIMISER}.learning_rate=1e-5",
        f"{OPTIMISER}.optimiser=sgd",
        f"~{OPTIMISER}.arguments.betas",
        f"+{OPTIMISER}.arguments.momentum=0.9",
        f"{RECIPE}.discriminator_norm=layer",
        f"{RECIPE}.discriminator.arguments.betas=[0.1,0.9]",
    ]
    apply_overrides(file, overrides)
    expected = edit({f"{OPTIMISER}.learning_rate": 1e-5, f"{OPTIMISER}.optimiser": "sgd"})
    recipe = expected["train"]["recipes"][OBJECTIVE]
    recipe["generator"]["arguments"] = {"momentum": 0.9}
    recipe["discriminator_norm"] = "layer"
    recipe["discriminator"]["arguments"]["betas"] = [0.1, 0.9]
    assert load_params(file) == parse_params(expected, "expected")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"train: [1,\nb: 2", "not valid YAML"),
        (b"\xff\xfe\x00", "cannot be read"),
        (None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, content, problem):
    file = tmp_path / "params.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(GanError, match=problem) as caught:
        load_params(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(GanError, match="cannot be read"):
        load_params(tmp_path)
