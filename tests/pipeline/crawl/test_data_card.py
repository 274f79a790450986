"""The data card: known pictures give known figures, strangers' words stay words."""

import hashlib
import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hostile_texts import HOSTILE, MARKUP, parse_markdown
from picture_files import encode as encoded
from PIL import ExifTags, Image
from preprocess_inputs import ATTRIBUTES

from gan.errors import GanError
from gan.params.data import AttributesParams
from pipeline.crawl.data_card.card import bar, render, share, write_card
from pipeline.crawl.data_card.measure import ValueCounts, generalise, measure, site_of
from pipeline.crawl.data_card.pictures import (
    GREY_TILE,
    TILE,
    choose,
    measure_colours,
    sheet,
    shrink,
)
from pipeline.crawl.image_check import ListedImage, PictureLimits, check_image
from pipeline.crawl.storage.journal import Journal
from pipeline.crawl.storage.writer import publish
from pipeline.dataset.layout import MANIFEST, checksum_file
from pipeline.dataset.reader import Dataset
from pipeline.dataset.shards import ImageIndex

SOURCE = {"source": "test", "count": 3, "licence": "unknown"}
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
WHITE = (255, 255, 255)
LETTERS = str.maketrans("0123456789", "ghijklmnop")


def encode(colour=RED, size=(40, 40), kind="PNG"):
    return encoded(Image.new("RGB", size, colour), kind)


def entry_of(name, data=b"", **changes):
    url = f"https://site.test/{name}"
    listed = ListedImage(0, url, f"{url}.png", ("smile",), "general", "", "CC0-1.0")
    if not data:
        return replace(listed.entry("gone", "HTTP 404"), **changes)
    entry = check_image(listed, data, PictureLimits())
    if entry.status != "ok":  # as if it had been damaged later
        marks = {"status": "ok", "reason": "", "format": "PNG", "width": 1, "height": 1}
        sha256 = hashlib.sha256(data).hexdigest()
        entry = replace(entry, sha256=sha256, bytes=len(data), **marks)
    return replace(entry, **changes)


def build(root, *pictures, source=SOURCE):
    """A dataset of (data, changes of the entry); without data an entry that has no picture."""
    root.mkdir(parents=True, exist_ok=True)
    with Journal(root / "staging", source) as journal:
        for position, (data, changes) in enumerate(pictures):
            journal.add(position, entry_of(f"{position:04d}", data, **changes), data)
        return publish(journal, lambda _: source, root / "data", root / "old")


def card_of(root, *pictures, source=SOURCE):
    return measure(build(root, *pictures, source=source))


def test_entries_are_counted_by_status_reason_site_and_value(tmp_path):
    card = card_of(
        tmp_path,
        (encode(RED), {"source": "https://artist.test/1", "tags": ("a", "b", "a")}),
        (encode(GREEN), {"rating": "safe", "licence": "", "url": "http://127.0.0.1:81/x"}),
        (encode(BLUE), {"tags": ()}),
        (b"", {"tags": ("c",)}),
        (b"", {"url": "http://u:p@OTHER.test:8080/x"}),
        (b"", {"status": "too_large", "reason": "412x300 pixels, over 9", "url": "gallery:/7"}),
        (b"", {"status": "too_large", "reason": "50x60 pixels, over 9", "url": "archive:a/7"}),
    )
    assert card["rows"] == 7
    assert {k: n for k, n in card["statuses"].items() if n} == {"ok": 3, "gone": 2, "too_large": 2}
    reasons = [["gone", "HTTP 404", 2], ["too_large", "NxN pixels, over N", 2]]
    assert card["reasons"]["top"] == reasons
    others = [["127.0.0.1", 1, 1], ["archive:", 1, 0], ["gallery:", 1, 0], ["other.test", 1, 0]]
    assert card["sites"]["top"] == [["site.test", 3, 2], *others]
    assert (card["origins"]["top"], card["origins"]["unsaid"]) == ([["artist.test", 1]], 2)
    licences = {"top": [["CC0-1.0", 2], ["", 1]], "other": 0, "different": 2, "unknown": 1}
    assert card["licences"] == licences | {"pruned": False}
    assert card["ratings"]["top"] == [["general", 2], ["safe", 1]]
    assert card["tags"]["top"] == [["a", 1], ["b", 1], ["smile", 1]]
    assert card["tags"]["untagged"] == 1
    assert card["digest"] == Dataset.open(tmp_path / "data").digest
    assert card["source"] == SOURCE


def test_distinct_pictures_fall_into_known_classes_of_sizes_and_shapes(tmp_path):
    sizes = [(31, 32), (32, 63), (64, 95), (96, 96), (127, 128), (1024, 512), (100, 201)]
    files = [encode(size=size) for size in sizes]
    card = card_of(tmp_path, *((data, {}) for data in files + files[:1] * 2))
    widths, short = card["sizes"]["width"], card["sizes"]["short_side"]
    assert widths["histogram"] == [1, 1, 1, 3, 0, 0, 0, 1]
    assert card["sizes"]["height"]["histogram"] == [0, 2, 1, 1, 2, 0, 1, 0]
    assert short["histogram"] == [1, 1, 1, 3, 0, 0, 1, 0]
    assert (widths["min"], widths["median"], widths["max"]) == (31, 96, 1024)
    # 100:201, 32:63 and 64:95, none, 31:32 96:96 127:128, none, none, 2:1
    assert card["aspects"] == [1, 2, 0, 3, 0, 0, 1]
    pictures = card["pictures"]
    assert (pictures["rows"], pictures["distinct"], pictures["repeats"]) == (9, 7, 2)
    assert (pictures["most_copies"], pictures["bytes"]) == (3, sum(map(len, files)))
    assert pictures["bytes_a_picture"]["max"] == max(map(len, files))
    assert card["formats"]["top"] == [["PNG", 9]]
    page = render(card)
    assert "| 1024 and over | 1 | 0 | 0 |  | 0.0 % |" in page
    assert "short side 31 to 512 (median 96)" in page
    assert "2 addresses gave bytes that another one had given before" in page


def test_flat_colours_give_their_closed_form(tmp_path):
    """Red, green, blue and white of very different sizes: each weighs one quarter."""
    sizes = ((20, 20), (64, 64), (300, 300), (777, 30))
    pictures = ((encode(*each), {}) for each in zip((RED, GREEN, BLUE, WHITE), sizes, strict=True))
    card = card_of(tmp_path, *pictures)["colours"]
    assert card["pictures"] == 4
    assert card["mean_rgb"] == card["std_rgb"] == [127.5] * 3
    assert card["greyscale"] == 1
    assert card["coloured_pixels"] == 0.75
    hues = {name: part for name, part in card["hues"] if part}
    assert hues == {"red": 0.3333, "green": 0.3333, "blue": 0.3333}
    # luma of blue 29, red 76, green 150, white 255
    assert card["brightness"] == [0.25, 0, 0.25, 0, 0.25, 0, 0, 0.25]
    assert card["saturation"] == [0.25, 0, 0, 0, 0, 0, 0, 0.75]


def test_every_hue_has_its_name_also_a_little_off(tmp_path):
    for hue, sector in ((348, 0), (12, 0), (18, 1), (120, 4), (252, 8), (342, 11)):
        swatch = Image.new("RGB", (1, 1), f"hsl({hue}, 100%, 50%)").getpixel((0, 0))
        hues = card_of(tmp_path / str(hue), (encode(swatch), {}))["colours"]["hues"]
        assert [number for number, (_, part) in enumerate(hues) if part] == [sector]


def unreadable(index, number):
    raise GanError("images-00000.tar: cannot be read")


def test_a_picture_that_cannot_be_decoded_is_counted_and_a_grey_tile(tmp_path, monkeypatch):
    broken = (b"no picture at all", {})
    dataset = build(tmp_path, (encode(RED), {}), broken)
    colours = measure(dataset)["colours"]
    assert (colours["pictures"], colours["unreadable"]) == (1, 1)
    assert "Another 1 could not be decoded" in render(measure(dataset))
    with monkeypatch.context() as patch:
        patch.setattr(ImageIndex, "read_image", unreadable)
        assert measure_colours(dataset)["unreadable"] == 2
    image = np.asarray(sheet(dataset))
    tiles = [image[:, :TILE], image[:, -TILE:]]
    assert sum(np.array_equal(tile, GREY_TILE) for tile in tiles) == 1
    page = render(card_of(tmp_path / "none", broken))
    assert "Not measured: no picture could be decoded." in page


def test_pictures_are_chosen_evenly_in_the_order_of_their_hashes(tmp_path):
    data = [encode((i, 0, 0)) for i in range(20)]
    dataset = build(tmp_path, *((each, {}) for each in data))
    by_hash = sorted(data, key=lambda each: hashlib.sha256(each).hexdigest())
    assert [read() for read in choose(dataset, 5)] == by_hash[::4]
    assert [read() for read in choose(dataset, 99)] == by_hash
    assert 1 <= len(list(choose(dataset, 99, most_bytes=4 * len(data[0]) + 4))) <= 5
    assert len(list(choose(dataset, 99, most_bytes=1))) == 1


def test_the_sheet_shows_pictures_whole_on_white(tmp_path):
    image = sheet(build(tmp_path / "wide", (encode(RED, (400, 200)), {})))
    assert image.size == (TILE, TILE)
    assert image.getpixel((1, TILE // 2)) == image.getpixel((94, TILE // 2)) == RED
    assert image.getpixel((TILE // 2, 20)) == image.getpixel((TILE // 2, 76)) == WHITE
    small = sheet(build(tmp_path / "small", (encode(RED, (10, 10)), {})))
    assert (np.asarray(small) == RED).all(axis=2).sum() == 100
    many = build(tmp_path / "many", *((encode((i, 0, 0)), {}) for i in range(10)))
    assert sheet(many).size == (8 * (TILE + 2) - 2, 2 * (TILE + 2) - 2)
    assert sheet(many, 3).size == (3 * (TILE + 2) - 2, TILE)


def test_decoding_turns_as_exif_says_and_flattens_transparency_and_depth():
    image = Image.new("RGB", (80, 40), BLUE)
    image.paste(RED, (0, 0, 40, 40))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # a quarter to the right: the left side goes up
    turned = shrink(encoded(image, exif=exif), 64)
    assert turned.size == (40, 80)
    assert (turned.getpixel((20, 10)), turned.getpixel((20, 70))) == (RED, BLUE)
    flat = shrink(encoded(Image.new("RGBA", (300, 300), (255, 0, 0, 0))), 64)
    assert (flat.size, flat.getextrema()) == ((75, 75), ((255, 255),) * 3)
    deep = Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16))
    assert shrink(encoded(deep), 64).getpixel((3, 3)) == (128, 128, 128)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_the_longer_side_comes_to_between_one_and_two_sides(kind):
    for size in ((1, 3000), (129, 127), (64, 64), (20, 1)):
        longer = max(shrink(encode(size=size, kind=kind), 64).size)
        assert longer == max(size) if max(size) < 64 else 64 <= longer < 128


def test_equal_datasets_give_equal_bytes_and_no_trace_of_this_machine(tmp_path):
    pictures = [(encode((i, 90, 9)), {"tags": tuple("abcdefg"[: i + 1])}) for i in range(7)]
    one, two = (build(tmp_path / name, *pictures) for name in ("one", "two"))
    cards = [measure(each) for each in (one, two)]
    assert json.dumps(cards[0]) == json.dumps(cards[1])
    assert sheet(one).tobytes() == sheet(two).tobytes()
    assert render(json.loads(json.dumps(cards[0]))) == render(cards[1])
    assert str(tmp_path) not in json.dumps(cards[0]) + render(cards[0])


def strange_entries(text):
    site = f"https://{text}/"
    strange = {"tags": (text, "z"), "rating": text, "licence": text, "source": f"x:{text}"}
    elsewhere = {"url": site, "source": site}
    return (encode(RED), strange), (encode(GREEN), elsewhere), (b"", {"reason": text})


@pytest.mark.parametrize("text", HOSTILE)
def test_crawled_texts_break_no_table_and_are_no_markup(tmp_path, text):
    source = {**SOURCE, "source": text, text: [text]}
    card = card_of(tmp_path, *strange_entries(text), source=source)
    json.dumps(card, ensure_ascii=False).encode("utf-8")
    page = render(card)
    assert all(char.isprintable() or char == "\n" for char in page)
    tokens = parse_markdown(page)
    assert not {token.type for token in tokens} & MARKUP
    calm_entries = strange_entries("calm" if text.strip() else " ")
    calm = parse_markdown(render(card_of(tmp_path / "calm", *calm_entries)))
    for kind in ("heading_open", "table_open"):
        assert sum(t.type == kind for t in tokens) == sum(t.type == kind for t in calm)
    for line in page.splitlines():  # backticks in pairs, and of a table's bars none inside of them
        assert line.count("`") % 2 == 0
        assert all("|" not in part for part in line.split("`")[1::2])


def test_unknown_licences_are_warned_of_and_known_ones_named(tmp_path):
    own = {"licence": "", "url": "archive:x.png"}
    for number, (changes, words) in enumerate(
        (
            ([{}], "> [!NOTE]\n> All pictures are under `CC0-1.0`"),
            ([{"licence": " Unknown"}], "> [!WARNING]\n> **The pictures' licences are unknown"),
            ([own, {}], "1 of 2 pictures have no known licence"),
            ([{}, {"licence": "x"}], "Every picture has a licence"),
        )
    ):
        pictures = ((encode((i, 0, 0)), each) for i, each in enumerate(changes))
        assert words in render(card_of(tmp_path / str(number), *pictures))


def test_reasons_that_differ_in_numbers_and_names_are_one():
    for one, other in (
        ("412x300 pixels (18 bytes not processed)", "5x6 pixels (1 bytes not processed)"),
        ("moved to https://a.test/1?x=2", "moved to http://b.test"),
        ("unknown chunk 'abc' after 1,024.5 s", "unknown chunk 'xyz' after 7 s"),
    ):
        assert generalise(one) == generalise(other)
    for reason in ("HTTP 404", "no JPEG, PNG, WebP or GIF"):
        assert generalise(reason) == reason


def test_counts_drop_the_rarest_values_and_keep_the_total():
    tally = ValueCounts(100)
    for i in range(10_000):
        tally.add("often" if i % 2 else f"rare {i}")
    assert tally.counts["often"] == 5000
    assert len(tally.counts) <= 100
    assert tally.top(1)["other"] == 5000
    assert tally.pruned


def test_sites_are_hosts_without_ports_or_schemes():
    sites = {"https://Safe.Test:444/x": "safe.test", "http://[::1]:80/x": "::1"}
    sites |= dict.fromkeys(("http://[", "https:///x", "pixiv #1234"), "(no address)")
    assert {url: site_of(url) for url in sites} == sites
    assert site_of("gallery:/data/1.jpg") == "gallery:"


def test_bars_and_percentages_never_hide_something_nor_round_it_to_all():
    column = (2.0, 1.0, 2e-9, 0.0)
    assert [bar(value, column) for value in column] == ["█" * 20, "█" * 10, "▏", ""]
    assert bar(0, [0]) == ""
    shares = [share(part, 1) for part in (0.0, 1e-6, 0.99999, 1.0)]
    assert shares == ["0.0 %", "<0.1 %", ">99.9 %", "100.0 %"]
    assert share(1, 0) == "-"


@pytest.mark.soak
def test_a_manifest_of_100000_entries_is_never_in_memory(tmp_path):
    """Every entry has its own host and tag, and its own hash or reason."""
    path, good, bad = tmp_path / MANIFEST, entry_of("0", encode()), entry_of("0", status="bad")
    with path.open("w", encoding="utf-8") as lines:
        for i in range(100_000):
            mark = hashlib.sha256(b"%d" % i).hexdigest()
            own = {"sha256": mark} if i % 2 else {"reason": mark.translate(LETTERS)}
            own |= {"url": f"https://h{i}.test/{i}.png", "tags": ("1girl", "smile", f"t{i}")}
            lines.write(replace(good if i % 2 else bad, **own).to_json() + "\n")
    dataset = Dataset(tmp_path, "d" * 64, SOURCE, {}, {MANIFEST: checksum_file(path)})
    tracemalloc.start()
    card = measure(dataset)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25e6  # 130 MB as a list of entries
    assert (card["rows"], card["pictures"]["distinct"]) == (100_000, 50_000)
    assert card["tags"]["different"] == 50_002
    assert card["sites"]["pruned"]
    assert card["reasons"]["pruned"]
    assert card["reasons"]["other"] + sum(n for *_, n in card["reasons"]["top"]) == 50_000


def test_labels_are_counted_by_the_given_attributes_and_again_where_these_change(tmp_path):
    define = AttributesParams.model_validate
    tags = [("red_hair", "x", "y"), ("red_hair", "hat"), ("grey_hair", "red_hair"), ()]
    dataset = build(tmp_path, *((encode((40 * n, 0, 0)), {"tags": t}) for n, t in enumerate(tags)))
    attributes = define(ATTRIBUTES)
    found = measure(dataset, attributes)["attributes"]
    assert found["counts"] == [
        {
            "name": "hair",
            "kind": "exclusive",
            "values": {"red_hair": 2, "grey_hair": 0},
            "unknown": 2,
        },
        {"name": "hat", "kind": "independent", "values": {"no": 1, "yes": 1}, "unknown": 2},
        {"name": "glasses", "kind": "independent", "values": {"no": 1, "yes": 0}, "unknown": 3},
    ]
    places = tmp_path / "reports", tmp_path / "local"
    changed = define(ATTRIBUTES | {"least_tags": 1})
    texts = {}
    for name, each in {"none": None, "first": attributes, "changed": changed}.items():
        texts[name] = write_card(dataset, *places, each)[0].read_text()
        parse_markdown(texts[name])
    assert len(set(texts.values())) == 3
    assert "red_hair" in texts["first"].partition("## Labels")[2]
    # a call that knows no attributes leaves the card of the dataset as it is
    assert write_card(dataset, *places, None)[0].read_text() == texts["changed"]
