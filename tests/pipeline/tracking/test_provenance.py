"""Provenance of a run: tags, and the patch of uncommitted changes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.paths import Paths
from pipeline.tracking.provenance import git as git_module
from pipeline.tracking.provenance import uncommitted as patches
from pipeline.tracking.provenance.tags import provenance_tags
from pipeline.tracking.provenance.uncommitted import is_complete, is_empty, make_patch


@pytest.fixture(autouse=True)
def _own_settings(tmp_path, monkeypatch):
    """Replace the user's configuration of Git by settings that must not matter."""
    settings = tmp_path / "gitconfig"
    settings.write_text(
        "[user]\nname = a\nemail = a@b\n[diff]\nnoprefix = true\nrenames = copies\n"
        "[color]\nui = always\n[core]\nquotePath = false\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture
def checkout(tmp_path):
    """A commit of several files, reports/ and dvc.lock among them, in a folder of a repository."""
    root = tmp_path / "repository" / "checkout"
    for folder in ("gan", "pipeline", "reports"):
        (root / folder).mkdir(parents=True)
    git(root.parent, "init", "-q", "-b", "main")
    for name in ("changed.py", "deleted.py", "renamed.py", "script.sh", "dvc.lock"):
        (root / name).write_text(f"# {name}\n" * 20)
    (root / "picture.bin").write_bytes(bytes(range(256)))
    (root / "reports" / "metrics.json").write_text("{}\n")
    (root / ".gitignore").write_text("ignored.*\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


def change(root: Path) -> None:
    """Make every kind of change that Git knows, some of them staged, other than on disk."""
    for name in ("gone.py", "beside.py", "changed.py"):
        (root / name).write_text("# staged\n")
    (root / "ignored.py").write_text("# staged though ignored\n")
    git(root, "add", "-f", "-A")
    git(root, "rm", "-q", "--cached", "script.sh")  # the file stays
    (root / "gone.py").unlink()
    (root / "beside.py").write_text("# staged and changed\n")
    (root / "changed.py").write_text("# other\n")
    (root / "deleted.py").unlink()
    (root / "renamed.py").rename(root / "gan" / "new name.py")
    (root / "script.sh").chmod(0o755)
    (root / "picture.bin").write_bytes(bytes(range(255, -1, -1)) * 3)
    code = root / "pipeline"
    (code / "no newline").write_bytes(b"one\r\ntwo")
    (code / "empty").touch()
    (code / 'ünïcode "quoted"\tname').write_text("x\n")
    (code / "new.bin").write_bytes(os.urandom(3000))
    (code / "link").symlink_to("../changed.py")
    (code / "folder").mkdir()
    (code / "folder" / "-dash").write_text("y\n")
    (code / ":(top)odd*").write_text("z\n")


def content(root: Path) -> str:
    """Git's digest of all files and their modes."""
    git(root, "add", "-f", "-A")
    return git(root, "write-tree")


def patch_of(root: Path) -> bytes:
    patch = make_patch(root)
    assert patch is not None
    return patch


def clone_with(patch: bytes, root: Path, target: Path) -> Path:
    top = Path(git(root, "rev-parse", "--show-toplevel").strip())
    git(top, "clone", "-q", str(top), str(target))
    (target.parent / "it.patch").write_bytes(patch)
    git(target, "apply", str(target.parent / "it.patch"))
    return target / root.relative_to(top)


def test_commit_and_patch_give_the_same_files_and_leave_index_and_objects(checkout, tmp_path):
    change(checkout)
    before = git(checkout, "status", "--porcelain"), git(checkout, "count-objects", "-v")
    index = checkout.parent / ".git" / "index"
    staged = index.read_bytes()
    patch = patch_of(checkout)
    assert is_complete(patch)
    assert index.read_bytes() == staged
    assert (git(checkout, "status", "--porcelain"), git(checkout, "count-objects", "-v")) == before
    assert content(clone_with(patch, checkout, tmp_path / "clone")) == content(checkout)


def test_outs_of_stages_ignored_files_and_new_ones_beside_the_code_are_no_change(checkout):
    for name in ("ignored.env", "notes.txt", "dvc.lock", "reports/metrics.json"):
        (checkout / name).write_text("PASSWORD=1\n")
    assert make_patch(checkout) is None
    assert provenance_tags(Paths(checkout), "train")["git_dirty"] == "false"
    git(checkout, "add", "dvc.lock")
    (checkout / "changed.py").write_text("# other\n")
    patch = patch_of(checkout)
    assert patch.count(b"diff --git") == 1
    assert b"PASSWORD" not in patch


def test_there_is_no_patch_without_git_or_a_commit(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    assert make_patch(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert make_patch(tmp_path) is None
    assert "git_commit" not in provenance_tags(Paths(tmp_path), "train")


def test_a_large_file_is_left_out_and_named_and_the_rest_applies(checkout, tmp_path, monkeypatch):
    monkeypatch.setattr(patches, "MOST_BYTES", 50_000)
    (checkout / "changed.py").write_text("# other\n")
    (checkout / "picture.bin").write_bytes(os.urandom(60_000))
    (checkout / "gan" / "forgotten.tar").write_bytes(os.urandom(60_000))
    patch = patch_of(checkout)
    assert not is_complete(patch)
    for name in (b"picture.bin", b"gan/forgotten.tar"):
        assert b"# left out, too large: '" + name + b"'\n" in patch
    clone = clone_with(patch, checkout, tmp_path / "clone")
    assert (clone / "changed.py").read_text() == "# other\n"
    assert (clone / "picture.bin").read_bytes() == bytes(range(256))
    for number in range(3):
        (checkout / "gan" / f"{number}.bin").write_bytes(os.urandom(40_000))
    patch = patch_of(checkout)
    assert len(patch) < 1000
    assert b"'changed.py'" in patch


SECRETS = ".env .env.local id_ed25519.pub My_Credentials.json tls.pem .aws/config deep/er/.env"


def test_files_that_may_hold_secrets_are_named_and_never_kept(checkout, tmp_path):
    for name in SECRETS.split():
        (checkout / "gan" / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / "gan" / name).write_text("hunter2\n")
    git(checkout, "add", "gan/.env", "gan/tls.pem")
    patch = patch_of(checkout)
    assert b"hunter2" not in patch
    assert is_complete(patch)
    assert is_empty(patch)
    assert provenance_tags(Paths(checkout), "train")["git_dirty"] == "false"  # they are no code
    named = {f"# left out, may hold secrets: 'gan/{name}'" for name in SECRETS.split()}
    assert set(patch.decode().splitlines()) == named
    git(checkout, "add", "-f", "-A")
    git(checkout, "commit", "-q", "-m", "a slip")
    (checkout / "gan" / ".env").write_text("hunter3\n")
    (checkout / "gan" / "tls.pem").unlink()
    (checkout / "changed.py").write_text("# other\n")
    patch = patch_of(checkout)
    assert b"hunter" not in patch
    assert patch.count(b"may hold secrets: ") == 2
    clone = clone_with(patch, checkout, tmp_path / "clone")
    assert (clone / "changed.py").read_text() == "# other\n"
    assert (clone / "gan" / ".env").read_text() == "hunter2\n"
    git(checkout, "commit", "-qam", "all")
    # a module about credentials is kept once it is committed
    file = checkout / "gan" / "credentials.py"
    file.write_text("KEY = 'hunter2'\n")
    patch = patch_of(checkout)
    assert patch == b"# left out, code that may hold secrets: 'gan/credentials.py'\n"
    assert not is_complete(patch)
    assert provenance_tags(Paths(checkout), "train")["git_dirty"] == "true"
    git(checkout, "add", "-A")
    git(checkout, "commit", "-q", "-m", "it")
    file.write_text("KEY = os.environ['KEY']\n")
    assert b"+KEY = os.environ" in patch_of(checkout)


def test_a_git_that_hangs_leaves_unknown_what_it_does_not_answer(checkout, tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    script = f'case "$*" in *ls-files*) sleep 60;; *) exec {shutil.which("git")} "$@";; esac'
    hanging = f"echo x >> {tmp_path}/calls; sleep 60"
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    for lines, timeout_s in ((script, 1.0), (hanging, 0.5)):
        (tools / "git").write_text(f"#!/bin/sh\n{lines}\n")
        (tools / "git").chmod(0o755)
        monkeypatch.setattr(git_module, "TIMEOUT_S", timeout_s)
        tags = provenance_tags(Paths(checkout), "train")
        assert tags["stage"] == "train"
        assert tags.get("git_dirty") == ("unknown" if lines == script else None)
        assert len(tags.get("git_commit", "")) == (40 if lines == script else 0)
    assert make_patch(checkout) is None
    assert (tmp_path / "calls").read_text().split() == ["x", "x"]  # one each, then no more


def test_tags_name_code_experiment_machine_and_versions_without_secrets(checkout, monkeypatch):
    git(checkout, "remote", "add", "origin", "https://me:token@host.org/avatars.git?key=1")
    monkeypatch.setenv("DVC_EXP_NAME", "swift-crow")
    monkeypatch.setenv("WORLD_SIZE", "2")
    (checkout / "data.dvc").write_text("outs:\n- md5: abc.dir\n  path: data\n")
    (checkout / "gan" / "new.py").touch()
    tags = provenance_tags(Paths(checkout), "train")
    expected = {
        "git_commit": git(checkout, "rev-parse", "HEAD").strip(),
        "git_remote": "https://host.org/avatars.git",
        "git_branch": "main",
        "git_dirty": "true",
        "data_md5": "abc.dir",
        "dvc_exp_name": "swift-crow",
        "world_size": "2",
        "version.python": sys.version.split()[0],
        "hardware.cores": str(os.cpu_count()),
    }
    assert tags.items() >= expected.items()
    assert {"hardware.cpu", "hardware.memory", "version.mlflow", "version.torch", "os"} <= {*tags}
    assert "token" not in str(tags)
