"""`gan compare`: order, ties, refusals, tables."""

import io
import json
import math
import random
from dataclasses import replace
from itertools import permutations

import evaluated_runs
import pytest
from evaluated_runs import SAME, one_protocol, write_evaluation, write_run
from rich.console import Console

from gan.metrics.build import load_numbers
from gan.metrics.metric import metric_key
from pipeline.paths import Paths
from pipeline.runs import compare
from pipeline.runs.evaluated import EvaluatedRun, MetricValue, read_evaluation
from pipeline.runs.metric_keys import first_keys, read_key, sort_by_trust
from pipeline.runs.ranking import differ, rank

OTHER = "b" * 16


def make_run(name: str, data: str | None = "d" * 64, **metrics) -> EvaluatedRun:
    """make_run("a", fid_10k=(30.0, 1.0)): with value, deviation and, if it matters, protocol."""
    values = {
        key: MetricValue(each[0], each[1], (*each, SAME)[2]) for key, each in metrics.items()
    }
    return EvaluatedRun(name, f"{name}.json", None, None, data, None, 1000, values)


def order(ranking) -> list[tuple[str, str]]:
    return [(each.run.name, f"{each.rank}{'=' if each.ties else ''}") for each in ranking.places]


# keys


@pytest.mark.parametrize("name", load_numbers())
@pytest.mark.parametrize("extractor", ["inception", "lite0", "script_0123abcd"])
def test_a_composed_key_is_read_back(name, extractor):
    number = load_numbers()[name]
    for marks in ((), ("raw",), ("bf16", "raw")):
        for against, small in (("train", None), ("holdout", 500), ("vs_my-faces_89abcdef", 2047)):
            for count in (2500, 50000):
                key = metric_key(number, extractor, count, against, small, marks)
                read = read_key(key)
                assert read.number == number
                assert list(read.aspects.values()) == [
                    "raw" if "raw" in marks else "averaged",
                    f"{count:,}",
                    against,
                    extractor,
                    "bf16" if "bf16" in marks else "float32",
                    str(small or "enough"),
                ]


def test_order_of_trust():
    expected = [
        "fid_50k",
        "fid_10k",
        "fid_raw_50k",
        "fid_10k_holdout",
        "fid_500_small500",
        "fd_lite0_5k",
        "fid_inf_10k",
        "kid_10k",
        "kd_lite0_10k",
        "coverage_inception_10k",
        "precision_inception_10k",
        "swd_5k",
        "swd_5k_holdout_small500",
        "spectrum_5k",
        "is_5k",
        "memorisation_lite0_5k",
        "swd_64px_5k",
    ]
    shuffled = random.Random(1).sample(expected, len(expected))
    assert sort_by_trust(shuffled) == expected


@pytest.mark.parametrize("name", [name for name, each in load_numbers().items() if each.extractor])
def test_a_key_of_pixels_names_no_extractor(name):
    number = load_numbers()[name]
    key = metric_key(number, number.extractor, 5000, "holdout", None, ("raw",))
    assert key == f"{number.prefix or name}_raw_5k_holdout"
    read = read_key(key)
    assert (read.number, read.aspects["extractor"]) == (number, number.extractor)
    assert (read.aspects["weights"], read.aspects["real images"]) == ("raw", "holdout")


# ranks


def test_the_most_trusted_metric_that_all_have_ranks_the_lower_or_the_higher_first():
    a = make_run("a", fid_50k=(1.0, 0.1), fid_10k=(9.0, 0.1), is_10k=(2.0, 0.1))
    b = make_run("b", fid_10k=(8.0, 0.1), is_10k=(1.0, 0.1))
    c = make_run("c", is_10k=(7.0, 0.1))
    assert rank([a, b]).key == "fid_10k"
    assert order(rank([a, b])) == [("b", "1"), ("a", "2")]
    assert order(rank([a, b], "is_10k")) == [("a", "1"), ("b", "2")]
    assert rank([a, b, c]).key == "is_10k"


@pytest.mark.parametrize("given", list(permutations([0, 1, 2])))
def test_ranks_count_better_runs_beyond_the_deviations_in_any_order_of_arguments(given):
    # 10 +- 1 and 11 +- 1 overlap, so do 11 +- 1 and 12.5 +- 1, but not the first and the last
    values = {"a": 10.0, "b": 11.0, "c": 12.5}
    runs = [make_run(name, fid_10k=(value, 1.0)) for name, value in values.items()]
    ranking = rank([runs[i] for i in given])
    assert order(ranking) == [("a", "1="), ("b", "1="), ("c", "2=")]
    assert [place.ties for place in ranking.places] == [(1,), (0, 2), (1,)]


def test_ties_of_runs_that_are_not_neighbours_and_of_one_seed_have_notes():
    values = {"sure": (10.0, 0.1), "also": (11.0, 0.1), "wide": (12.0, 3.0)}
    ranking = rank([make_run(name, fid_10k=value) for name, value in values.items()])
    assert order(ranking) == [("sure", "1="), ("also", "2="), ("wide", "1=")]
    assert next(compare.notes(ranking)).count(" and ") == 2
    ranking = rank([make_run("a", fid_10k=(30.0, None)), make_run("b", fid_10k=(29.9, 1.0))])
    assert order(ranking) == [("b", "1"), ("a", "2")]
    (note,) = [note for note in compare.notes(ranking) if "seed only" in note]
    assert note.endswith(": a (a.json).")


@pytest.mark.parametrize(
    ("one", "other", "different"),
    [
        ((10.0, 1.0), (12.5, 1.0), True),
        ((10.0, 1.0), (12.0, 1.0), False),
        ((10.0, None), (10.1, 5.0), True),
        ((10.0, None), (10.0, None), False),
    ],
)
def test_values_differ_by_more_than_both_deviations(one, other, different):
    a, b = make_run("a", fid_10k=one), make_run("b", fid_10k=other)
    assert differ(a, b, "fid_10k") == differ(b, a, "fid_10k") == different


# refusals


def refusal(*runs, **options) -> str:
    return evaluated_runs.refusal(lambda: rank(runs, **options))


def test_fewer_than_two_runs_and_metrics_without_a_direction_are_refused():
    a = make_run("a", kid_10k=(1.0, 0.1), kid_se_10k=(0.1, 0.1))
    assert "at least two runs" in refusal(a)
    assert "rank by kid_10k" in refusal(a, a, by="kid_se_10k")


def test_a_metric_that_one_run_lacks_is_refused_with_what_it_has_and_what_all_have():
    a = make_run("a", fid_10k=(1.0, 0.1), fd_lite0_5k=(1.0, 0.1))
    text = refusal(a, make_run("b", fd_lite0_5k=(1.0, 0.1)), by="fid_10k")
    assert text == (
        "fid_10k: not measured for b (b.json), which has fd_lite0_5k instead: other number of "
        "fakes (10,000 against 5,000) and extractor (inception against lite0); all have "
        "fd_lite0_5k"
    )
    assert "which has is_10k; no metric" in refusal(a, make_run("b", is_10k=(1.0, 0.1)))
    assert "no metric" in refusal(make_run("a"), make_run("b"))


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("fid_10k", "fid_raw_10k", "weights (averaged against raw)"),
        ("fid_500", "fid_500_small500", "fewest images on a side (enough against 500)"),
        ("precision_mine_a_5k", "precision_lite0_5k", "extractor (mine_a against lite0)"),
        ("kid_10k", "kid_raw_5k", "(averaged against raw) and number of fakes (10,000 against 5"),
    ],
)
def test_without_a_common_metric_the_difference_of_the_nearest_keys_is_named(one, other, words):
    text = refusal(make_run("a", **{one: (1.0, 0.1)}), make_run("b", **{other: (1.0, 0.1)}))
    assert f"{one}: not measured for b (b.json), which has {other} instead: other " in text
    assert words in text


def test_one_key_by_two_protocols_is_refused_with_both_and_a_key_that_ranks():
    a = make_run("a", fid_10k=(1.0, 0.1, SAME), fd_lite0_5k=(1.0, 0.1))
    b = make_run("b", fid_10k=(2.0, 0.1, OTHER), fd_lite0_5k=(1.0, 0.1))
    text = refusal(a, b)
    assert f"a (a.json) by {SAME} against b (b.json) by {OTHER}" in text
    assert text.endswith("--by fd_lite0_5k compares")
    ranking = rank([a, b], "fd_lite0_5k")
    assert ranking.unequal == ("fid_10k",)
    assert "fid_10k" in list(compare.notes(ranking))[-1]


def test_other_real_images_are_named_as_the_difference(tmp_path):
    files = [
        write_evaluation(tmp_path / at, {"fd_lite0_10k": (1.0, 0.1, at * 16)}, reference=at * 64)
        for at in "12"
    ]
    text = refusal(*map(read_evaluation, files))
    assert f"differ in real images ({'1' * 12} against {'2' * 12})" in text


def test_runs_of_different_data_are_refused_unless_asked_for(tmp_path):
    images = make_run("images", data=None, fid_10k=(3.0, 0.1))
    files = [
        write_evaluation(
            tmp_path / name,
            one_protocol(fid_10k=(value, 0.1)),
            data=str(size) * 32,
            lineage={"preprocess": {"size": size}, "snapshot": "c" * 64},
        )
        for name, value, size in (("a", 1.0, 64), ("b", 2.0, 96))
    ]
    a, b = map(read_evaluation, files)
    assert a.data_settings == {"cache.size": "64", "dataset": "c" * 12}
    text = refusal(a, b)
    assert f"{a.label}: {'64' * 6}, {b.label}: {'96' * 6}" in text
    assert "differ in cache.size (64 against 96)" in text
    assert "--other-data" in text
    assert "differ in" not in refusal(a, replace(b, data_settings={}))
    values = [replace(each, metrics=images.metrics) for each in (a, b)]
    assert len(rank([*values, images], other_data=True).places) == 3
    assert len(rank([values[0], images]).places) == 2


# tables


def render(ranking, keys, width=80) -> str:
    stream = io.StringIO()
    compare.show(ranking, keys, Console(file=stream, width=width))
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_many_runs_and_long_keys_stay_within_the_width_with_no_value_cut(width):
    key = "memorisation_p_lite0_10k_small2000"
    runs = [
        make_run(
            f"w{i} [b]s[/b]",
            fid_10k=(1000.5 + 10 * i, 1.25),
            kid_10k=(0.001 * (i + 1), 0.0004),
            **{key: (0.01 * i, None), "is_10k": (2.0 + i, 0.5)},
        )
        for i in range(30)
    ]
    ranking = rank(runs)
    text = render(ranking, ranking.others, width)
    table, _, _ = text.partition("Ties")
    assert max(map(len, table.splitlines())) <= width
    assert "…" not in text
    assert "small2000" in text
    for i in range(30):  # a name is no markup
        values = (f"{1000.5 + 10 * i:,.1f} ± 1.2", f"{2 + i:.2f} ± 0.50", f"w{i} [b]s[/b]")
        assert all(each in text for each in values)
    assert table.count("(w7 ") == {60: 3, 80: 2, 200: 1}[width]


def test_one_key_of_each_chief_number_is_shown_and_all_on_request(tmp_path, capsys):
    keys = ("fid_10k_holdout", "fd_lite0_10k", "kid_10k", "kid_se_10k", "kd_lite0_10k")
    assert first_keys(keys) == ["fid_10k_holdout", "kid_10k"]
    metrics = one_protocol(fd_lite0_10k=(9.0, 0.1), fd_lite0_5k=(9.5, 0.1), fd_lite0_4k=(9.9, 0.1))
    files = [str(write_evaluation(tmp_path / name, metrics)) for name in "ab"]
    for every in (False, True):
        compare.run([*files, str(tmp_path / "a")], Paths(tmp_path), every=every)
        text, err = capsys.readouterr()
        assert ("9.90" in text, "--all: 1." in text) == (every, not every)
        assert "named twice" in err
    compare.run([*files, str(tmp_path / "a")], Paths(tmp_path), as_json=True)
    assert [run["where"] for run in json.loads(capsys.readouterr().out)["runs"]] == files


# with a real store


@pytest.mark.slow
def test_mlflow_runs_and_a_file_are_ranked_as_json(paths, tmp_path, capsys):
    metrics = one_protocol(fid_10k=(30.0, 1.0), precision_inception_10k=(0.5, 0.01))
    first = write_run(paths, "1" * 64, metrics, name="one")
    second = write_run(paths, "2" * 64, one_protocol(fid_10k=(31.0, 0.5)), name="two")
    write_evaluation(
        tmp_path / "out", {"fid_10k": (20.0, None, SAME), "fid_50k": (math.nan, None, SAME)}
    )
    compare.run([second[:8], "one", str(tmp_path / "out")], paths, as_json=True)
    content = json.loads(capsys.readouterr().out)
    assert (content["by"], content["better"]) == ("fid_10k", "lower")
    assert [(run["run_id"], run["rank"], run["not_told_apart"]) for run in content["runs"]] == [
        (None, 1, []),
        (first, 2, [2]),
        (second, 2, [1]),
    ]
    assert content["runs"][1]["metrics"] == {
        "fid_10k": {"value": 30.0, "deviation": 1.0, "protocol": SAME}
    }
    assert [run["objective"] for run in content["runs"]] == [None, "hinge", "hinge"]
    assert [run["images_seen"] for run in content["runs"]] == [24000, 36000, 36000]
