"""Provenance of a run: tags, and the patch of uncommitted changes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

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
    """A commit of several files, reports/ and dvc.lock among them."""
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "Someone")
    git(root, "config", "user.email", "someone@example.org")
    for name in ("changed.py", "deleted.py", "renamed.py", "script.sh", "dvc.lock"):
        (root / name).write_text(f"# {name}\n" * 20)
    (root / "picture.bin").write_bytes(bytes(range(256)))
    (root / "reports").mkdir()
    (root / "reports" / "metrics.json").write_text("{}\n")
    (root / ".gitignore").write_text("secret.env\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


def change(root: Path) -> None:
    """Make every kind of change that Git knows."""
    (root / "changed.py").write_text("# other\n")
    (root / "deleted.py").unlink()
    (root / "renamed.py").rename(root / "new name.py")
    (root / "script.sh").chmod(0o755)
    (root / "picture.bin").write_bytes(bytes(range(255, -1, -1)) * 3)
    (root / "windows.txt").write_bytes(b"one\r\ntwo\r\n")
    (root / "no newline").write_bytes(b"end")
    (root / "empty").touch()
    (root / 'ünïcode "quoted"\tname').write_text("x\n")
    (root / "new.bin").write_bytes(os.urandom(3000))
    (root / "link").symlink_to("changed.py")
    (root / "folder").mkdir()
    (root / "folder" / "-dash").write_text("y\n")
    (root / ":(top)odd*").write_text("z\n")


def content(root: Path) -> dict[str, tuple[int, bytes]]:
    """Files by path, with their mode, without Git's own and what it ignores."""
    return {
        path.relative_to(root).as_posix(): (
            path.lstat().st_mode,
            os.readlink(path).encode() if path.is_symlink() else path.read_bytes(),
        )
        for path in root.rglob("*")
        if ".git" not in path.parts and (path.is_symlink() or path.is_file())
    }


def clone_with(patch: bytes, root: Path, target: Path) -> Path:
    git(root.parent, "clone", "-q", str(root), str(target))
    (target.parent / "it.patch").write_bytes(patch)
    git(target, "apply", str(target.parent / "it.patch"))
    return target


def test_commit_and_patch_give_the_same_files(checkout, tmp_path):
    change(checkout)
    patch = make_patch(checkout)
    assert patch is not None
    assert is_complete(patch)
    assert content(clone_with(patch, checkout, tmp_path / "clone")) == content(checkout)


def test_index_and_objects_of_the_user_stay_as_they_were(checkout):
    change(checkout)
    git(checkout, "add", "changed.py")  # half of it staged
    (checkout / "changed.py").write_text("# and changed again\n")
    before = git(checkout, "status", "--porcelain"), git(checkout, "count-objects", "-v")
    index = (checkout / ".git" / "index").read_bytes()
    patch = make_patch(checkout)
    assert patch is not None
    assert b"+# and changed again" in patch
    assert (checkout / ".git" / "index").read_bytes() == index
    assert (git(checkout, "status", "--porcelain"), git(checkout, "count-objects", "-v")) == before


def test_outs_of_stages_and_ignored_files_are_no_change(checkout):
    (checkout / "secret.env").write_text("PASSWORD=1\n")
    (checkout / "dvc.lock").write_text("new\n")
    (checkout / "reports" / "metrics.json").write_text("{1}\n")
    assert make_patch(checkout) is None
    assert provenance_tags(Paths(checkout), "train")["git_dirty"] == "false"
    git(checkout, "add", "dvc.lock")
    (checkout / "changed.py").write_text("# other\n")
    patch = make_patch(checkout)
    assert patch is not None
    assert patch.count(b"diff --git") == 1
    assert b"PASSWORD" not in patch


def test_there_is_no_patch_without_git_a_repository_or_a_commit(tmp_path, monkeypatch, checkout):
    (tmp_path / "bare").mkdir()
    assert make_patch(tmp_path / "bare") is None
    git(tmp_path / "bare", "init", "-q")
    (tmp_path / "bare" / "file").touch()
    assert make_patch(tmp_path / "bare") is None
    change(checkout)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert make_patch(checkout) is None
    assert "git_commit" not in provenance_tags(Paths(checkout), "train")


def test_a_large_file_is_left_out_and_named_and_the_rest_applies(checkout, tmp_path, monkeypatch):
    monkeypatch.setattr(patches, "MOST_BYTES", 50_000)
    (checkout / "changed.py").write_text("# other\n")
    (checkout / "forgotten.tar").write_bytes(os.urandom(60_000))
    patch = make_patch(checkout)
    assert patch is not None
    assert not is_complete(patch)
    assert patch.startswith(b"# left out, too large: 'forgotten.tar'\n")
    found = content(clone_with(patch, checkout, tmp_path / "clone"))
    assert found == {k: v for k, v in content(checkout).items() if k != "forgotten.tar"}
    for number in range(3):
        (checkout / f"{number}.bin").write_bytes(os.urandom(40_000))
    patch = make_patch(checkout)
    assert patch is not None
    assert len(patch) < 1000
    assert b"'changed.py'" in patch


SECRETS = (
    *(
        ".env",
        ".env.local",
        ".netrc",
        ".pgpass",
        "id_rsa",
        "id_ed25519.pub",
        "My_Credentials.json",
    ),
    *("tls.pem", "tls.KEY", "a.p12", "a.pfx", "a.kdbx", ".aws/config", "deep/er/.env"),
)


def test_files_that_may_hold_secrets_are_named_and_never_kept(checkout, tmp_path):
    for name in SECRETS:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("hunter2\n")
    git(checkout, "add", ".env", "tls.pem")
    tags = provenance_tags(Paths(checkout), "train")
    patch = make_patch(checkout)
    assert patch is not None
    assert b"hunter2" not in patch
    assert is_complete(patch)
    assert is_empty(patch)
    assert tags["git_dirty"] == "false"  # they are no code
    named = {line for line in patch.decode().splitlines()}
    assert named == {f"# left out, may hold secrets: {name!r}" for name in SECRETS}
    (checkout / "changed.py").write_text("# other\n")
    patch = make_patch(checkout)
    assert patch is not None
    assert is_complete(patch)
    assert b"hunter2" not in patch
    clone = clone_with(patch, checkout, tmp_path / "clone")
    assert (clone / "changed.py").read_text() == "# other\n"
    assert not (clone / ".env").exists()


def test_a_committed_secret_that_changed_or_went_is_left_out_too(checkout):
    for name in (".env", "server.key"):
        (checkout / name).write_text("hunter2\n")
    git(checkout, "add", "-f", "-A")
    git(checkout, "commit", "-q", "-m", "a slip")
    (checkout / ".env").write_text("hunter3\n")
    (checkout / "server.key").unlink()
    (checkout / "changed.py").write_text("# other\n")
    patch = make_patch(checkout)
    assert patch is not None
    assert b"hunter" not in patch
    assert b"may hold secrets: '.env'" in patch
    assert b"may hold secrets: 'server.key'" in patch


def test_a_module_about_credentials_is_kept_once_it_is_committed(checkout):
    (checkout / "credentials.py").write_text("KEY = 'hunter2'\n")
    for stage in (False, True):
        if stage:
            git(checkout, "add", "credentials.py")
        patch = make_patch(checkout)
        assert patch == b"# left out, code that may hold secrets: 'credentials.py'\n"
        assert not is_complete(patch)
        assert provenance_tags(Paths(checkout), "train")["git_dirty"] == "true"
    git(checkout, "commit", "-q", "-m", "it")
    (checkout / "credentials.py").write_text("KEY = os.environ['KEY']\n")
    patch = make_patch(checkout)
    assert patch is not None
    assert is_complete(patch)
    assert b"+KEY = os.environ" in patch


def test_staged_files_are_in_the_patch_as_they_are_on_disk(checkout, tmp_path, monkeypatch):
    monkeypatch.setattr(patches, "MOST_BYTES", 50_000)
    (checkout / "large.bin").write_bytes(os.urandom(60_000))
    (checkout / "gone.py").write_text("# staged, then deleted\n")
    (checkout / "secret.env.py").write_text("# staged though ignored\n")
    (checkout / ".gitignore").write_text("secret.env*\n")
    git(checkout, "add", "-f", "-A")
    (checkout / "gone.py").unlink()
    patch = make_patch(checkout)
    assert patch is not None
    found = content(clone_with(patch, checkout, tmp_path / "clone"))
    assert found == {k: v for k, v in content(checkout).items() if k != "large.bin"}


def test_a_git_too_slow_for_the_changes_leaves_them_unknown(checkout, tmp_path, monkeypatch):
    git_itself = shutil.which("git")
    tools = tmp_path / "tools"
    tools.mkdir()
    slow = f'case "$*" in *status*) sleep 60;; *) exec {git_itself} "$@";; esac\n'
    (tools / "git").write_text(f"#!/bin/sh\n{slow}")
    (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(git_module, "TIMEOUT_S", 1.0)
    tags = provenance_tags(Paths(checkout), "train")
    assert len(tags["git_commit"]) == 40
    assert tags["git_dirty"] == "unknown"


def test_a_git_that_hangs_costs_the_timeout_of_one_query(checkout, tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    script = f"#!/bin/sh\necho x >> {tmp_path}/calls\nsleep 60\necho commit\n"
    (tools / "git").write_text(script)
    (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(git_module, "TIMEOUT_S", 0.5)
    tags = provenance_tags(Paths(checkout), "train")
    assert "git_commit" not in tags
    assert tags["stage"] == "train"
    assert make_patch(checkout) is None
    assert (tmp_path / "calls").read_text().split() == ["x", "x"]  # one each, then no more


def test_tags_name_code_experiment_machine_and_versions_without_secrets(checkout, monkeypatch):
    git(checkout, "remote", "add", "origin", "https://me:token@host.org/avatars.git?key=1")
    monkeypatch.setenv("DVC_EXP_NAME", "swift-crow")
    monkeypatch.setenv("WORLD_SIZE", "2")
    (checkout / "data.dvc").write_text("outs:\n- md5: abc.dir\n  path: data\n")
    tags = provenance_tags(Paths(checkout), "train")
    assert tags["git_commit"] == git(checkout, "rev-parse", "HEAD").strip()
    assert tags["git_remote"] == "https://host.org/avatars.git"
    expected = {
        "git_branch": "main",
        "git_dirty": "true",
        "data_md5": "abc.dir",
        "dvc_exp_name": "swift-crow",
        "world_size": "2",
        "version.python": sys.version.split()[0],
        "hardware.cores": str(os.cpu_count()),
    }
    assert tags.items() >= expected.items()
    assert {"hardware.cpu", "hardware.memory", "version.mlflow", "version.torch", "os"} <= set(
        tags
    )
    assert "token" not in str(tags)


@pytest.mark.slow
def test_an_experiment_in_a_copy_leads_back_to_its_own_params(checkout, tmp_path):
    """`dvc exp run --temp` runs in a copy with commits of DVC's own."""
    (checkout / "dvc.lock").unlink()
    (checkout / "params.yaml").write_text("rate: 1\n")
    root = Path(patches.__file__).resolve().parents[3]
    code = (
        "import json; from pathlib import Path; from pipeline.paths import Paths; "
        "from pipeline.tracking.provenance.uncommitted import make_patch; "
        "from pipeline.tracking.provenance.tags import provenance_tags; "
        "tags = provenance_tags(Paths(Path('.')), 'train'); "
        "print(tags['git_commit'], tags['git_dirty'], tags.get('dvc_exp_name'), "
        "file=open('out', 'w')); "
        f"Path({str(tmp_path / 'it')!r}).write_bytes(make_patch(Path('.')) or b'')"
    )
    (checkout / "ask.py").write_text(f"import sys; sys.path.insert(0, {str(root)!r})\n{code}\n")
    command = {"cmd": f"{sys.executable} ask.py", "params": ["rate"], "outs": ["out"]}
    (checkout / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": command}}))
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q"], cwd=checkout, check=True)
    (checkout / ".gitignore").write_text("secret.env\n/out\n")
    git(checkout, "add", "-A")
    git(checkout, "commit", "-q", "-m", "stage")
    (checkout / "changed.py").write_text("# not committed\n")
    run = [*dvc, "exp", "run", "--temp", "-n", "try", "-S", "rate=7"]
    done = subprocess.run(run, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    git(checkout, "stash", "-q")
    branch = git(checkout, "for-each-ref", "--format=%(refname)", "refs/exps").split()
    assert [ref for ref in branch if ref.endswith("/try")]
    clone = clone_with((tmp_path / "it").read_bytes(), checkout, tmp_path / "clone")
    assert (clone / "params.yaml").read_text() == "rate: 7\n"
    assert (clone / "changed.py").read_text() == "# not committed\n"
