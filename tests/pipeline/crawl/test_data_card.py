"""The data card: known pictures give known figures, strangers' words stay words."""

import hashlib
import io
import json
import tracemalloc
from dataclasses import asdict, replace

import numpy as np
import pytest
from hostile_texts import HOSTILE, MARKUP, parse_markdown
from PIL import ExifTags, Image

from pipeline.crawl.data_card.card import bar, render, share
from pipeline.crawl.data_card.measure import Reasons, ValueCounts, generalise, measure, site_of
from pipeline.crawl.data_card.pictures import GREY, TILE, choose, sheet, shrink
from pipeline.crawl.storage.journal import Journal
from pipeline.crawl.storage.writer import publish
from pipeline.dataset.layout import MANIFEST, checksum_file
from pipeline.dataset.manifest import ManifestEntry
from pipeline.dataset.reader import Dataset

SOURCE = {"source": "test", "count": 3, "licence": "unknown"}
RED, GREEN, BLUE, WHITE, BLACK = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
)


def encode(colour=RED, size=(40, 40), kind="PNG", **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind, **options)
    return buffer.getvalue()


def entry_of(name, data=b"", **changes):
    entry = ManifestEntry(
        page=f"https://site.test/{name}",
        url=f"https://site.test/{name}.png",
        tags=("smile",),
        rating="general",
        source="",
        licence="CC0-1.0",
        status="ok",
    )
    if not data:
        return replace(entry, **{"status": "gone", "reason": "HTTP 404"} | changes)
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind, (width, height) = image.format, image.size
    except OSError:
        kind, width, height = "PNG", 1, 1
    sha256 = hashlib.sha256(data).hexdigest()
    marks = {"bytes": len(data), "format": kind, "width": width, "height": height}
    return replace(entry, sha256=sha256, **marks, **changes)


def build(root, *pictures, source=SOURCE):
    """A dataset of (data, changes of the entry); without data a entry that has no picture."""
    root.mkdir(parents=True, exist_ok=True)
    with Journal(root / "staging", source) as journal:
        for position, (data, changes) in enumerate(pictures):
            journal.add(position, entry_of(f"{position:04d}", data, **changes), data)
        return publish(journal, source, root / "data", root / "old")


def card_of(root, *pictures, source=SOURCE):
    return measure(build(root, *pictures, source=source))


def test_entries_are_counted_by_status_reason_site_and_value(tmp_path):
    card = card_of(
        tmp_path,
        (encode(RED), {"rating": "general", "source": "https://artist.test/1"}),
        (encode(GREEN), {"rating": "safe", "licence": "", "url": "http://127.0.0.1:81/x"}),
        (b"", {}),
        (b"", {"url": "http://u:p@OTHER.test:8080/x"}),
        (b"", {"status": "too_large", "reason": "412x300 pixels, over 9", "url": "gallery:/7"}),
        (b"", {"status": "too_large", "reason": "50x60 pixels, over 9", "url": "archive:a/7"}),
    )
    assert card["rows"] == 6
    assert {k: n for k, n in card["statuses"].items() if n} == {"ok": 2, "gone": 2, "too_large": 2}
    assert card["reasons"]["top"] == [
        ["gone", "HTTP 404", 2],
        ["too_large", "NxN pixels, over N", 2],
    ]
    assert card["sites"]["top"] == [
        ["site.test", 2, 1],
        ["127.0.0.1", 1, 1],
        ["archive:", 1, 0],
        ["gallery:", 1, 0],
        ["other.test", 1, 0],
    ]
    assert card["origins"]["top"] == [["artist.test", 1]]
    assert card["origins"]["unsaid"] == 1
    assert card["licences"] | {"pruned": 0} == {
        "top": [["", 1], ["CC0-1.0", 1]],
        "other": 0,
        "different": 2,
        "pruned": 0,
        "unknown": 1,
    }
    assert card["ratings"]["top"] == [["general", 1], ["safe", 1]]
    assert card["digest"] == Dataset.open(tmp_path / "data").digest
    assert card["source"] == SOURCE


def test_sizes_and_shapes_fall_into_known_classes(tmp_path):
    sizes = [(31, 32), (32, 63), (64, 95), (96, 96), (127, 128), (1024, 512), (100, 201)]
    card = card_of(tmp_path, *((encode(size=size), {}) for size in sizes))
    widths, short = card["sizes"]["width"], card["sizes"]["short_side"]
    assert widths["histogram"] == [1, 1, 1, 3, 0, 0, 0, 1]
    assert card["sizes"]["height"]["histogram"] == [0, 2, 1, 1, 2, 0, 1, 0]
    assert short["histogram"] == [1, 1, 1, 3, 0, 0, 1, 0]
    assert (widths["min"], widths["median"], widths["max"]) == (31, 96, 1024)
    # 100:201, 32:63 and 64:95, none, 31:32 96:96 127:128, none, none, 2:1
    assert card["aspects"] == [1, 2, 0, 3, 0, 0, 1]


def test_equal_bytes_under_many_addresses_are_one_picture(tmp_path):
    small, large = encode(size=(40, 40)), encode(size=(400, 40))
    card = card_of(tmp_path, (small, {}), (small, {}), (small, {}), (large, {}))
    pictures = card["pictures"]
    assert (pictures["rows"], pictures["distinct"], pictures["repeats"]) == (4, 2, 2)
    assert pictures["most_copies"] == 3
    assert pictures["bytes"] == len(small) + len(large)
    assert pictures["bytes_a_picture"]["max"] == max(len(small), len(large))
    assert card["sizes"]["width"]["histogram"][1] == 1
    assert card["formats"]["top"] == [["PNG", 4]]


def test_a_tag_counts_once_a_picture_and_tags_of_rejects_do_not(tmp_path):
    card = card_of(
        tmp_path,
        (encode(RED), {"tags": ("a", "b", "a")}),
        (encode(GREEN), {"tags": ("a",)}),
        (encode(BLUE), {"tags": ()}),
        (b"", {"tags": ("c",)}),
    )
    assert card["tags"]["top"] == [["a", 2], ["b", 1]]
    assert (card["tags"]["different"], card["tags"]["untagged"]) == (2, 1)
    assert "66.7 %" in render(card)


def test_flat_colours_give_their_closed_form(tmp_path):
    """Red, green, blue and white of very different sizes: each weighs one quarter."""
    sizes = ((20, 20), (64, 64), (300, 300), (777, 30))
    colours = (RED, GREEN, BLUE, WHITE)
    pictures = ((encode(*each), {}) for each in zip(colours, sizes, strict=True))
    card = card_of(tmp_path, *pictures)["colours"]
    assert card["pictures"] == 4
    assert card["mean_rgb"] == [127.5] * 3
    assert card["std_rgb"] == [127.5] * 3
    assert card["greyscale"] == 1
    assert card["coloured_pixels"] == 0.75
    hues = dict(card["hues"])
    assert {name: share for name, share in hues.items() if share} == {
        "red": 0.3333,
        "green": 0.3333,
        "blue": 0.3333,
    }
    # luma of blue 29, red 76, green 150, white 255
    assert card["brightness"] == [0.25, 0, 0.25, 0, 0.25, 0, 0, 0.25]
    assert card["saturation"] == [0.25, 0, 0, 0, 0, 0, 0, 0.75]


@pytest.mark.parametrize("sector", range(12))
def test_every_hue_has_its_name_also_a_little_off(tmp_path, sector):
    names = ("red", "orange", "yellow", "yellow-green", "green", "spring green")
    names += ("cyan", "azure", "blue", "violet", "magenta", "rose")
    for off in (-12, 0, 12):
        hue = (sector * 30 + off) % 360
        swatch = Image.new("RGB", (1, 1), f"hsl({hue}, 100%, 50%)").getpixel((0, 0))
        colours = card_of(tmp_path / str(off), (encode(swatch), {}))["colours"]
        assert [name for name, share in colours["hues"] if share] == [names[sector]]


def test_half_of_a_picture_gives_half_of_the_pixels(tmp_path):
    image = Image.new("RGB", (200, 100), BLACK)
    image.paste((255, 128, 0), (0, 0, 100, 100))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    colours = card_of(tmp_path, (buffer.getvalue(), {}))["colours"]
    assert dict(colours["hues"])["orange"] == 1
    assert colours["coloured_pixels"] == pytest.approx(0.5, abs=0.01)
    assert colours["brightness"][0] == pytest.approx(0.5, abs=0.01)
    assert colours["mean_rgb"][0] == pytest.approx(127.5, abs=1.5)
    assert colours["greyscale"] == 0


def test_a_picture_that_cannot_be_decoded_is_counted_and_a_grey_tile(tmp_path):
    dataset = build(tmp_path, (encode(RED), {}), (b"no picture at all", {}))
    colours = measure(dataset)["colours"]
    assert (colours["pictures"], colours["unreadable"]) == (1, 1)
    assert "Another 1 could not be decoded" in render(measure(dataset))
    image = np.asarray(sheet(dataset))
    tiles = [image[:, :TILE], image[:, -TILE:]]
    assert sum(bool((tile == GREY).all()) for tile in tiles) == 1


def test_where_no_picture_can_be_decoded_the_card_says_so(tmp_path):
    page = render(card_of(tmp_path, (b"no picture at all", {})))
    assert "Not measured: no picture could be decoded." in page


def test_pictures_are_chosen_evenly_in_the_order_of_their_hashes(tmp_path):
    data = [encode((i, 0, 0)) for i in range(20)]
    dataset = build(tmp_path, *((each, {}) for each in data))
    by_hash = sorted(data, key=lambda each: hashlib.sha256(each).hexdigest())
    read = [location.read() for location in choose(dataset, 5)]
    assert read == by_hash[::4]
    assert [each.read() for each in choose(dataset, 99)] == by_hash
    few = choose(dataset, 99, most_bytes=4 * len(data[0]) + 4)
    assert 1 <= len(few) <= 5
    assert len(choose(dataset, 99, most_bytes=1)) == 1


def test_the_sheet_shows_pictures_whole_on_white(tmp_path):
    wide = build(tmp_path / "wide", (encode(RED, (400, 200)), {}))
    image = sheet(wide)
    assert image.size == (TILE, TILE)
    assert image.getpixel((1, TILE // 2)) == image.getpixel((94, TILE // 2)) == RED
    assert image.getpixel((TILE // 2, 20)) == image.getpixel((TILE // 2, 76)) == WHITE
    small = sheet(build(tmp_path / "small", (encode(RED, (10, 10)), {})))
    assert (np.asarray(small) == RED).all(axis=2).sum() == 100
    many = build(tmp_path / "many", *((encode((i, 0, 0)), {}) for i in range(70)))
    assert sheet(many).size == (8 * (TILE + 2) - 2, 8 * (TILE + 2) - 2)
    assert sheet(many, 3).size == (3 * (TILE + 2) - 2, TILE)


def test_decoding_turns_as_exif_says_and_puts_transparency_on_white():
    image = Image.new("RGB", (80, 40), BLUE)
    image.paste(RED, (0, 0, 40, 40))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # a quarter to the right: the left side goes up
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    turned = shrink(buffer.getvalue(), 64)
    assert turned.size == (40, 80)
    assert (turned.getpixel((20, 10)), turned.getpixel((20, 70))) == (RED, BLUE)
    clear = Image.new("RGBA", (300, 300), (255, 0, 0, 0))
    buffer = io.BytesIO()
    clear.save(buffer, "PNG")
    flat = shrink(buffer.getvalue(), 64)
    assert flat.getextrema() == ((255, 255),) * 3
    assert flat.size == (75, 75)


def test_sixteen_bit_grey_keeps_its_levels():
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16)).save(buffer, "PNG")
    assert shrink(buffer.getvalue(), 64).getpixel((3, 3)) == (128, 128, 128)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 2), (129, 127), (64, 64)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_the_longer_side_comes_to_between_one_and_two_sides(size, kind):
    longer = max(shrink(encode(size=size, kind=kind), 64).size)
    assert longer == max(size) if max(size) < 64 else 64 <= longer < 128


def test_equal_datasets_give_equal_bytes_and_no_trace_of_this_machine(tmp_path):
    pictures = [(encode((i, 90, 9)), {"tags": tuple("abcdefg"[: i + 1])}) for i in range(7)]
    one, two = (build(tmp_path / name, *pictures) for name in ("one", "two"))
    cards = [measure(each) for each in (one, two)]
    assert json.dumps(cards[0]) == json.dumps(cards[1])
    assert render(cards[0]) == render(cards[1])
    assert sheet(one).tobytes() == sheet(two).tobytes()
    assert str(tmp_path) not in json.dumps(cards[0]) + render(cards[0])
    assert render(json.loads(json.dumps(cards[0]))) == render(cards[0])


@pytest.mark.parametrize("text", HOSTILE)
def test_crawled_texts_break_no_table_and_are_no_markup(tmp_path, text):
    strange = {"tags": (text, "z"), "rating": text, "licence": text, "source": f"x:{text}"}
    dataset = build(
        tmp_path,
        (encode(RED), strange),
        (encode(GREEN), {"url": f"https://{text}/", "source": f"https://{text}/"}),
        (b"", {"reason": text}),
        source={**SOURCE, "source": text, text: [text]},
    )
    card = measure(dataset)
    json.dumps(card, ensure_ascii=False).encode("utf-8")
    page = render(card)
    assert all(char.isprintable() or char == "\n" for char in page)
    tokens = parse_markdown(page)
    kinds = {token.type for token in tokens}
    assert not kinds & MARKUP
    calm = parse_markdown(render(measure(build(tmp_path / "calm", *_calm_twin(text)))))
    for kind in ("heading_open", "table_open"):
        assert sum(t.type == kind for t in tokens) == sum(t.type == kind for t in calm)
    assert not [line for line in page.splitlines() if not _is_regular(line)]


def _calm_twin(text):
    """The same entries with one word for `text`, or none where it is blank."""
    word = "calm" if text.strip() else " "
    strange = {"tags": (word, "z"), "rating": word, "licence": word, "source": f"x:{word}"}
    return (encode(RED), strange), (encode(GREEN), {"source": "https://calm/"}), (b"", {})


def _is_regular(line):
    """Backticks in pairs, and of a table's bars none inside of them."""
    return line.count("`") % 2 == 0 and all("|" not in part for part in line.split("`")[1::2])


def test_unknown_licences_are_warned_of_and_known_ones_named(tmp_path):
    known = render(card_of(tmp_path / "known", (encode(), {})))
    assert "> [!NOTE]\n> All pictures are under `CC0-1.0`" in known
    web = render(card_of(tmp_path / "web", (encode(), {"licence": " Unknown"})))
    assert (
        "> [!WARNING]\n> **The pictures' licences are unknown; do not redistribute them.**" in web
    )
    assert "gan scrape --from-manifest FILE" in web
    own = {"licence": "", "url": "archive:x.png"}
    local = render(card_of(tmp_path / "local", (encode(), own)))
    assert "[!WARNING]" in local
    assert "--from-manifest" not in local
    some = render(card_of(tmp_path / "some", (encode(RED), own), (encode(GREEN), {})))
    assert "1 of 2 pictures have no known licence" in some


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("412x300 pixels", "5x6 pixels"),
        ("(18 bytes not processed)", "(1 bytes not processed)"),
        ("moved to https://a.test/1?x=2", "moved to http://b.test"),
        ("unknown chunk 'abc'", "unknown chunk 'xyz'"),
        ("1,024.5 s", "7 s"),
    ],
)
def test_reasons_that_differ_in_numbers_and_names_are_one(one, other):
    assert generalise(one) == generalise(other)


def test_http_codes_stay_apart_and_a_lone_reason_keeps_its_numbers():
    reasons = Reasons(10)
    for code_ in (404, 410, 404):
        reasons.add("gone", f"HTTP {code_}")
    reasons.add("too_large", "over 2048 bytes")
    reasons.add("too_large", "over 2048 bytes")
    assert reasons.top(9)["top"] == [
        ["gone", "HTTP 404", 2],
        ["too_large", "over 2048 bytes", 2],
        ["gone", "HTTP 410", 1],
    ]


def test_less_frequent_values_are_summed_up():
    reasons = Reasons(100)
    for letter in "abcdefgaab":
        reasons.add("bad", letter)
    summary = reasons.top(2)
    assert summary["top"] == [["bad", "a", 3], ["bad", "b", 2]]
    assert (summary["other"], summary["different"]) == (5, 7)


def test_counts_drop_the_rarest_values_and_keep_the_total():
    tally = ValueCounts(100)
    for i in range(10_000):
        tally.add("often" if i % 2 else f"rare {i}")
    assert tally.counts["often"] == 5000
    assert len(tally.counts) <= 100
    assert tally.top(1)["other"] == 5000
    assert tally.pruned


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://Safe.Test:444/x", "safe.test"),
        ("http://[::1]:80/x", "::1"),
        ("http://[", "(no address)"),
        ("https:///x", "(no address)"),
        ("gallery:/data/1.jpg", "gallery:"),
        ("pixiv #1234", "(no address)"),
        ("", "(no address)"),
    ],
)
def test_sites_are_hosts_without_ports_or_schemes(url, site):
    assert site_of(url) == site


def test_bars_and_percentages_never_hide_something_nor_round_it_to_all():
    column = (2.0, 1.0, 2e-9, 0.0)
    assert [bar(value, column) for value in column] == ["█" * 20, "█" * 10, "▏", ""]
    assert bar(0, [0]) == ""
    shares = [share(part, 1) for part in (0.0, 1e-6, 0.99999, 1.0)]
    assert shares == ["0.0 %", "<0.1 %", ">99.9 %", "100.0 %"]
    assert share(1, 0) == "-"


def write_manifest(path, entries):
    """Every entry has its own host and tag, and its own hash or reason."""
    entry = asdict(entry_of("0", tags=("1girl", "long_hair", "smile")))
    usual = entry["tags"]
    with path.open("w", encoding="utf-8") as lines:
        for i in range(entries):
            mark = hashlib.sha256(b"%d" % i).hexdigest()
            entry |= {"url": f"https://h{i}.test/{i}.png", "tags": (*usual, f"t{i}")}
            if i % 2:
                words = "".join(chr(97 + int(digit, 16)) for digit in mark[:20])
                entry |= {"status": "bad", "reason": words, "sha256": "", "bytes": 0}
            else:
                entry |= {"status": "ok", "reason": "", "sha256": mark, "bytes": i}
                entry |= {"width": 9, "height": 9, "format": "PNG"}
            lines.write(json.dumps(entry) + "\n")


@pytest.mark.soak
def test_a_manifest_of_100000_entries_is_never_in_memory(tmp_path):
    path = tmp_path / MANIFEST
    write_manifest(path, 100_000)
    dataset = Dataset(tmp_path, "d" * 64, SOURCE, {}, {MANIFEST: checksum_file(path)})
    tracemalloc.start()
    card = measure(dataset)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25e6  # 130 MB as a list of entries
    assert (card["rows"], card["pictures"]["distinct"]) == (100_000, 50_000)
    assert card["tags"]["different"] == 50_003
    assert card["sites"]["pruned"]
    assert card["reasons"]["pruned"]
    assert card["reasons"]["other"] + sum(n for *_, n in card["reasons"]["top"]) == 50_000
