"""The scrape stage against real archives, a real gallery and a real DVC repository."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from PIL import Image

from gan.errors import GanError
from gan.params.file import parse_params
from pipeline.crawl.data_folder import SKELETON, DataFolder
from pipeline.crawl.request import ScrapeRequest
from pipeline.dataset.dvc_cache import DvcCache, directory_md5
from pipeline.dataset.reader import Dataset
from pipeline.paths import Paths
from pipeline.stages.scrape import run

REPOSITORY = Path(__file__).parents[3]
SMALL = {
    "source": "embedded",
    "count": 24,
    "size": 32,
    "seed": 1,
    "painter": 1,
    "view": "avatars",
    "licence": "CC0-1.0",
}
SHIPPED = yaml.safe_load((REPOSITORY / "params.yaml").read_text())


def ensure(paths):
    return run(ScrapeRequest(ensure=True), None, paths)


def scrape(paths, source, replace=False, **options):
    params = parse_params(SHIPPED, "params.yaml").scrape
    return run(ScrapeRequest(source=source, replace=replace, **options), params, paths)


def dvc(root, *arguments):
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)


def pictures(folder, names="abc"):
    folder.mkdir()
    for index, name in enumerate(names):
        Image.new("RGB", (40, 30), (index * 9, 80, 120)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def paths(tmp_path):
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "source.yaml").write_text(yaml.safe_dump(SMALL))
    return Paths(root)


@pytest.fixture
def in_dvc(paths):
    dvc(paths.root, "init", "--no-scm", "-q")
    paths.pin.write_text(SKELETON)
    return paths


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kept_of(paths):
    """The files of the one folder in data.old/."""
    (kept,) = (paths.root / "data.old").iterdir()
    return files_of(kept)


@pytest.mark.slow
def test_the_gallery_is_drawn_once_and_half_written_data_is_never_taken_for_whole(paths, capsys):
    first = ensure(paths)
    stamp = (paths.data / "snapshot.json").stat().st_mtime_ns
    receipt, whole = paths.receipt.read_bytes(), files_of(paths.data)
    assert ensure(paths) == first
    assert (paths.data / "snapshot.json").stat().st_mtime_ns == stamp
    assert paths.receipt.read_bytes() == receipt
    assert json.loads(receipt) == {"digest": first.digest, "source": SMALL}
    assert first.counts == dict(ok=23, bad=0, gone=1, blocked=0, too_large=0, failed=0)
    found = sorted(path.name for path in paths.root.iterdir())
    assert found == ["data", "data.ok", "logs", "reports", "source.yaml"]
    card = json.loads((paths.reports / "data_card.json").read_text())
    assert card["digest"] == first.digest
    assert first.digest in (paths.reports / "data_card.md").read_text()
    assert first.sheet.is_relative_to(paths.logs)
    said = capsys.readouterr()
    assert "23 ok, 1 gone" in said.out
    assert "trying again" not in said.err
    assert set(whole) == {"images-00000.tar", "manifest.jsonl", "snapshot.json"}
    for name, data in whole.items():
        (paths.data / name).write_bytes(data[: len(data) // 2])
        assert ensure(paths) == first
        assert files_of(paths.data) == whole
    paths.source.write_text(yaml.safe_dump({**SMALL, "seed": 500}))
    second = ensure(paths)
    assert (second.source["seed"], second.digest != first.digest) == (500, True)


@pytest.mark.parametrize("text", ["source: [", "a: 1", None, {"count": "many"}, {"colour": 1}])
def test_a_wrong_or_missing_source_yaml_is_one_line_that_names_the_key(paths, text):
    key = next(iter(text)) if isinstance(text, dict) else ""
    if text is None:
        paths.source.unlink()
    else:
        paths.source.write_text(yaml.safe_dump({**SMALL, **text}) if key else text)
    with pytest.raises(GanError, match=rf"source\.yaml: {key}") as caught:
        ensure(paths)
    assert "\n" not in str(caught.value)
    assert not paths.data.exists()


def test_an_archive_becomes_the_dataset_and_is_never_replaced_by_itself(paths, tmp_path):
    folder = pictures(tmp_path / "mine")
    left, right = (Image.new("RGB", (40, 30), (200, shade, 9)) for shade in (1, 2))
    left.save(folder / "camera.jpg", "MPO", save_all=True, append_images=[right])
    summary = scrape(paths, f"archive:{folder}", licence="mine")
    assert summary.counts["ok"] == 4
    described = yaml.safe_load(paths.source.read_text())
    assert described == summary.source
    assert described["source"] == "archive:mine"
    assert described["counts"] == {"ok": 4}
    whole = files_of(paths.data)
    for data in whole.values():
        assert str(tmp_path).encode() not in data
    entries = list(Dataset.open(paths.data).entries())
    assert {entry.licence for entry in entries} == {"mine"}
    assert [entry.format for entry in entries] == ["PNG", "PNG", "PNG", "JPEG"]
    assert ensure(paths) == summary
    with pytest.raises(GanError, match=r"archive:mine.*--source"):
        scrape(paths, "")
    text = paths.source.read_text()
    paths.source.write_text(text.replace("mine", "other"))
    with pytest.raises(GanError, match=r"dvc pull"):
        ensure(paths)
    assert files_of(paths.data) == whole
    paths.source.write_text(text)
    shutil.rmtree(paths.data)
    with pytest.raises(GanError, match="dvc pull"):
        ensure(paths)


def test_a_replaced_crawl_is_kept_once_where_nothing_else_holds_it(paths, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    folders = [pictures(tmp_path / "one"), pictures(tmp_path / "there" / "one", "wxyz")]
    scrape(paths, f"archive:{folders[0]}")
    whole = files_of(paths.data)
    scrape(paths, f"archive:{folders[1]}")
    assert kept_of(paths) == whole
    said = capsys.readouterr().err
    assert "data.old" in said
    assert "another archive:one, with other pictures" in said
    digests = {scrape(paths, f"archive:{folder}").digest for folder in folders * 2}
    assert len(digests) == len(list((paths.root / "data.old").iterdir())) == 2
    assert not (paths.root / "data.staging").exists()


def test_a_folder_that_grew_adds_shards_until_replace_starts_over(paths, tmp_path):
    folder = pictures(tmp_path / "mine")
    scrape(paths, f"archive:{folder}")
    before = files_of(paths.data)
    Image.new("RGB", (50, 50), (200, 10, 10)).save(folder / "0new.png")
    (folder / "a.png").unlink()
    grown = scrape(paths, f"archive:{folder}")
    after = files_of(paths.data)
    assert (grown.fetched, grown.counts["ok"]) == (1, 4)
    assert after["images-00000.tar"] == before["images-00000.tar"]
    assert "images-00001.tar" in after
    assert after["manifest.jsonl"].startswith(before["manifest.jsonl"])
    assert scrape(paths, f"archive:{folder}").fetched == 0
    assert files_of(paths.data) == after
    assert ensure(paths).digest == grown.digest
    assert not (paths.root / "data.old").exists()
    again = scrape(paths, f"archive:{folder}", replace=True)
    assert (again.fetched, again.counts["ok"]) == (3, 3)
    assert kept_of(paths) == after


def test_an_archive_without_a_usable_picture_leaves_everything_as_it_was(paths, tmp_path, capsys):
    empty, folder = pictures(tmp_path / "empty", ""), pictures(tmp_path / "mine")
    with pytest.raises(GanError, match="empty"):
        scrape(paths, f"archive:{empty}")
    (empty / "x.zip").write_bytes(b"PK no zip")
    whole = scrape(paths, f"archive:{folder}", licence="a")
    with pytest.raises(GanError, match=r"bad 1 \(a damaged archive\)"):
        scrape(paths, f"archive:{empty}")
    assert ensure(paths) == whole
    scrape(paths, f"archive:{folder}", licence="b", limit=2)
    assert "licence 'a', now 'b'" in capsys.readouterr().err


def test_a_damaged_crawl_is_never_thrown_away(paths, tmp_path, capsys):
    folder = pictures(tmp_path / "mine")
    scrape(paths, f"archive:{folder}")
    (paths.data / ".DS_Store").write_bytes(b"x")
    for source in (f"archive:{folder}", f"archive:{pictures(tmp_path / 'other', 'xyz')}"):
        with pytest.raises(GanError, match=r"DS_Store.*--replace"):
            scrape(paths, source)
    shard = paths.data / "images-00000.tar"
    shard.write_bytes(shard.read_bytes().replace(b"PNG", b"PNK", 1))
    whole = files_of(paths.data)
    (folder / "a.png").unlink()
    scrape(paths, f"archive:{folder}", replace=True)
    assert kept_of(paths) == whole
    assert "kept in" in capsys.readouterr().err


def test_without_git_nothing_is_fetched_and_the_commands_that_help_are_named(paths, tmp_path):
    dvc(paths.root, "init", "--no-scm", "-q")
    (paths.root / ".dvc" / "config").write_text("")
    paths.pin.write_text(SKELETON)
    source = f"archive:{pictures(tmp_path / 'mine')}"
    with pytest.raises(GanError, match="git init"):
        scrape(paths, source)
    assert not paths.data.exists()
    assert not (paths.root / "data.staging").exists()
    subprocess.run(["git", "init", "-q"], cwd=paths.root, check=True)
    assert scrape(paths, source).counts["ok"] == 3


def test_a_link_or_another_scrape_at_work_is_refused(paths, tmp_path):
    paths.data.symlink_to(tmp_path)
    with pytest.raises(GanError, match="data"):
        ensure(paths)
    paths.data.unlink()
    with DataFolder(paths).lock(), pytest.raises(GanError, match="another `gan scrape`"):
        ensure(paths)
    assert not paths.data.exists()
    with DataFolder(paths).lock():
        pass


def test_the_journal_stays_until_everything_else_is_done(paths, tmp_path, capsys):
    source = f"archive:{pictures(tmp_path / 'mine')}"
    paths.source.unlink()
    paths.source.mkdir()  # no file can be written there
    with pytest.raises(GanError, match=r"source\.yaml"):
        scrape(paths, source, replace=True)
    paths.source.rmdir()
    paths.reports.write_text("no folder, so that the data card can't be written")
    with pytest.raises(GanError, match="data_card"):
        scrape(paths, source, replace=True)
    assert (paths.root / "data.staging").exists()
    paths.reports.unlink()
    scrape(paths, f"archive:{pictures(tmp_path / 'other')}")
    assert "other unfinished crawls" in capsys.readouterr().err
    last = scrape(paths, source, replace=True)
    assert (last.fetched, last.counts["ok"]) == (0, 3)
    assert not (paths.root / "data.staging").exists()


def test_the_md5_of_a_folder_is_the_one_dvc_writes(in_dvc, tmp_path):
    in_dvc.pin.write_bytes(b"\xff\xfe")
    with pytest.raises(GanError, match=r"data\.dvc"):
        scrape(in_dvc, f"archive:{pictures(tmp_path / 'mine')}")
    assert not in_dvc.data.exists()
    folder = in_dvc.data
    (folder / "Z/ä").mkdir(parents=True)
    for name in ("b.txt", "a-.txt", "a.txt", "Z/ä/x", "Z/0", "a/1", "a!"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    in_dvc.pin.unlink()
    dvc(in_dvc.root, "add", "data")
    assert DataFolder(in_dvc).pinned_md5 == directory_md5(folder)


@pytest.mark.slow
def test_dvc_pins_restores_and_never_pins_a_difference_in_silence(in_dvc, tmp_path, capsys):
    paths = in_dvc
    scrape(paths, f"archive:{pictures(tmp_path / 'mine')}")
    said = capsys.readouterr().err
    for file in (paths.pin, paths.source, paths.reports / "data_card.json"):
        assert file.relative_to(paths.root).as_posix() in said
    pin = yaml.safe_load(paths.pin.read_text())
    assert pin["outs"][0]["md5"] == directory_md5(paths.data) == DataFolder(paths).pinned_md5
    assert [dep["path"] for dep in pin["deps"]] == ["data.ok", "source.yaml"]
    assert DvcCache(paths.root).list_files(DataFolder(paths).pinned_md5)
    assert not DvcCache(paths.root).list_files("00" * 16 + ".dir")

    whole = files_of(paths.data)
    shutil.rmtree(paths.data)
    paths.receipt.unlink()
    ensure(paths)
    assert files_of(paths.data) == whole
    (paths.data / "manifest.jsonl").write_bytes(b"torn")
    ensure(paths)
    assert files_of(paths.data) == whole

    dvc(paths.root, "remote", "add", "-d", "store", str(tmp_path / "store"))
    dvc(paths.root, "push")
    for folder in (paths.data, paths.root / ".dvc/cache"):
        shutil.rmtree(folder)
    ensure(paths)
    assert files_of(paths.data) == whole

    # Something else pinned: the crawl is neither re-pinned nor thrown away.
    other = SKELETON + "  md5: 00000000000000000000000000000000.dir\n"
    text = paths.pin.read_text()
    paths.pin.write_text(other)
    with pytest.raises(GanError, match=r"data\.dvc"):
        ensure(paths)
    assert files_of(paths.data) == whole
    described = paths.source.read_text()
    paths.source.write_text(described.replace("mine", "other"))
    with pytest.raises(GanError, match="dvc pull"):
        ensure(paths)
    assert files_of(paths.data) == whole
    paths.source.write_text(described)
    paths.pin.write_text(text)

    # The old data/ is in DVC's cache, so that no copy of it stays behind.
    scrape(paths, "embedded", limit=12)
    assert not (paths.root / "data.old").exists()
    assert dvc(paths.root, "status").stdout.strip() == "Data and pipelines are up to date."

    # A gallery can be drawn again: that something else is pinned is a warning, each time.
    paths.pin.write_text(other)
    for _ in range(2):
        capsys.readouterr()
        ensure(paths)
        assert "warning: " in capsys.readouterr().err


def test_the_committed_pin_has_two_deps_and_its_source_is_valid():
    pin = yaml.safe_load((REPOSITORY / "data.dvc").read_text())
    assert [dep["path"] for dep in pin["deps"]] == ["data.ok", "source.yaml"]
    assert [out["path"] for out in pin["outs"]] == ["data"]
    described = yaml.safe_load((REPOSITORY / "source.yaml").read_text())
    assert described["count"] >= 5200


SCRAPE = (
    "import sys; from pathlib import Path; from pipeline.paths import Paths; "
    "from pipeline.stages.scrape import run; from pipeline.crawl.request import ScrapeRequest\n"
    "try: run(ScrapeRequest(ensure=True), None, Paths(Path(sys.argv[1])))\n"
    "except KeyboardInterrupt: sys.exit(130)"
)


def start(paths, entries):
    """A scrape in a process of its own, once its journal has that many entries."""
    command = [sys.executable, "-c", SCRAPE, str(paths.root)]
    child = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while count_entries(paths) < entries and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    return child


def count_entries(paths):
    return sum(len(p.read_bytes().splitlines()) for p in paths.root.glob("data.staging/*/*.jsonl"))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_it_with_its_painters_and_the_same_call_resumes(paths, tmp_path, how):
    paths.source.write_text(yaml.safe_dump({**SMALL, "count": 300}))
    for entries in (2, 60):
        child = start(paths, entries)
        painters = psutil.Process(child.pid).children(recursive=True)
        child.send_signal(how)
        _, words = child.communicate(timeout=10)
        assert child.returncode == (130 if how == signal.SIGINT else -how)
        assert how == signal.SIGKILL or ("fetched" in words and len(words.splitlines()) == 1)
        assert count_entries(paths) >= entries
        assert not paths.data.exists()
        _, alive = psutil.wait_procs(painters, timeout=5)
        assert painters
        assert all(each.status() == psutil.STATUS_ZOMBIE for each in alive)
    resumed = ensure(paths)
    whole = Paths(tmp_path / "whole")
    whole.root.mkdir()
    shutil.copy(paths.source, whole.source)
    assert ensure(whole).digest == resumed.digest
    assert files_of(whole.data) == files_of(paths.data)
