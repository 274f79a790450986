"""What DVC's own commands show between two trainings: numbers, curves, pictures, a table."""

import csv
import io
import re

import pytest
from dvc_checkouts import as_json, shared_project

pytestmark = pytest.mark.slow

TWO = ("HEAD", "wasserstein")
CURVES = ("losses", "scores", "snapshots")
PICTURES = ("samples", "best", "closest", "interpolation", "contact_sheet")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return shared_project(tmp_path_factory, tmp_path_factory.mktemp("views"))


def test_the_differences_are_the_param_that_was_set_and_distances_with_their_change(built):
    difference = as_json(built, "params", "diff", *TWO)
    assert difference == {"params.yaml": {"train.objective": {"old": "hinge", "new": "wgan_gp"}}}
    difference = as_json(built, "metrics", "diff", *TWO)
    assert list(difference) == ["reports/metrics.json"]
    metrics = difference["reports/metrics.json"]
    distance = metrics["fd_lite0_32_small30"]
    assert distance["diff"] == pytest.approx(distance["new"] - distance["old"])
    keys = {row.data.params["train.objective"]: row.data.tags["run_key"] for row in built.rows()}
    assert keys["hinge"].startswith(metrics["run_key"]["old"])
    assert keys["wgan_gp"].startswith(metrics["run_key"]["new"])


def test_the_table_of_experiments_names_objective_and_distance(built):
    said = built.dvc("exp", "show", "--csv", "--only-changed", "--sort-by", "fd_lite0_32_small30")
    listed = csv.DictReader(io.StringIO(said))
    rows = {row["Experiment"] or row["rev"]: row for row in listed}
    assert rows["wasserstein"]["train.objective"] == "wgan_gp"
    assert float(rows["wasserstein"]["fd_lite0_32_small30"]) > 0
    assert rows["wasserstein"]["fd_lite0_32_small30"] != rows["master"]["fd_lite0_32_small30"]


def test_the_page_of_differences_has_both_curves_and_both_pictures(built, tmp_path):
    built.dvc("plots", "diff", *TWO, "--out", str(tmp_path / "page"))
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    for curve in CURVES:
        assert f'<div id = "{curve}">' in page
    for seen in (16, 32, 48, 64):
        assert len(re.findall(rf'"images_seen": "?{seen}"?[,}}]', page)) >= 2
    for picture in PICTURES:
        shown = re.findall(rf'src="([^"]*reports_{picture}\.png[^"]*)"', page)
        assert len(shown) == 2, picture
        for source in shown:
            assert (tmp_path / "page" / source).stat().st_size > 0
