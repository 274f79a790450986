"""Schema of params.yaml: valid values, and errors that name key, value and rule."""

import copy
import inspect
import re
from pathlib import Path

import pytest
import torch
import yaml
from dvc.utils.hydra import apply_overrides

from gan.errors import GanError
from gan.models.registry import FAMILIES
from gan.objectives.registry import OBJECTIVES
from gan.params.evaluation import RENAMED_METRICS
from gan.params.file import load_params, parse_params, parse_text
from gan.params.optimiser import ARGUMENTS

REPOSITORY = Path(__file__).resolve().parents[3]
SHIPPED = REPOSITORY / "params.yaml"
VALUES = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))


RECIPE = "train.recipes.bce"
OPTIMISER = f"{RECIPE}.generator"


def edit(dotted: str, value: object, *more: tuple[str, object]) -> dict:
    """Values of the shipped file with dotted keys set."""
    values = copy.deepcopy(VALUES)
    for path, new in ((dotted, value), *more):
        *sections, key = path.split(".")
        section = values
        for name in sections:
            section = section[name]
        section[key] = new
    return values


def accept(dotted: str, value: object, *more: tuple[str, object]):
    return parse_params(edit(dotted, value, *more), "test")


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


def test_the_shipped_file_has_a_recipe_for_every_objective():
    assert set(load_params(SHIPPED).train.recipes) == set(OBJECTIVES)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_can_be_switched_on(name):
    params = accept("train.objective", name)
    assert params.train.recipe is params.train.recipes[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_can_be_chosen_for_either_network(name):
    params = accept("model.generator.family", name, ("model.discriminator.family", name))
    assert (params.model.generator.family, params.model.discriminator.family) == (name, name)


def missing_keys(section, prefix=""):
    for key, value in section.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict) and not key.endswith(("arguments", "recipes")):
            yield from missing_keys(value, f"{prefix}{key}.")


def test_there_is_no_default_for_any_key():
    values = copy.deepcopy(VALUES)
    values["train"]["recipes"] = {"bce": values["train"]["recipes"]["bce"]}
    paths = list(missing_keys(values))
    paths += [
        f"train.recipes.bce.{path}" for path in missing_keys(values["train"]["recipes"]["bce"])
    ]
    assert len(paths) > 100
    for path in paths:
        less = copy.deepcopy(values)
        *sections, key = path.split(".")
        section = less
        for name in sections:
            section = section[name]
        del section[key]
        assert f"{path} is missing" in refusal(less)


def test_all_mistakes_are_reported_at_once():
    values = edit("preprocess.size", 50)
    del values["evaluate"]["splits"]
    message = refusal(values)
    assert "preprocess.size" in message
    assert "evaluate.splits is missing" in message


def test_an_unknown_key_is_named_in_one_line():
    assert "train.learning_rate is unknown" in refusal(edit("train.learning_rate", 1.0))
    assert "train.a b is unknown" in refusal(edit("train.a\nb", 1))


BAD = [
    ("train.objective", ("foo", "WGAN_GP"), f"must be one of {', '.join(OBJECTIVES)}"),
    ("preprocess.size", (50, "64"), "32, 48, 64, 96, 128, 192 or 256"),
    ("model", (5,), "must be a section, with keys"),
    ("model.latent_size", (0, 4097), "or equal to"),
    ("model.generator.family", ("vit", ""), f"must be one of {', '.join(FAMILIES)}"),
    ("model.discriminator.width", (0, 1025), "or equal to"),
    ("model.generator.widest", (0, 65), "or equal to"),
    ("model.generator.blocks", (0, 17), "or equal to"),
    ("model.generator.activation", ("selu",), "'relu', 'leaky_relu', 'silu' or 'gelu'"),
    ("model.generator.norm", ("group",), "'none', 'batch', 'instance', 'layer' or 'pixel'"),
    ("model.generator.first_norm", ("yes", 1), "boolean"),
    ("model.generator.last", ("sigmoid",), "'tanh' or 'none'"),
    ("preprocess.holdout", (1.0,), "less than 1"),
    ("preprocess.crop", ("none",), "'square', 'pad' or 'faces'"),
    ("preprocess.faces.detector", ("none",), "'animeface', 'cascade' or 'boxes'"),
    ("preprocess.filters.max_one_colour", (0.4, 1.1), "or equal to"),
    ("preprocess.filters.min_sharpness", (float("nan"), float("inf")), "finite number"),
    ("preprocess.duplicates.dhash", (-1, 11), "or equal to"),
    ("preprocess.background", ([1, 2],), "at least 3"),
    ("train.batch_size", (1, 65537), "or equal to"),
    ("train.batch_size", (16.5,), "integer"),
    ("train.seed", (-1,), "greater than or equal to 0"),
    ("train.seed", (2**64,), "less than"),
    ("train.init_from", (None,), "string"),
    ("train.device", ("gpu",), "'auto', 'cpu', 'cuda' or 'mps'"),
    ("train.precision", ("tf32",), "'auto', 'float64', 'float32', 'bf16' or 'fp16'"),
    ("train.log_every", (0, -1), "greater than 0"),
    ("train.augment.strength", (-0.1, 1.1), "or equal to"),
    ("train.augment.ada_target", (1.0,), "less than 1"),
    ("train.average.warm_up", (0.0,), "greater than 0"),
    ("train.recipes", ([],), "must be a section, with keys"),
    (RECIPE, (None,), "must be a section, with keys"),
    (f"{RECIPE}.critic_steps", (0, 1001), "or equal to"),
    (f"{RECIPE}.label_smoothing", (0.5,), "less than 0.5"),
    (f"{RECIPE}.penalties.r1", (float("nan"), float("inf")), "finite"),
    (f"{OPTIMISER}.optimiser", ("lion",), "'adam', 'adamw', 'rmsprop' or 'sgd'"),
    (f"{OPTIMISER}.learning_rate", (0.0,), "greater than 0"),
    (f"{OPTIMISER}.learning_rate", ("fast",), "number"),
    (f"{OPTIMISER}.arguments", (None,), "must be a section, with keys"),
    (f"{OPTIMISER}.arguments.eps", ("small", True, None), "valid number"),
    (f"{OPTIMISER}.arguments.eps", (-1e-8,), "greater than or equal to 0"),
    (f"{OPTIMISER}.arguments.betas", (0.5,), "valid list"),
    (f"{OPTIMISER}.arguments.betas", ([0.5],), "at least 2 items"),
    (f"{OPTIMISER}.arguments.betas", ([0.5, 0.9, 0.99],), "at most 2 items"),
    (f"{OPTIMISER}.arguments.amsgrad", (1,), "boolean"),
    (f"{OPTIMISER}.schedule.shape", ("step",), "'constant', 'linear' or 'cosine'"),
    (f"{OPTIMISER}.schedule.begin", (0.5,), "integer"),
    ("evaluate.splits", (["train", "train"],), "twice"),
    ("evaluate.splits", ([],), "at least 1"),
    ("evaluate.report_seeds", ([2, 2],), "twice"),
    ("evaluate.metrics", (["kernel_distance", "kernel_distance"],), "twice"),
    ("features.extractors", (["lite0", "lite0"],), "twice"),
    ("features.inception_sha256", ("abc",), "pattern"),
]


@pytest.mark.parametrize(("key", "values", "rule"), BAD)
def test_a_bad_value_is_refused_with_its_key_and_the_rule(key, values, rule):
    for value in values:
        assert re.search(
            rf"{key} = {re.escape(repr(value))}: .*({rule})", refusal(edit(key, value))
        )


def test_a_value_inside_a_list_is_reported_with_its_index():
    message = refusal(edit("preprocess.background", [0, 300, 0]))
    assert "preprocess.background.1 = 300: input should be less than or equal to 255" in message


def test_a_value_as_long_as_a_page_is_cut():
    message = refusal(edit(RECIPE, "x" * 5000))
    assert f"{RECIPE} = 'xxx" in message
    assert len(message) < 200


@pytest.mark.parametrize("key", [5, None, "wgangp"])
def test_a_recipe_for_no_objective_is_refused(key):
    values = copy.deepcopy(VALUES)
    values["train"]["recipes"][key] = values["train"]["recipes"]["bce"]
    assert f"train.recipes.{key} = {key!r}: " in refusal(values)


def test_an_objective_without_its_recipe_is_refused_and_others_may_be_left_out():
    recipes = copy.deepcopy(VALUES["train"]["recipes"])
    one = {"hinge": recipes["hinge"]}
    assert "objective = 'bce' has no section in train.recipes" in refusal(
        edit("train.recipes", one)
    )
    params = accept("train.recipes", one, ("train.objective", "hinge"))
    assert list(params.train.recipes) == ["hinge"]


@pytest.mark.parametrize("penalty", ["gradient", "r1", "r2"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_penalty_goes_with_batch_norm_in_the_discriminator(objective, penalty):
    recipe = f"train.recipes.{objective}"
    batch = (f"{recipe}.discriminator_norm", "batch")
    message = refusal(edit(f"{recipe}.penalties.{penalty}", 0.1, batch))
    assert f"{recipe}: discriminator_norm: batch is not allowed with penalties" in message
    for allowed in ("none", "layer", "pixel", "instance"):
        assert allowed in message


@pytest.mark.parametrize("norm", ["none", "layer", "pixel", "instance"])
def test_penalties_go_with_norms_of_single_samples_and_batch_norm_without(norm):
    gradient = (f"{RECIPE}.penalties.gradient", 10.0)
    params = accept(f"{RECIPE}.discriminator_norm", norm, gradient)
    assert params.train.recipe.penalties.enabled
    recipe = accept(f"{RECIPE}.discriminator_norm", "batch").train.recipe
    assert not recipe.penalties.enabled


def test_wgan_gp_without_the_gradient_penalty_is_refused_only_if_it_is_switched_on():
    off = ("train.recipes.wgan_gp.penalties.gradient", 0.0)
    message = refusal(edit(*off, ("train.objective", "wgan_gp")))
    assert "train: recipes.wgan_gp.penalties.gradient = 0: " in message
    r1 = ("train.recipes.wgan_gp.penalties.r1", 10.0)
    assert "penalties.gradient = 0" in refusal(edit(*off, r1, ("train.objective", "wgan_gp")))
    assert accept(*off).train.objective == "bce"


@pytest.mark.parametrize("shape", ["linear", "cosine"])
@pytest.mark.parametrize(("begin", "end"), [(0, 0), (5, 5), (1000, 10)])
def test_a_schedule_ends_after_it_begins(shape, begin, end):
    schedule = f"{OPTIMISER}.schedule"
    message = refusal(
        edit(f"{schedule}.shape", shape, (f"{schedule}.begin", begin), (f"{schedule}.end", end))
    )
    assert f"{schedule}: end = {end} must be after begin = {begin}, in images seen" in message
    assert f"shape: {shape}" in message


def test_a_constant_schedule_needs_no_end():
    schedule = accept(f"{OPTIMISER}.schedule.begin", 10).train.recipe.generator.schedule
    assert (schedule.shape, schedule.begin, schedule.end) == ("constant", 10, 0)


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"betas": [0.5, "x"]}, "betas.1 = 'x': "),
        ({"betas": [True, 0.9]}, "betas.0 = True: "),
        ({"betas": [0.5, 1.0]}, "betas.1 = 1.0: input should be less than 1"),
        ({"momentum": 1.0}, "momentum = 1.0: input should be less than 1"),
        ({"eps": 10**400}, "eps = 1000"),
        ({"eps": {"a": 1}}, "eps: input should be a valid number"),
        ({"lr": 0.1}, "lr is unknown"),
        ({5: 5}, "5 = 5: keys should be strings"),
    ],
)
def test_a_wrong_argument_of_an_optimiser_is_one_short_line(arguments, where):
    message = refusal(edit(f"{OPTIMISER}.arguments", arguments))
    assert message.startswith(f"params.yaml: {OPTIMISER}.arguments.{where}")
    assert len(message) < 250


@pytest.mark.parametrize(
    ("optimiser", "arguments", "expected"),
    [
        ("sgd", {"betas": [0.5, 0.9]}, "sgd takes no argument 'betas'; it takes momentum, "),
        ("adam", {"momentum": 0.9}, "adam takes no argument 'momentum'; it takes betas, eps, "),
        ("rmsprop", {"nesterov": True}, "rmsprop takes no argument 'nesterov'; it takes alpha, "),
        ("sgd", {"nesterov": True}, "arguments.nesterov = True needs a momentum"),
        ("sgd", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "and a dampening of 0"),
    ],
)
def test_arguments_that_the_optimiser_would_refuse_are_refused(optimiser, arguments, expected):
    changes = (f"{OPTIMISER}.optimiser", optimiser), (f"{OPTIMISER}.arguments", arguments)
    message = refusal(edit(*changes[0], changes[1]))
    assert f"{OPTIMISER}: " in message
    assert expected in message


@pytest.mark.parametrize("optimiser", ARGUMENTS)
def test_arguments_that_may_be_set_are_those_that_torch_has(optimiser):
    names = {"adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD"}
    taken = inspect.signature(getattr(torch.optim, names[optimiser])).parameters
    assert set(ARGUMENTS[optimiser]) <= set(taken)
    values = {"betas": [0.5, 0.9], "nesterov": False, "amsgrad": True, "centered": True}
    arguments = {name: values.get(name, 0.5) for name in ARGUMENTS[optimiser]}
    changes = (f"{OPTIMISER}.optimiser", optimiser), (f"{OPTIMISER}.arguments", arguments)
    assert accept(*changes[0], changes[1]).train.recipe.generator.arguments == arguments


def test_numbers_and_switches_of_arguments_keep_their_kinds():
    arguments = {"betas": [0, 0.9], "eps": 0, "amsgrad": True}
    found = accept(f"{OPTIMISER}.arguments", arguments).train.recipe.generator.arguments
    assert found["amsgrad"] is True
    assert [type(found["eps"]), *map(type, found["betas"])] == [float] * 3


def test_active_values_hold_one_recipe_and_no_length():
    active = load_params(SHIPPED).train.active()
    assert {"images", "recipes", "keep_checkpoints"}.isdisjoint(active)
    assert active["recipe"] == load_params(SHIPPED).train.recipe.model_dump()
    other = ("train.recipes.hinge.critic_steps", 7)
    longer = accept("train.images", 10**9, ("train.keep_checkpoints", 9), other).train.active()
    assert longer == active
    assert accept(f"{RECIPE}.critic_steps", 2).train.active() != active


def test_a_step_shows_the_critic_a_batch_each_time():
    steps = (f"{RECIPE}.critic_steps", 5)
    assert accept("train.batch_size", 16, steps).train.images_per_step == 80


def test_the_seed_that_chooses_may_not_report():
    message = refusal(edit("evaluate.report_seeds", [7, 1]))
    assert "selection_seed = 1 is one of report_seeds" in message


@pytest.mark.parametrize(("old", "new"), RENAMED_METRICS.items())
def test_the_old_id_of_a_metric_is_refused_with_the_new_one(old, new):
    message = refusal(edit("evaluate.metrics", ["memorisation", old]))
    assert f"evaluate.metrics.1 = {old!r}: now called {new}" in message
    accept("evaluate.metrics", ["memorisation", new])


@pytest.mark.parametrize("name", ["vgg", "../clip.pt", "/clip.pt", "clip.onnx", ""])
def test_an_extractor_is_known_or_a_file_in_its_folder(name):
    assert f"{name!r}" in refusal(edit("features.extractors", [name]))
    accept("features.extractors", ["clip.pt", "deep/vgg.ts", "lite0"])


@pytest.mark.parametrize("values", [None, [], "text", 5])
def test_a_file_without_sections_is_refused_with_the_names_it_needs(values):
    assert "preprocess, model, train, features, evaluate" in refusal(values)


def test_params_are_frozen():
    params = load_params(SHIPPED)
    with pytest.raises(ValueError, match="frozen"):
        params.train.seed = 2
    with pytest.raises(ValueError, match="frozen"):
        params.train.recipe.penalties.r1 = 2.0


@pytest.mark.parametrize("text", ["1e-05", "1E-5", "1.e-5", "0.00001", "1.0e-5"])
def test_numbers_as_dvc_writes_them_are_numbers(text):
    values = edit(f"{OPTIMISER}.learning_rate", "HERE")
    params = parse_text(yaml.safe_dump(values).replace("HERE", text), "test")
    assert params.train.recipe.generator.learning_rate == 1e-5


@pytest.mark.parametrize(
    ("override", "look", "expected"),
    [
        ("train.recipes.bce.generator.learning_rate=1e-5", "generator.learning_rate", 1e-5),
        (
            "train.recipes.bce.generator.arguments.betas=[0.1,0.9]",
            "generator.arguments.betas",
            [0.1, 0.9],
        ),
        ("train.recipes.bce.penalties.every=4", "penalties.every", 4),
        ("train.recipes.bce.discriminator_norm=layer", "discriminator_norm", "layer"),
        ("train.recipes.bce.discriminator.schedule.floor=0", "discriminator.schedule.floor", 0.0),
    ],
)
def test_what_dvc_sets_by_its_option_s_is_understood(tmp_path, override, look, expected):
    file = tmp_path / "params.yaml"
    file.write_text(SHIPPED.read_text())
    apply_overrides(file, [override])
    found = load_params(file).train.recipe.model_dump()
    for key in look.split("."):
        found = found[key]
    assert found == expected


def test_dvc_can_switch_optimisers_with_their_arguments_and_keeps_the_rest(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(SHIPPED.read_text())
    apply_overrides(
        file,
        [
            "train.recipes.bce.generator.optimiser=sgd",
            "~train.recipes.bce.generator.arguments.betas",
            "+train.recipes.bce.generator.arguments.momentum=0.9",
        ],
    )
    generator = load_params(file).train.recipe.generator
    assert (generator.optimiser, generator.arguments) == ("sgd", {"momentum": 0.9})
    before = load_params(SHIPPED).model_dump()
    after = load_params(file).model_dump()
    after["train"]["recipes"]["bce"]["generator"] = before["train"]["recipes"]["bce"]["generator"]
    assert after == before


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
