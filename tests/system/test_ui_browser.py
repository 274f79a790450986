"""MLflow's UI in a browser, with two trainings to compare.

Each test leaves a screenshot in logs/screenshots/.
"""

import json
import math
import re
from pathlib import Path

import pytest
from browser import launched
from PIL import Image
from playwright.sync_api import expect
from tracking_stores import apart, copy_store, empty_database, free_port, python

from pipeline.paths import Paths
from pipeline.runs import ui
from pipeline.tracking import open_run

REPOSITORY = Path(__file__).resolve().parents[2]
POINTS = [800 * number for number in range(1, 31)]
GRID_STEPS = (0, 8000, 16000, 24000)


def write_training(paths, objective, level, distances):
    """Record a training with curves, grids, dataset and evaluation, as the stages do."""
    run = open_run.start_run(
        paths,
        name=f"{objective} 64px w24 s1",
        run_key=objective[:1] * 64,
        folder=paths.root / "runs" / objective,
    )
    run.params({"train": {"objective": objective, "images": 24000, "seed": 1}})
    run.tags({"cache_digest": "c" * 64, "mlflow.note.content": f"{objective} on 4,603 avatars."})
    run.dataset("avatars 64px", "c" * 64, {"snapshot": "s" * 64}, {"train": 4603})
    for step in POINTS:
        fall = math.exp(-step / 9000)
        losses = {"loss/generator": level + 2 * fall, "loss/discriminator": level / 4 + fall}
        run.metrics(losses | {"diversity/grid": 50 - 20 * fall}, step)
    for step in GRID_STEPS:
        file = paths.root / f"grid-{objective}.png"
        Image.new("RGB", (256, 256), (step // 100, 60, len(objective) * 20)).save(file)
        run.image("grid", file, step)
    run.metrics(distances | {"best_images_seen": 24000}, 24000)
    run.image("best", file, 24000)
    report = f"<html><body><h1>Report of {objective}</h1></body></html>"
    for name, text in (("evaluation.json", json.dumps(distances)), ("report.html", report)):
        (paths.root / name).write_text(text)
        run.artifact(paths.root / name, "evaluation")
    run.close()
    assert run.unsent == 0
    return str(run.run_id)


RUNS = {
    "bce": (3.5, {"fid_5k": 61.27, "kd_lite0_5k": 2.456}),
    "wgan_gp": (1.5, {"fid_5k": 48.31, "kd_lite0_5k": 1.987}),
}


PATIENCE = 60_000  # milliseconds; on two busy cores a page takes 10 s
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with two trainings in a store of its own; their ids by objective."""
    root = tmp_path_factory.mktemp("ui")
    with pytest.MonkeyPatch.context() as patch:
        paths = copy_store(empty_database(tmp_path_factory), apart(root, patch))
        ids = {name: write_training(paths, name, *each) for name, each in RUNS.items()}
        yield root, ids


@pytest.fixture(scope="module")
def addresses(store):
    """The addresses of table and charts that `gan ui` prints."""
    root, port = store[0], free_port()
    process = python(Paths(root), f"from pipeline.runs import ui; ui.run(paths, {port})")
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        yield [line.split(": ", 1)[1].strip() for line in lines[1:]]
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def browser():
    with launched() as running:
        yield running


@pytest.fixture
def page(browser, request):
    """A new page; its screenshot is kept, also of a failed test."""
    opened = browser.new_page(viewport={"width": 1600, "height": 1000})
    opened.set_default_timeout(PATIENCE)
    # MLflow's assistant opens itself once, over a quarter of the page
    opened.add_init_script("localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1']='true'")
    expect.set_options(timeout=PATIENCE)
    yield opened
    folder = REPOSITORY / "logs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    opened.screenshot(path=folder / f"{request.node.name.removeprefix('test_')}.png")
    opened.close()


def card(page, title):
    """The chart with this title, scrolled into view: MLflow draws no others."""
    cards = page.get_by_test_id("experiment-view-compare-runs-card")
    found = cards.filter(has=page.get_by_text(title, exact=True)).first
    found.scroll_into_view_if_needed()
    return found


def read_chart(page, title):
    """Curves of a chart as plotly has them: x and y by name, and the title of the x axis."""
    plot = card(page, title).locator(".js-plotly-plot")
    expect(plot.locator(".scatterlayer path.js-line").nth(len(RUNS) - 1)).to_be_visible()
    return plot.evaluate(
        """plot => ({axis: plot.layout.xaxis.title.text, curves: Object.fromEntries(
             plot.data.map(each => [each.name, [Array.from(each.x), Array.from(each.y)]]))})"""
    )


def test_the_table_of_runs_shows_losses_and_distances_of_both(addresses, page):
    page.goto(addresses[0])
    expected = {
        "loss/generator": (3.64, 1.64),
        "fid_5k": (61.27, 48.31),
        "kd_lite0_5k": (2.456, 1.987),
        "best_images_seen": (24000, 24000),
    }
    for key, (bce, wgan_gp) in expected.items():
        expect(page.locator(f'.ag-header-cell[col-id="metrics.`{key}`"]')).to_be_visible()
        cells = page.locator(f'.ag-row [role=gridcell][col-id="metrics.`{key}`"]')
        expect(cells).to_have_count(2)
        found = sorted(float(text) for text in cells.all_inner_texts())
        assert found == pytest.approx(sorted([bce, wgan_gp]), rel=0.01)
    expect(page.get_by_text("One run is one training")).to_be_visible()


def test_comparing_draws_the_losses_and_steps_through_the_grids_of_both(addresses, page):
    page.goto(addresses[1])
    expect(page.get_by_text("Losses over images seen")).to_be_visible()
    for key, ends in (
        ("loss/generator", (1.639, 3.639)),
        ("loss/discriminator", (0.444, 0.944)),
    ):
        chart = read_chart(page, key)
        assert chart["axis"] == "Step"  # MLflow's word; the section's title says what it counts
        assert len(chart["curves"]) == 2
        assert all(x == POINTS for x, _ in chart["curves"].values())
        found = sorted(y[-1] for _, y in chart["curves"].values())
        assert found == pytest.approx(ends, rel=0.01)
    grids = card(page, "grid")
    pictures = grids.locator("img")
    expect(pictures).to_have_count(2)
    seen = {}
    for step in reversed(GRID_STEPS):
        expect(grids.locator("input")).to_have_value(str(step))
        for picture in pictures.all():
            expect(picture).to_have_attribute("src", re.compile(rf"grid%2Bstep%2B{step}%2B"))
            page.wait_for_function(
                "picture => picture.complete && picture.naturalWidth", arg=picture.element_handle()
            )
        seen[step] = pictures.first.screenshot()
        grids.get_by_role("slider").press("ArrowLeft")
    assert len(set(seen.values())) == len(GRID_STEPS)


def test_a_runs_page_shows_description_dataset_tags_and_its_artefacts(addresses, store, page):
    base, experiment = re.match(r"(.*/#/experiments/\d+)(/runs)", addresses[0]).groups()
    run = f"{base}{experiment}/{store[1]['wgan_gp']}"
    page.goto(run)
    for text in ("wgan_gp on 4,603 avatars.", "avatars 64px", "cache_digest", "run_key"):
        expect(page.get_by_text(text).first).to_be_visible()
    page.goto(f"{run}/artifacts")
    page.get_by_text("evaluation", exact=True).click()
    page.get_by_text("report.html").click()
    report = page.frame_locator("iframe").get_by_role("heading", name="Report of wgan_gp")
    expect(report).to_be_visible()
    page.get_by_text("evaluation.json").click()
    expect(page.get_by_text("48.31").first).to_be_visible()
    page.get_by_text("images", exact=True).click()
    page.get_by_text(re.compile(r"^grid\+step\+8000.*png$")).click()
    expect(page.locator("img").first).to_be_visible()


def test_a_configured_server_gets_the_view_too_and_its_password_stays_secret(
    addresses, tmp_path, monkeypatch, capsys
):
    server = addresses[0].split("/#", 1)[0]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.replace("://", "://me:secret@"))
    ui.run(Paths(tmp_path), 5000)
    printed = [line.split(": ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert printed == addresses
