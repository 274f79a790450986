"""The report of an evaluation: complete and self-contained."""

import base64
import html
import json
import re
import subprocess
from itertools import pairwise

import lxml.html
import numpy as np
import pytest
from browser import OPTIONS, chromium
from evaluation_result import checkpoint_result, crowded_result, folder_result, metric
from PIL import UnidentifiedImageError

from pipeline.evaluation.format_number import figure, percent
from pipeline.evaluation.report import check_result, report_html
from pipeline.evaluation.result import EvaluationResult
from pipeline.pictures.contact_sheet import contact_sheet, encode_png

HOSTILE = "<script>alert('x')</script>\"><img src=http://evil.example/x.png>&amp;{{ 7 * 7 }}"
RESULTS = [checkpoint_result, folder_result, crowded_result]


@pytest.fixture(scope="module")
def pictures():
    """Three sheets of noise, wider than a phone."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 48, 48, 3), np.uint8)
    sheets = [encode_png(contact_sheet(images, 8)) for images in noise]
    return dict(zip(("grid", "reals", "closest"), sheets, strict=True))


def write(result, pictures=None):
    return report_html(EvaluationResult.model_validate(result), pictures or {})


def parse_page(result, pictures=None):
    return lxml.html.fromstring(write(result, pictures))


def text_of(page):
    return " ".join(page.text_content().split())


def states(result):
    checks = check_result(EvaluationResult.model_validate(result))
    return {each.about: each.state for each in checks}


@pytest.mark.parametrize("make", RESULTS)
def test_every_metric_is_on_the_page_with_its_exact_value(make):
    result = make()
    page = parse_page(result)
    rows = {
        row.get("data-key"): row for row in page.xpath("//table[@class='metrics']//tr[@data-key]")
    }
    assert set(rows) == set(result["metrics"])
    for key, each in result["metrics"].items():
        cells = [cell.text_content() for cell in rows[key].xpath("td")]
        exact = [float(data.get("value")) for data in rows[key].xpath(".//data")]
        assert exact == [each[name] for name in ("value", "deviation") if each[name] is not None]
        assert [*cells[:2], *cells[3:]] == [
            key,
            figure(each["value"], each["deviation"]),
            each["extractor"],
            each["against"] or "\N{EN DASH}",
            f"{each['fakes']:,}",
            f"{each['reals']:,}" if each["reals"] else "\N{EN DASH}",
            each["protocol"],
        ]


def test_values_of_each_seed_are_in_its_column():
    result = checkpoint_result()
    result["metrics"]["memorisation_lite0_5k"]["values"] = [0.25]  # measured on the first alone
    table = parse_page(result).xpath("//table[@class='seeds']")[0]
    heads = [head.text_content() for head in table.xpath("thead//th")]
    assert heads == ["Key", "seed 2", "seed 3", "seed 4"]
    for row in table.xpath("tbody/tr"):
        values = [float(data.get("value")) for data in row.xpath(".//data")]
        assert values == result["metrics"][row.get("data-key")]["values"]
        assert len(row) == len(heads)


def change_texts(value, change):
    """Apply `change` to every text in a nested value, but for the kind of subject and format."""
    if isinstance(value, dict):
        return {
            key: each if key in ("kind", "format", "metric") else change_texts(each, change)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [change_texts(each, change) for each in value]
    return change(value) if isinstance(value, str) else value


def test_pictures_come_back_byte_for_byte_and_others_are_refused(pictures):
    page = parse_page(checkpoint_result(), pictures)
    images = page.xpath("//img")
    found = [image.get("src").removeprefix("data:image/png;base64,") for image in images]
    names = ("grid", "reals", "closest")
    assert [base64.b64decode(each) for each in found] == [pictures[name] for name in names]
    assert [(image.get("width"), image.get("height")) for image in images] == [("398", "398")] * 3
    with pytest.raises(UnidentifiedImageError):
        write(checkpoint_result(), {"grid": b"\xff\xd8\xff\xe0 a JPEG"})


@pytest.mark.parametrize("make", RESULTS)
def test_the_page_has_all_texts_loads_nothing_and_is_a_function_of_the_result(make, pictures):
    result, texts = make(), []
    page = parse_page(result, pictures)
    change_texts(result, texts.append)
    text = text_of(page)
    assert texts
    assert [each for each in texts if each not in text] == []
    assert not page.xpath("//script | //link | //iframe | //object | //embed | //base | //a")
    addresses = page.xpath("//@src | //@href | //@srcset | //@data | //@action | //@poster")
    assert all(each.startswith("data:image/png;base64,") for each in addresses)
    assert not [name for name in page.xpath("//@*") if str(name.attrname).startswith("on")]
    style = page.xpath("string(//style)")
    assert "@import" not in style
    assert "url(" not in style
    assert "http" not in write(result).replace("http-equiv", "")
    assert write(json.loads(json.dumps(make())), dict(pictures)) == write(result, pictures)


def test_hostile_texts_are_escaped(pictures):
    result = change_texts(checkpoint_result(), lambda text: text + HOSTILE)
    for section in ("references", "metrics", "memorisation"):
        result[section] = {key + HOSTILE: each for key, each in result[section].items()}
    for each in result["metrics"].values():
        each["metric"] += HOSTILE
    page = parse_page(result, pictures)
    usual = parse_page(checkpoint_result(), pictures)
    assert not page.xpath("//script")
    assert len(page.xpath("//img")) == len(usual.xpath("//img"))
    assert {each.tag for each in page.iter()} <= {each.tag for each in usual.iter()}
    assert "models/best.pt" + HOSTILE in text_of(page)
    assert not [name for name in page.xpath("//@*") if str(name.attrname).startswith("on")]


@pytest.mark.parametrize(("make", "alerts"), [(checkpoint_result, 1), (folder_result, 0)])
def test_other_data_than_a_checkpoint_s_training_data_is_an_alert(make, alerts):
    result = make()
    assert not parse_page(result).xpath("//*[@class='loud']")
    result["references"]["train"]["other"] = True
    assert len(parse_page(result).xpath("//*[@class='loud']")) == alerts


def centre(circle):
    return float(circle.get("cx")), float(circle.get("cy"))


@pytest.mark.parametrize("best", [12000, 96000])
def test_the_curve_is_one_line_through_its_points_in_their_order(best):
    result = checkpoint_result()
    curve = result["selection"]["curve"]
    result["selection"]["best"] = best
    page = parse_page(result)
    (line,) = page.xpath("//polyline")
    dots = [centre(dot) for dot in page.xpath("//*[@class='dot']")]
    assert [tuple(map(float, each.split(","))) for each in line.get("points").split()] == dots
    (ring,) = page.xpath("//*[@class='best']")
    at = [images for images, _ in curve].index(best)
    assert centre(ring) == dots[at]
    assert ring.findtext("title") == f"{best:,} images: {curve[at][1]}"
    (row,) = page.xpath("//table[@class='points']//tr[@class='key']")
    assert text_of(row).startswith(f"{best:,} (best)")
    # places are linear in images and distances: two labels of each axis give them back
    up = [(float(t.get("y")), float(t.text.replace(",", ""))) for t in page.find_class("up")]
    (low, least), (high, most) = up[0], up[-1]
    read = [least + (y - low) / (high - low) * (most - least) for _, y in dots]
    assert read == pytest.approx([value for _, value in curve], rel=1e-3)
    steps = {round(b[0] - a[0], 1) for a, b in pairwise(dots)}
    assert steps == {52.0}


@pytest.mark.parametrize("curve", [[[64, 5.0]], [[0, 0.0], [1, 0.0]], [[10, -3e-9], [20, 8e9]]])
def test_curves_of_any_values_stay_within_the_chart(curve):
    result = checkpoint_result()
    result["selection"] |= {"curve": curve, "best": curve[0][0]}
    for dot in parse_page(result).xpath("//*[@class='dot']"):
        x, y = centre(dot)
        assert 62 <= x <= 530
        assert 34 <= y <= 230


def test_a_suspicious_memorisation_test_is_marked_and_its_pairs_are_listed():
    result = checkpoint_result()
    assert not parse_page(result).find_class("test")[0].find_class("bad")
    result["memorisation"]["lite0"] |= {"suspicious": True, "share": 0.21, "p_value": 3e-19}
    page = parse_page(result)
    (test,) = page.xpath("//div[@class='test bad']")
    assert "21.0 %" in text_of(test)
    assert "3.0e\N{MINUS SIGN}19" in text_of(test)
    rows = page.xpath("//table[@class='pairs']/tbody/tr")
    for row, pair in zip(rows, result["memorisation"]["lite0"]["closest"], strict=True):
        cells = [cell.text_content() for cell in row.xpath("td")][:3]
        assert cells == [str(pair["fake"]), str(pair["row"]), ("no", "yes")[pair["mirrored"]]]
        exact = [float(each) for each in row.xpath(".//data/@value")]
        assert exact == [pair["distance"], pair["relative"]]


def test_a_result_without_a_curve_or_anything_optional_is_a_page():
    page = parse_page(folder_result() | {"metrics": {}})
    assert page.xpath("//h2/text()") == ["Summary", "Metrics", "Protocol"]
    assert not page.xpath("//table")
    result = checkpoint_result()
    result["selection"] |= {"curve": [], "key": None, "seed": None}
    assert not parse_page(result).xpath("//svg")
    assert states(result)["Selection"] == "doubt"


@pytest.mark.parametrize(
    ("make", "extractor"), [(checkpoint_result, "lite0"), (crowded_result, "inception")]
)
def test_headlines_are_of_inception_if_it_is_an_extractor(make, extractor):
    result = make()
    cards = parse_page(result).xpath("//ul[@class='cards']/li/code")
    keys = [each.text_content() for each in cards]
    assert [result["metrics"][key]["extractor"] for key in keys] == [extractor] * 6


def add_face_shares(result, fake, real):
    result["metrics"] |= {
        "face_share_500_holdout": metric("face_share", fake, "animeface", "holdout"),
        "face_share_real_500_holdout": metric("face_share_real", real, "animeface", "holdout"),
    }


def change_all(result, **values):
    for each in result["metrics"].values():
        each |= {key: value for key, value in values.items() if each[key] is not None}


@pytest.mark.parametrize(
    ("about", "state", "change"),
    [
        ("Data", "bad", lambda r: r["references"]["train"].update(other=True)),
        ("Data", "doubt", lambda r: r.update(references={})),
        ("Selection", "bad", lambda r: r["selection"].update(seed=2)),
        ("Selection", "doubt", lambda r: r.update(selection=None)),
        ("Spread", "doubt", lambda r: r["protocol"].update(seeds=[2, 3])),
        ("Sample size", "doubt", lambda r: r["metrics"]["fd_lite0_5k"].update(reals=2047)),
        ("Sample size", "doubt", lambda r: r["metrics"]["recall_lite0_5k"].update(fakes=2047)),
        ("Memorisation", "doubt", lambda r: r.update(memorisation={})),
        ("Memorisation", "bad", lambda r: r["memorisation"]["lite0"].update(suspicious=True)),
        (
            "Precision",
            "doubt",
            lambda r: r["protocol"]["extractors"]["lite0"].update(precision="bf16"),
        ),
        ("Training", "doubt", lambda r: r["selection"].update(best=120000)),
        ("FID", "doubt", lambda r: change_all(r, extractor="lite0")),
        ("Faces", "bad", lambda r: add_face_shares(r, 0.4, 0.85)),
        ("Faces", "ok", lambda r: add_face_shares(r, 0.5, 0.85)),
    ],
)
def test_each_doubt_is_raised_by_its_check(about, state, change):
    result = checkpoint_result()
    change_all(result, extractor="inception", reals=2048, fakes=2048)
    assert set(states(result).values()) == {"ok"}
    change(result)
    assert states(result)[about] == state


@pytest.mark.parametrize(
    ("value", "deviation", "text"),
    [
        (941.0712, 21.3, "941"),
        (941.0712, None, "941.1"),
        (-0.0004, 0.001, "\N{MINUS SIGN}0.0004"),
        (0.0, None, "0"),
        (1e-12, None, "1.0e\N{MINUS SIGN}12"),
        (float("nan"), None, "nan"),
    ],
)
def test_figures_have_significant_digits_only(value, deviation, text):
    assert figure(value, deviation) == text
    assert percent(0.0513) == "5.1 %"


PROBE = """<!DOCTYPE html><body>%s<pre id="found"></pre><script>
onload = () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, root = page.documentElement;
    page.querySelectorAll("details").forEach(each => { each.open = true; });
    const wide = [...page.querySelectorAll("body *:not(.values *)")].filter(
      each => each.getBoundingClientRect().right > root.clientWidth + 1);
    const box = each => { const at = each.getBoundingClientRect();
      return [at.x + at.width / 2, at.y + at.height / 2]; };
    return {width: root.clientWidth, scroll: root.scrollWidth,
      wide: wide.map(each => each.outerHTML.slice(0, 80)),
      pictures: [...page.images].map(each => each.naturalWidth),
      best: box(page.querySelector(".best")),
      dots: [...page.querySelectorAll(".dot")].map(box)};
  });
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>"""


def render(page, widths, folder):
    """Load the page in browser windows of these widths, and return measurements of each."""
    frame = '<iframe style="width:{}px;height:900px;border:0" srcdoc="{}"></iframe>'
    frames = "".join(frame.format(width, html.escape(page)) for width in widths)
    file = folder / "probe.html"
    file.write_text(PROBE.replace("%s", frames), encoding="utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [chromium(), *OPTIONS, profile, "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.mark.slow
@pytest.mark.parametrize("make", [checkpoint_result, crowded_result])
def test_the_page_fits_into_the_window_of_a_phone_and_of_a_laptop(make, pictures, tmp_path):
    result = make()
    result["subject"]["name"] = "a" * 120 + "/" + "long_name_" * 20
    result["notes"] = ["no_space" * 30]
    for window in render(write(result, pictures), (320, 390, 840, 1200), tmp_path):
        assert window["scroll"] == window["width"], window["wide"]
        assert not window["wide"]
        assert window["pictures"] == [398] * 3
        assert window["best"] == pytest.approx(window["dots"][7], abs=0.5)
