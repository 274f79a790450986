"""Labels of the embedded gallery, crawled over HTTP, against the traits that were drawn."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from local_server import fetch_dataset
from preprocess_inputs import ALL_PASS, NEAR_STAY

from gan.attributes import UNKNOWN
from gan.params.file import load_params
from gan.tensor_cache import TensorCache
from pipeline.crawl.embedded import Embedded
from pipeline.gallery.design import design
from pipeline.gallery.page import lay_out
from pipeline.gallery.painter import tags
from pipeline.paths import Paths
from pipeline.stages.preprocess import run

COUNT = 80


def build(root, write_params, view="avatars", **changes):
    """The cache of a crawl of the gallery, and the seed of each image's picture."""
    source = Embedded(count=COUNT, size=48, view=view)
    dataset = fetch_dataset(source, root)
    limits = {"filters": ALL_PASS, "duplicates": NEAR_STAY, "attributes.least_count": 1}
    names = {"holdout": 0.1, **limits, **changes}
    file = write_params(root / "params.yaml", {f"preprocess.{k}": v for k, v in names.items()})
    run(load_params(file), Paths(root), workers=1)
    rows = pq.read_table(root / "cache" / "index.parquet")["row"].to_numpy()
    entries = list(dataset.entries())
    return TensorCache.open(root / "cache"), [int(entries[row].source[8:]) for row in rows]


def values_of(cache, name):
    """The value of each image, None where it is unknown."""
    (column,) = [i for i, each in enumerate(cache.vocabulary) if each.name == name]
    values = cache.vocabulary[column].values
    return [None if code == UNKNOWN else values[code] for code in cache.labels[:, column]]


@pytest.fixture(scope="module")
def avatars(tmp_path_factory, write_params):
    return build(tmp_path_factory.mktemp("gallery"), write_params)


ALIASES = {"light_brown_hair": "brown_hair", "silver_hair": "grey_hair"}


def test_colours_are_those_that_were_drawn(avatars):
    cache, seeds = avatars
    designs = [design(seed) for seed in seeds]
    assert len(designs) > 0.9 * COUNT
    hair = [ALIASES.get(each.hair.tag, each.hair.tag) for each in designs]
    assert values_of(cache, "hair_colour") == hair
    eyes = [set(each.eyes) if each.lids != "closed" else set() for each in designs]
    eyes = [each.pop() if len(each) == 1 else None for each in eyes]
    (known,) = (each.values for each in cache.vocabulary if each.name == "eye_colour")
    assert values_of(cache, "eye_colour") == [each if each in known else None for each in eyes]


def test_no_image_lacks_an_independent_label_and_each_is_what_was_drawn(avatars):
    cache, seeds = avatars
    independent = [i for i, each in enumerate(cache.vocabulary) if each.kind == "independent"]
    assert (cache.labels[:, independent] != UNKNOWN).all()
    designs = [design(seed) for seed in seeds]
    hats = {"hairband", "headphones", "bow_band", "crown", "beret"}
    ears = {"cat_ears", "fox_ears"}
    drawn = {
        "glasses": [each.glasses != "none" for each in designs],
        "headwear": [each.headwear in hats for each in designs],
        "animal_ears": [each.headwear in ears for each in designs],
        "smile": [each.mouth == "smile" for each in designs],
        "open_mouth": [each.mouth in ("open", "round") for each in designs],
        "twintails": [each.back == "twintails" for each in designs],
    }
    for name, expected in drawn.items():
        assert values_of(cache, name) == ["yes" if each else "no" for each in expected], name


def test_every_drawn_face_has_enough_tags_for_every_label(make_params):
    least = make_params().preprocess.attributes.least_tags
    assert min(len(set(tags(seed))) for seed in range(3000)) >= least


def test_a_page_of_several_characters_has_no_labels(tmp_path, write_params):
    cache, seeds = build(tmp_path, write_params, view="pages", crop="square")
    characters = np.array([len(lay_out(seed, 100).places) for seed in seeds])
    assert (characters > 1).sum() > 10
    assert (cache.labels[characters > 1] == UNKNOWN).all()
    hair = values_of(cache, "hair_colour")
    assert None not in [hair[number] for number in np.flatnonzero(characters == 1)]
