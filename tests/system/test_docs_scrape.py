"""Every `gan scrape` in the documents is a valid command."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from PIL import Image
from typer.main import get_command

from gan.errors import GanError
from gan.params.file import parse_params
from pipeline.cli.main import app
from pipeline.crawl.registry import source_of
from pipeline.crawl.request import ScrapeRequest
from pipeline.dataset.manifest import ManifestEntry

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "docs/scrape.md")
COMMANDS = sorted(
    {
        line.strip()
        for name in DOCUMENTS
        for line in re.findall(r"^    (gan scrape .*)$", (ROOT / name).read_text(), re.MULTILINE)
    }
)
SETTINGS = parse_params(yaml.safe_load((ROOT / "params.yaml").read_text()), "params.yaml").scrape
KINDS = {"booru", "gallery", "urls", "archive", "embedded", "manifest"}


@pytest.fixture
def understood(tmp_path, monkeypatch):
    """understood(command): the source that its options name, in a folder with its files."""
    monkeypatch.chdir(tmp_path)
    for name in ("pictures", "FOLDER_OR_TAR_OR_ZIP"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "a.png")
    (tmp_path / "list.txt").write_text("https://example.org/1.png\n")
    (tmp_path / "list.csv").write_text("url\nhttps://example.org/1.png\n")
    url = "https://example.org/1.png"
    entry = ManifestEntry(url, url, (), "", "", "", "ok", "", "0" * 64, 9, "PNG", 3, 4)
    (tmp_path / "manifest.jsonl").write_text(entry.to_json() + "\n")
    scrape = get_command(app).commands["scrape"]

    def parse(command):
        arguments = shlex.split(command, comments=True)[2:]
        options = scrape.make_context("scrape", arguments).params
        options["next"] = options.pop("next_")
        options["allow_private"] = tuple(options["allow_private"] or ())
        del options["params"]
        return source_of(ScrapeRequest(**options), SETTINGS)

    return parse


def test_every_documented_command_names_a_source_and_every_kind_has_one(understood):
    names = [understood(command).identity["source"].partition(":")[0] for command in COMMANDS]
    assert set(names) == KINDS


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("--source gallery:https://example.org", "needs --image"),
        ("--source archive:pictures --tags x", "--tags: --source archive"),
        ("--source embedded --allow-private 127.0.0.1:80", "--allow-private"),
        ("--source urls:list.txt --allow-private 127.0.0.1", "HOST:PORT"),
        ("--source urls:list.txt --allow-private [1:2]:80", "HOST:PORT"),
        ("--source booru:https://a.example", "--limit"),
        ("--source booru:https://a.example --limit 5 --ratings safe", "--ratings safe"),
        ("--source booru:https://a.example --limit 5 --api x", "--api x"),
        ("--source urls:list.txt --from-manifest manifest.jsonl", "not both"),
        ("--source manifest:x", "must be"),
        ("--source gallery", "must be"),
        ("--source 'booru:http://[' --limit 1", "must be booru:https"),
        ("--source gallery:http://127.0.0.1:99999/ --image img", "must be gallery"),
        ("--ensure --limit 3", "--ensure"),
    ],
)
def test_an_option_without_use_is_refused_and_named(understood, command, words):
    with pytest.raises(GanError, match=words):
        understood(f"gan scrape {command}")


def test_an_address_that_logs_in_is_refused_without_the_secret(understood):
    for name in ("api_key", "API-Key", "access_token", "pass%77ord", "key"):
        for kind, more in (("booru", "--limit 1"), ("gallery", "--image img")):
            address = f"{kind}:https://example.org/list?page=2&{name}=hunter2"
            with pytest.raises(GanError, match="must hold no secret") as caught:
                understood(f"gan scrape --source '{address}' {more}")
            assert "hunter2" not in str(caught.value)
    for query in ("page=2&user_id=7", "author=me&keywords=blue", "token=", "tags=api_key"):
        address = f"gallery:https://example.org/list?{query}"
        source = understood(f"gan scrape --source '{address}' --image img")
        assert query in source.identity["source"]
