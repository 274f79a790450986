"""`gan results` and `gan summary`."""

import json
from pathlib import Path

import pytest
import yaml

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.runs import results_page as results
from pipeline.runs import summary

REPOSITORY = Path(__file__).resolve().parents[3]
KEY = "0123456789abcdef"


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """A checkout in which a run was trained and evaluated."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    paths = Paths(tmp_path)
    metrics = {"run_key": KEY, "best_images_seen": 24000, "fd_lite0_5k_holdout": 1.234}
    paths.reports.mkdir()
    (paths.reports / "metrics.json").write_text(json.dumps(metrics))
    (paths.reports / "preprocess.json").write_text('{"train": 4500, "holdout": 500}')
    (paths.reports / "best.png").write_bytes(b"png")
    times = {"started": "2030-01-01 10:00:00", "finished": "2030-01-01 10:30:30"}
    (paths.logs / "runs").mkdir(parents=True)
    (paths.logs / "runs" / f"{KEY}{'0' * 48}.json").write_text(json.dumps(times))
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["train"] |= {"images": 72000, "batch_size": 16}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return paths


def test_results_of_runs_are_collected_and_rendered(paths, tmp_path):
    folder = tmp_path / "docs" / "results"
    results.add("hinge-64", paths, folder)
    metrics = {"run_key": KEY, "best_images_seen": 1, "fid_5k": 12.0}
    (paths.reports / "metrics.json").write_text(json.dumps(metrics))
    results.add("other", paths, folder)
    results.render(folder)
    facts = json.loads((folder / "hinge-64.json").read_text())
    assert (facts["minutes"], facts["images_seen"]) == (30.5, 72000)
    assert (folder / "hinge-64.png").read_bytes() == b"png"
    page = (tmp_path / "docs" / "results.md").read_text()
    head = "| run | fd_lite0_5k_holdout | fid_5k | best_images_seen | images seen | minutes |"
    assert head in page
    assert "| hinge-64 | 1.23 | - | 24,000 | 72,000 | 30.50 |" in page
    assert "| other | - | 12.00 | 1 |" in page
    assert "](results/hinge-64.png)" in page
    assert str(tmp_path) not in page


def test_a_section_lists_only_settings_that_are_on(paths, tmp_path):
    file = paths.root / "params.yaml"
    values = yaml.safe_load(file.read_text())
    train = values["train"]
    train["objective"] = "relativistic"
    recipe = train["recipes"]["relativistic"]
    recipe["penalties"] |= {"r1": 0.5, "r2": 0.0, "every": 4}
    recipe["generator"] |= {"optimiser": "sgd", "learning_rate": 0.1, "arguments": {}}
    recipe["discriminator"]["schedule"] |= {"shape": "linear", "hold": 0.5}
    values["model"]["generator"] |= {"family": "antialiased", "width": 7}
    file.write_text(yaml.safe_dump(values))
    results.add("a", paths, tmp_path / "docs")
    page = results.page(tmp_path / "docs")
    settings = "(critic_steps 1, discriminator_norm none, penalties.r1 0.5, penalties.every 4); "
    assert f"Objective `relativistic` {settings}" in page
    assert "; generator antialiased of width 7, sgd at 0.1; " in page
    schedule = "floor 0.0, hold 0.5, shape linear, warm_up 0"
    adam = f"adam at 0.0002 (betas [0.0, 0.99], {schedule})"
    assert f"; discriminator antialiased of width 24, {adam}; batch 16, 64 px, seed 1; " in page


@pytest.mark.parametrize("missing", ["metrics.json", "preprocess.json", "best.png"])
def test_missing_results_are_refused_and_nothing_is_written(paths, tmp_path, missing):
    (paths.reports / missing).unlink()
    with pytest.raises(GanError, match=f"{missing}: "):
        results.add("a", paths, tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b"])
def test_an_invalid_name_and_a_page_without_results_are_refused(paths, tmp_path, name):
    with pytest.raises(GanError, match=f"results {name!r}"):
        results.add(name, paths, tmp_path / "docs")
    with pytest.raises(GanError, match=str(tmp_path)):
        results.render(tmp_path)


def test_the_committed_page_is_rendered_from_its_json_files():
    folder = REPOSITORY / "docs" / "results"
    files = sorted(folder.glob("*.json"))
    page = folder.with_suffix(".md")
    assert page.is_file() == bool(files)
    assert not files or page.read_text(encoding="utf-8") == results.page(folder)


def test_summary_shows_metrics_times_and_files_and_needs_metrics(paths, capsys):
    summary.run(paths)
    out = capsys.readouterr().out
    for expected in (KEY, "2030-01-01 10:00:00", "1.234", "gan weights", "best.png", "gan ui"):
        assert expected in out
    file = paths.reports / "metrics.json"
    for spoil in (lambda: file.write_text("{"), file.unlink):
        spoil()
        with pytest.raises(GanError, match=r"metrics\.json: "):
            summary.run(paths)
