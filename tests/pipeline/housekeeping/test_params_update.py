"""`gan params --update`: files from before get the keys of this version and keep all else."""

import re
from pathlib import Path

import pytest
import yaml

from gan.errors import GanError
from gan.params.file import load_params
from pipeline.housekeeping.presets import compose, update

SHIPPED = Path(__file__).resolve().parents[3] / "params.yaml"
TEXT = SHIPPED.read_text()


def without(text, start, stop):
    """Text without the lines from the one that begins with `start` to the one before `stop`."""
    cut = re.sub(rf"^{start}.*?(?=^{stop})", "", text, flags=re.DOTALL | re.MULTILINE)
    assert cut != text
    return cut


def flat_model(text):
    """The file before networks had sections of their own: train.recipes, metrics, seeds too."""
    text = without(text, "  generator:", "train:")
    text = text.replace(
        "  latent_size: 100\n", "  latent_size: 99\n  generator_width: 24  # mine\n\n"
    )
    text = without(text, "  init_from:", "  flip:")
    text = without(text, "  augment:", "  device:")
    text = without(text, "  # One recipe", "features:")
    old = "  bce:\n    betas: [0.5, 0.9]\n    # of the paper\n    critic_steps: 2\n\nfeatures:"
    text = text.replace("features:", f"  average_images: 7000\n\n{old}", 1)
    text = without(text, "  extractors:", "  batch_size: 64")
    return without(text, "  report_seeds:", "  splits:").replace(
        "evaluate:", "evaluate:\n  report_seed: 2"
    )


def image_counts(text):
    """The file in which schedules had begin and end."""
    return text.replace("hold: 0.0,", "begin: 0, end: 0,")


def before_features(text):
    """The file in which `evaluate` extracted features, and no picture was left out."""
    text = without(text, "features:", "evaluate:")
    text = without(text, "  faces:", "model:").replace("model:", "\nmodel:", 1)
    return without(text, "scrape:", "preprocess:").replace(
        "evaluate:", "evaluate:\n  batch_size: 32"
    )


def before_attributes(text):
    """The file in which images had no labels."""
    return without(text, "  attributes:", "model:").replace("model:", "\nmodel:", 1)


FORMER = {"flat": flat_model, "counts": image_counts, "features": before_features}
FORMER |= {"attributes": before_attributes}


def run_update(tmp_path, text, capsys):
    """Text after the update, and the lines that it printed."""
    file = tmp_path / "params.yaml"
    file.write_text(text)
    capsys.readouterr()
    update(file, None)
    assert list(tmp_path.iterdir()) == [file]
    return file.read_text(), capsys.readouterr().out.splitlines()


def flatten(values, keys=()):
    for key, value in values.items():
        inner = (
            flatten(value, (*keys, key)) if isinstance(value, dict) else [((*keys, key), value)]
        )
        yield from inner


@pytest.mark.parametrize("former", FORMER)
def test_a_file_from_before_is_valid_then_and_keeps_values_comments_and_order(
    former, tmp_path, capsys
):
    before = FORMER[former](TEXT).replace("seed: 1\n", "seed: 5  # lucky\n", 1)
    before = before.replace("train:\n", "# here I changed the most\ntrain:\n")
    (tmp_path / "old.yaml").write_text(before)
    with pytest.raises(GanError, match=r" is missing; (.*; )?`gan params --update` writes .*in$"):
        load_params(tmp_path / "old.yaml")
    (tmp_path / "old.yaml").unlink()
    after, said = run_update(tmp_path, before, capsys)
    load_params(tmp_path / "params.yaml")

    shipped, old, new = (dict(flatten(yaml.safe_load(each))) for each in (TEXT, before, after))
    gone = {keys for keys in old if keys not in shipped}
    assert new == shipped | {keys: value for keys, value in old.items() if keys not in gone}
    assert [keys for keys in new if keys in old] == [keys for keys in old if keys not in gone]
    assert {"# lucky", "# here I changed the most"} <= set(re.findall("#.*", after))
    kept = [line for line in before.splitlines() if line in TEXT.splitlines()]
    rest = iter(after.splitlines())
    assert all(line in rest for line in kept)  # all of them, in their order
    names = {".".join(keys) for keys in gone} - {"train.bce.betas", "train.bce.critic_steps"}
    removed = [line for line in said if line.startswith("removed ")]
    assert all(any(f"{name}: " in line for line in removed) for name in names)
    assert said[-1] == f"{tmp_path / 'params.yaml'}: written"

    again, said = run_update(tmp_path, after, capsys)
    assert (again, len(said)) == (after, 1)
    assert "nothing written" in said[0]


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        ("scrape:", "preprocess:"),
        ("  crop:", "  holdout:"),
        ("    max_faces:", "  filters:"),
        ("model:", "train:"),
        ("  seed:", "  images:"),
        ("\n  # One recipe", "\nfeatures:"),
        ("features:", "evaluate:"),
        ("  inception_sha256:", "\nevaluate:"),
    ],
)
def test_a_key_comes_back_where_and_as_it_was(start, stop, tmp_path, capsys):
    assert run_update(tmp_path, without(TEXT, start, stop), capsys)[0] == TEXT


def test_what_is_gone_is_said_with_its_value_and_what_replaces_it(tmp_path, capsys):
    old = image_counts(compose("dcgan_bce_96", SHIPPED)).replace("begin: 0", "begin: 7", 1)
    old = old.replace("evaluate:\n", "evaluate:\n  report_seed: 2\n  colour: mauve  # a mistake\n")
    text, said = run_update(tmp_path, old, capsys)
    key = "train.recipes.bce.generator.schedule"
    assert f"added {key}.hold" in said
    assert f"removed {key}.begin: 7, replaced by schedule.hold = begin / train.images" in said
    assert "removed evaluate.report_seed: 2, replaced by evaluate.report_seeds" in said
    assert "removed evaluate.colour: mauve, replaced by nothing" in said
    assert text == compose("dcgan_bce_96", SHIPPED)


def test_metrics_that_came_later_are_named_and_not_added(tmp_path, capsys):
    before = without(TEXT, "    - sliced", "    - memorisation")
    after, said = run_update(tmp_path, before, capsys)
    assert after == before
    assert [line for line in said if "sliced_wasserstein, spectrum_distance" in line] == said[1:]


def test_other_indents_and_flow_mappings_are_understood(tmp_path, capsys):
    flow = {"near": True, "phash": 3}, {"min_side": 9}
    values = yaml.safe_load(TEXT)
    values["preprocess"]["duplicates"], values["preprocess"]["filters"] = flow
    del values["train"]["flip"]
    for options in ({"indent": 5}, {"indent": 3, "default_flow_style": True}, {}):
        text, _ = run_update(tmp_path, yaml.safe_dump(values, sort_keys=False, **options), capsys)
        found = yaml.safe_load(text)
        expected = yaml.safe_load(TEXT)
        expected["preprocess"]["duplicates"]["phash"] = 3
        expected["preprocess"]["filters"]["min_side"] = 9
        assert found == expected
        assert list(found["train"]) == list(expected["train"])


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("latent_size: 100", "latent_size: big", "model.latent_size = 'big'"),
        ("  faces:  ", "  faces: 3\n  x:", "preprocess.faces = 3: must be a section"),
        ("model:", "model: [", "not valid YAML"),
        (TEXT, "- 1", "expected sections"),
        (TEXT, "", "expected sections"),
        ("    near: true\n", "    <<: {near: true, far: 1}\n", "duplicates.far"),
    ],
)
def test_a_file_that_cannot_be_repaired_stays_as_it_was(tmp_path, old, new, problem):
    file = tmp_path / "params.yaml"
    before = TEXT.replace("  flip: true ", "  flop: true ").replace(old, new)
    if old == TEXT:
        before = new
    file.write_text(before)
    with pytest.raises(GanError) as caught:
        update(file, None)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "--update" not in str(caught.value)
    assert [each.read_text() for each in tmp_path.iterdir()] == [before]


@pytest.mark.slow
def test_the_command_writes_to_the_file_or_to_another_one(gan, tmp_path):
    file, out = tmp_path / "params.yaml", tmp_path / "out.yaml"
    before = without(TEXT, "  flip:", "  augment:")
    file.write_text(before)
    assert gan("params", "--update", "--out", out, cwd=tmp_path).returncode == 0
    assert (file.read_text(), out.read_text()) == (before, TEXT)
    done = gan("params", "--update", cwd=tmp_path)
    assert done.stdout == "added train.flip\nparams.yaml: written\n"
    assert file.read_text() == TEXT
    done = gan("params", "--update", "--preset", "demo", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
