"""Remotes of DVC, a folder and a bucket: a colleague's clone has all that was made here."""

import filecmp
import json

import boto3
import pytest
from dvc_checkouts import as_json, ran, shared_project
from moto.server import ThreadedMotoServer

from pipeline.paths import sha256_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def author(tmp_path_factory):
    """The built repository, whose remote is a folder, with all of it pushed."""
    folder = tmp_path_factory.mktemp("author")
    checkout = shared_project(tmp_path_factory, folder)
    checkout.dvc("remote", "add", "-d", "shared", str(folder / "remote"))
    checkout.commit("a remote")
    checkout.dvc("push")
    return checkout


@pytest.fixture(scope="module")
def colleague(author, tmp_path_factory):
    """A clone after `dvc pull`: nothing of it was ever made there."""
    folder = tmp_path_factory.mktemp("colleague")
    checkout = author.clone(folder / "clone", folder / "home")
    checkout.dvc("pull")
    return checkout


def check_same(here, there):
    """All that DVC keeps is the same, byte for byte, pictures too."""
    for folder in ("data", "cache", "reference", "models", "reports"):
        names, others = (
            sorted(path.relative_to(root) for path in (root / folder).rglob("*") if path.is_file())
            for root in (here, there)
        )
        assert names
        assert names == others
        _, different, unread = filecmp.cmpfiles(here, there, map(str, names), shallow=False)
        assert (different, unread) == ([], [])


def test_a_pull_brings_data_cache_models_and_pictures_and_leaves_nothing_to_do(author, colleague):
    check_same(author.root, colleague.root)
    assert (colleague.root / "reports" / "best.png").is_file()
    (colleague.root / "data.ok").unlink(missing_ok=True)
    assert set(as_json(colleague, "status")) <= {"scrape", "data.dvc"}  # the receipt, not the data
    out = colleague.dvc("repro")
    assert ran(out) == ["scrape"]
    assert "0 new" in out
    assert as_json(colleague, "status") == {}
    assert ran(colleague.dvc("repro")) == []
    assert colleague.git("status", "--porcelain") == ""


@pytest.mark.soak
def test_a_pulled_model_draws_and_is_evaluated(author, colleague, tmp_path):
    command = ("gan", "generate", "--ckpt", "models/best.pt", "--seeds", "0-3")
    pictures = []
    for checkout, folder in ((author, tmp_path / "here"), (colleague, tmp_path / "there")):
        checkout.run(*command, "--out", str(folder))
        pictures.append([sha256_of(file) for file in sorted(folder.glob("*.png"))])
    assert len(pictures[0]) >= 4
    assert pictures[0] == pictures[1]
    out = colleague.run(
        "gan", "evaluate", "--ckpt", "models/best.pt", "--out", str(tmp_path / "evaluated")
    )
    published = json.loads(author.read("reports/metrics.json"))
    again = json.loads((tmp_path / "evaluated" / "evaluation.json").read_text())
    assert "fd_lite0_32_small30" in out
    assert published["run_key"] in json.dumps(again)


def test_a_training_restored_by_its_author_has_its_run_already(author):
    before = {run.info.run_id for run in author.rows()}
    author.change("train", "objective", "wgan_gp")
    try:
        out = author.dvc("repro")
        assert "Stage 'train' is cached - skipping run, checking out outputs" in out
        restored = json.loads(author.read("reports/metrics.json"))["run_key"]
        runs = author.rows()
        assert {run.info.run_id for run in runs} == before
        assert [
            run.data.params["train.objective"]
            for run in runs
            if run.data.tags["run_key"].startswith(restored)
        ] == ["wgan_gp"]
    finally:
        author.git("checkout", "-q", ".")
        author.dvc("checkout", "-q", "--force")


def test_a_bucket_moves_the_same_between_two_clones(author, tmp_path_factory):
    """A local S3 server's, which is each repository's default remote, as a person sets it up."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    secrets = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    place = {"endpoint_url": address, "region_name": "us-east-1"}
    boto3.client("s3", **place, **secrets).create_bucket(Bucket="avatars")

    def use_bucket(checkout):
        keys = {name.upper(): value for name, value in secrets.items()}
        checkout.environment |= keys | {"AWS_DEFAULT_REGION": "us-east-1"}
        checkout.dvc("remote", "add", "-f", "-d", "bucket", "s3://avatars/dvc")
        checkout.dvc("remote", "modify", "bucket", "endpointurl", address)

    folder = tmp_path_factory.mktemp("bucket")
    there = author.clone(folder / "clone", folder / "home")
    try:
        use_bucket(author)
        author.dvc("push")
        assert "testing" not in author.read(".dvc/config")
        assert as_json(author, "status", "--cloud") == {}
        use_bucket(there)
        there.dvc("pull")
    finally:
        author.git("checkout", "-q", ".dvc/config")
        server.stop()
    check_same(author.root, there.root)
    assert set(as_json(there, "status")) <= {"scrape", "data.dvc"}
