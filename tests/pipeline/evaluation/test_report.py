"""The report of an evaluation: complete and self-contained."""

import base64
import copy
import html
import json
import re
import subprocess
from pathlib import Path

import lxml.html
import numpy as np
import pytest
import torch
from browser import OPTIONS, chromium
from evaluation_result import checkpoint_result, crowded_result, folder_result

from gan.pixels import to_images
from pipeline.evaluation.credibility import check_result
from pipeline.evaluation.format_number import figure, percent
from pipeline.evaluation.report import report_html
from pipeline.pictures.contact_sheet import contact_sheet, encode_png

HOSTILE = "<script>alert('x')</script>\"><img src=http://evil.example/x.png>&amp;{{ 7 * 7 }}"
RESULTS = [checkpoint_result, folder_result, crowded_result]


def sheet(seed, side=64, count=64):
    images = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)
    return encode_png(contact_sheet(images, 8))


@pytest.fixture(scope="module")
def pictures():
    """Three sheets of noise, wider than a phone."""
    return {name: sheet(i, 48) for i, name in enumerate(("grid", "reals", "closest"))}


def parse_page(result, pictures=None):
    return lxml.html.fromstring(report_html(result, pictures or {}))


def text_of(page):
    return " ".join(page.text_content().split())


def without_sections(result):
    result |= {"memorisation": None, "selection": None, "metrics": {}, "notes": []}
    return result


def states(result):
    return {each.about: each.state for each in check_result(result)}


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
        expected = [each["value"]] + ([] if each["deviation"] is None else [each["deviation"]])
        assert exact == expected
        assert cells[0] == key
        assert cells[1] == figure(each["value"], each["deviation"])
        assert cells[3] == each["extractor"]
        assert cells[4] == (each["against"] or "–")  # noqa: RUF001
        assert cells[5] == f"{each['fakes']:,}"
        assert cells[6] == (f"{each['reals']:,}" if each["reals"] else "–")  # noqa: RUF001
        assert cells[7] == each["protocol"]


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


def _texts(value):
    """Every text in a nested value."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("make", RESULTS)
def test_names_digests_protocols_and_notes_are_all_on_the_page(make):
    result = make()
    text = text_of(parse_page(result))
    metrics = {each["metric"] for each in result["metrics"].values()}  # shown by their titles
    missing = [each for each in _texts(result) if each not in text and each not in metrics]
    assert not missing


def test_every_reference_is_listed_with_its_description_and_count():
    result = crowded_result()
    result["references"]["holdout"]["count"] = None  # a statistics file doesn't say
    sources = [text_of(each) for each in parse_page(result).xpath("//div[@class='source']")]
    for name, each in result["references"].items():
        (source,) = [text for text in sources if each["digest"] in text]
        assert source.startswith(name)
        assert each["what"] in source
        assert each["count"] is None or f"{each['count']:,} images" in source


def test_pictures_come_back_byte_for_byte(pictures):
    page = parse_page(checkpoint_result(), pictures)
    found = [
        image.get("src").removeprefix("data:image/png;base64,") for image in page.xpath("//img")
    ]
    assert [base64.b64decode(each) for each in found] == [
        pictures[name] for name in ("grid", "reals", "closest")
    ]
    sizes = [(image.get("width"), image.get("height")) for image in page.xpath("//img")]
    assert sizes == [("398", "398")] * 3


def test_a_picture_that_is_no_png_is_refused():
    with pytest.raises(ValueError, match="not a PNG"):
        report_html(checkpoint_result(), {"grid": b"\xff\xd8\xff\xe0 a JPEG"})


@pytest.mark.parametrize("make", RESULTS)
def test_the_page_loads_nothing(make, pictures):
    page = parse_page(make(), pictures)
    assert not page.xpath("//script | //link | //iframe | //object | //embed | //base | //a")
    addresses = page.xpath("//@src | //@href | //@srcset | //@data | //@action | //@poster")
    assert all(each.startswith("data:image/png;base64,") for each in addresses)
    assert not [name for name in page.xpath("//@*") if str(name.attrname).startswith("on")]
    style = page.xpath("string(//style)")
    assert "@import" not in style
    assert "url(" not in style
    assert "http" not in report_html(make(), {}).replace("http-equiv", "")


def make_hostile(value):
    """Append hostile text to every string in a nested value."""
    if isinstance(value, dict):
        return {key: make_hostile(each) for key, each in value.items()}
    if isinstance(value, list):
        return [make_hostile(each) for each in value]
    return value + HOSTILE if isinstance(value, str) else value


def test_hostile_texts_are_escaped(pictures):
    result = checkpoint_result()
    kind = result["subject"]["kind"]
    result = make_hostile(result) | {"format": "x"}
    result["subject"]["kind"] = kind
    for section in ("references", "metrics", "memorisation"):
        result[section] = {key + HOSTILE: each for key, each in result[section].items()}
    page = parse_page(result, pictures)
    usual = parse_page(checkpoint_result(), pictures)
    assert not page.xpath("//script")
    assert len(page.xpath("//img")) == len(usual.xpath("//img"))
    assert {each.tag for each in page.iter()} == {each.tag for each in usual.iter()}
    assert "models/best.pt" + HOSTILE in text_of(page)
    assert not [name for name in page.xpath("//@*") if str(name.attrname).startswith("on")]


@pytest.mark.parametrize("make", RESULTS)
def test_equal_inputs_give_equal_text(make, pictures):
    again = json.loads(json.dumps(make()))
    assert report_html(again, dict(pictures)) == report_html(make(), pictures)


def test_the_result_is_left_as_it_was(pictures):
    result = crowded_result()
    before = copy.deepcopy(result)
    report_html(result, pictures)
    assert result == before


def test_other_data_is_an_alert_and_only_other_data():
    result = checkpoint_result()
    assert not parse_page(result).xpath("//*[@class='loud']")
    result["references"]["train"]["other"] = True
    (box,) = parse_page(result).xpath("//*[@class='loud']")
    assert "train split of the cache" in text_of(box)


def test_a_folder_has_no_training_data_that_could_be_other():
    result = folder_result()
    result["references"]["train"]["other"] = True
    page = parse_page(result)
    assert not page.xpath("//*[@class='loud']")
    assert not page.xpath("//div[@class='source']//strong[text()='(not its training data)']")


def test_the_best_snapshot_is_marked_in_chart_and_table():
    page = parse_page(checkpoint_result())
    (ring,) = page.xpath("//*[@class='best']/title")
    assert ring.text == "96,000 images: 950.041"
    (row,) = page.xpath("//table[@class='points']//tr[@class='key']")
    assert text_of(row).startswith("96,000 (best)")
    (caption,) = page.xpath("//figure[.//*[@class='best']]/figcaption")
    assert [int(each) for each in re.findall(r"\b\d\b", text_of(caption))] == [1, 2, 3, 4]


def test_a_suspicious_memorisation_test_is_marked_with_share_and_p_value():
    result = checkpoint_result()
    assert not parse_page(result).find_class("test")[0].find_class("bad")
    result["memorisation"]["lite0"] |= {"suspicious": True, "share": 0.21, "p_value": 3e-19}
    (test,) = parse_page(result).xpath("//div[@class='test bad']")
    assert "21.0 %" in text_of(test)
    assert "3.0e\N{MINUS SIGN}19" in text_of(test)


def test_the_sixteen_closest_pairs_are_listed():
    result = checkpoint_result()
    rows = parse_page(result).xpath("//table[@class='pairs']/tbody/tr")
    for row, pair in zip(rows, result["memorisation"]["lite0"]["closest"], strict=True):
        cells = [cell.text_content() for cell in row.xpath("td")]
        assert cells[:2] == [str(pair["fake"]), str(pair["row"])]
        assert cells[2] == ("yes" if pair["mirrored"] else "no")
        exact = [float(each) for each in row.xpath(".//data/@value")]
        assert exact == [pair["distance"], pair["relative"]]


def test_a_result_without_anything_optional_is_a_page():
    page = parse_page(without_sections(folder_result()))
    assert page.xpath("//h2/text()") == ["Summary", "Metrics", "Protocol"]
    assert not page.xpath("//table")


def test_headlines_are_of_inception_if_it_is_an_extractor():
    lite = parse_page(checkpoint_result()).xpath("//ul[@class='cards']/li")
    assert all("lite0" in text_of(card) for card in lite)
    cards = parse_page(crowded_result()).xpath("//ul[@class='cards']/li")
    assert len(cards) == 6
    assert all("inception" in text_of(card) for card in cards)


def test_a_careful_evaluation_passes_every_check():
    result = checkpoint_result()
    for each in result["metrics"].values():
        each |= {"extractor": "inception", "reals": each["reals"] and 4603}
    assert set(states(result).values()) == {"ok"}


@pytest.mark.parametrize(
    ("about", "state", "change"),
    [
        ("Data", "bad", lambda r: r["references"]["train"].update(other=True)),
        ("Data", "doubt", lambda r: r["subject"].pop("trained_on")),
        ("Selection", "bad", lambda r: r["selection"].update(seed=2)),
        ("Selection", "doubt", lambda r: r.update(selection=None)),
        ("Spread", "doubt", lambda r: r["protocol"].update(seeds=[2, 3])),
        ("Sample size", "doubt", lambda r: r["metrics"]["fd_lite0_5k"].update(reals=2047)),
        ("Sample size", "doubt", lambda r: r["metrics"]["fd_lite0_5k"].update(fakes=2047)),
        ("Sample size", "doubt", lambda r: r["metrics"]["fd_lite0_5k"].update(reals=None)),
        ("Memorisation", "doubt", lambda r: r.update(memorisation={})),
        ("Memorisation", "bad", lambda r: r["memorisation"]["lite0"].update(suspicious=True)),
        ("Precision", "doubt", lambda r: _extractor(r).update(precision="bf16")),
        ("Training", "doubt", lambda r: r["selection"].update(best=120000)),
    ],
)
def test_each_doubt_is_raised_by_its_check(about, state, change):
    result = checkpoint_result()
    del result["metrics"]["fd_lite0_5k_holdout_small504"]
    assert states(result).get(about, "ok") == "ok"
    change(result)
    assert states(result)[about] == state


def test_exactly_enough_images_are_enough():
    result = checkpoint_result()
    for each in result["metrics"].values():
        each |= {"fakes": 2048, "reals": 2048}
    assert states(result)["Sample size"] == "ok"


def _extractor(result):
    return result["protocol"]["extractors"]["lite0"]


def test_the_page_states_the_quantisation_of_to_images():
    assert "round((x + 1) · 127.5), clipped to 0 to 255" in text_of(
        parse_page(checkpoint_result())
    )
    pixels = torch.linspace(-1.1, 1.1, 1001)
    stated = ((pixels + 1) * 127.5).round().clamp(0, 255)
    assert torch.equal(to_images(pixels).float(), stated)


@pytest.mark.parametrize(
    ("value", "deviation", "text"),
    [
        (941.0712, 2.13, "941.1"),
        (941.0712, 21.3, "941"),
        (941.0712, None, "941.1"),
        (12345.6, None, "12,346"),
        (0.0512345, 0.00031, "0.05123"),
        (-0.0004, 0.001, "\N{MINUS SIGN}0.0004"),
        (0.0, None, "0"),
        (1e-12, None, "1.0e\N{MINUS SIGN}12"),
        (5.0, 0.0, "5.000"),
        (float("nan"), None, "nan"),
    ],
)
def test_figures_have_significant_digits_only(value, deviation, text):
    assert figure(value, deviation) == text


def test_a_share_is_formatted_in_percent():
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
def test_the_page_fits_into_the_window_of_a_phone_and_of_a_laptop(make, pictures, tmp_path: Path):
    result = make()
    result["subject"]["name"] = "a" * 120 + "/" + "long_name_" * 20
    result["notes"] = ["no_space" * 30]
    for window in render(report_html(result, pictures), (320, 390, 840, 1200), tmp_path):
        assert window["scroll"] == window["width"], window["wide"]
        assert not window["wide"]
        assert window["pictures"] == [398] * 3
        assert window["best"] == pytest.approx(window["dots"][7], abs=0.5)
