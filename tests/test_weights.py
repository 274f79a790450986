import functools
import hashlib
import http.server
import threading

import pytest

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.weights import NAME, add, fetch, missing_message, weights_file

CONTENT = b"weights " * 300_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path / "checkout")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "brought.pth"
    path.write_bytes(CONTENT)
    return path


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def address(tmp_path):
    handler = functools.partial(QuietHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def left_in(paths):
    return sorted(path.name for path in paths.weights.iterdir())


def test_the_right_file_is_copied_to_its_place_and_said_so(file, paths, capsys):
    add(file, paths, SHA256)
    assert weights_file(paths).read_bytes() == CONTENT
    assert left_in(paths) == [NAME]
    assert "dvc repro" in capsys.readouterr().err


def test_adding_the_file_that_is_already_in_place_keeps_it(file, paths):
    add(file, paths, SHA256)
    add(weights_file(paths), paths, SHA256)
    assert weights_file(paths).read_bytes() == CONTENT


def test_a_wrong_file_is_refused_and_the_old_one_stays(file, paths, tmp_path):
    add(file, paths, SHA256)
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(CONTENT[:-1])
    with pytest.raises(GanError, match=r"sha256 is .* but features\.inception_sha256"):
        add(wrong, paths, SHA256)
    assert weights_file(paths).read_bytes() == CONTENT
    assert left_in(paths) == [NAME]


def test_an_absent_file_and_a_folder_are_refused(paths, tmp_path):
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(GanError, match="no such file"):
            add(path, paths, SHA256)


def test_a_file_where_the_folder_should_be_is_one_clear_line(file, paths):
    paths.root.mkdir()
    paths.weights.write_text("in the way")
    with pytest.raises(GanError, match="cannot be copied"):
        add(file, paths, SHA256)


def test_weights_are_fetched_and_checked(file, paths, address):
    fetch(paths, SHA256, url=f"{address}/{file.name}")
    assert weights_file(paths).read_bytes() == CONTENT
    assert left_in(paths) == [NAME]


def test_a_fetched_file_with_another_digest_leaves_nothing(file, paths, address):
    with pytest.raises(GanError, match="sha256"):
        fetch(paths, "0" * 64, url=f"{address}/{file.name}")
    assert left_in(paths) == []


def test_a_server_that_lacks_the_file_or_is_not_there_is_one_clear_line(paths, address):
    for url in (f"{address}/absent.pth", "http://127.0.0.1:9/weights.pth", "no address"):
        with pytest.raises(GanError, match="gan weights add FILE") as caught:
            fetch(paths, SHA256, url=url)
        assert "\n" not in str(caught.value)
    assert not weights_file(paths).exists()


def test_the_missing_message_names_the_place_and_both_ways(paths):
    message = missing_message(paths)
    assert str(weights_file(paths)) in message
    assert "gan weights fetch" in message
    assert "gan weights add FILE" in message
    assert "\n" not in message
