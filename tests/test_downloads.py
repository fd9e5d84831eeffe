"""Downloads: whole, once, and right, whatever the network, the server or the disk do.

The homes are a real server on this machine; no other is ever asked.
"""

import contextlib
import errno
import gzip
import hashlib
import importlib.util
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from companion import _downloads, datasets

pytest.importorskip("pooch")

#: Of more than one piece in which a file is written, and not periodic in them.
CONTENT = np.random.default_rng(0).bytes(3 * _downloads._CHUNK + 1234)
CUT = _downloads._CHUNK + 10
NAME = "set.npz"


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Send what `home` says, in the way that it says; note what was asked."""

    def do_GET(self):
        home, asked = self.server.home, self.headers["Range"]
        home.asked.append(asked)
        home.accepted = self.headers["Accept-Encoding"]
        if self.path != f"/{NAME}":
            self.send_error(404)
            return
        partly = asked is not None and home.ranges
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if partly else 0
        if start >= len(home.content):
            self.send_error(416)
            return
        start -= start % home.block
        self.send_response(206 if partly else 200)
        body = home.content[start:]
        if partly:
            last = len(home.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        self.send_header("Content-Length", str(len(body)))
        for header, value in home.headers.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body[:CUT])
        home.halfway.set()
        if not home.cut:
            home.go_on.wait(timeout=60)
            with contextlib.suppress(ConnectionError):  # it may have been killed
                self.wfile.write(body[CUT:])

    def log_message(self, *args):
        pass


@pytest.fixture
def home(monkeypatch, tmp_path):
    """Serve one file, and let it be the only home and this test's the cache."""
    import pooch

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    home = server.home = SimpleNamespace(
        content=CONTENT,
        headers={},
        ranges=True,  # does it send a part that is asked for,
        block=1,  # from a multiple of this on
        cut=False,  # does the connection break after CUT bytes
        halfway=threading.Event(),  # they are sent
        go_on=threading.Event(),  # it sends the others
        asked=[],
        address=f"http://127.0.0.1:{server.server_port}/{NAME}",
        cache=tmp_path / "cache",
    )
    home.go_on.set()
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(_downloads, "HOMES", {NAME: (home.address, sha256(CONTENT))})
    monkeypatch.setattr(pooch, "os_cache", lambda name: home.cache)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    yield home
    home.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


def find():
    return _downloads.find("load_it", NAME)


def left_in(folder):
    """Return the size of each file below a folder."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
    }


WHOLE = {NAME: len(CONTENT)}


def check_found(home):
    """Require the right file, in the cache, and nothing beside it."""
    assert find() == (home.cache / NAME, True)
    assert (home.cache / NAME).read_bytes() == CONTENT
    assert left_in(home.cache) == WHOLE


def refusal(kind):
    with pytest.raises(kind) as caught:
        find()
    return str(caught.value)


def otherwise(home):
    return (
        f" Or save {home.address} as {NAME} in a folder, and set the variable "
        "COMPANION_DATA to that folder."
    )


# --- what works -----------------------------------------------------------------------
def test_file_is_downloaded_once(home):
    check_found(home)
    check_found(home)
    assert home.asked == [None]


def test_file_of_the_folder_wins_and_needs_numpy_alone(home, tmp_path, monkeypatch):
    check_found(home)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT)
    monkeypatch.setenv("COMPANION_DATA", str(folder))
    for package in ("pooch", "requests", "tqdm"):
        monkeypatch.setitem(sys.modules, package, None)
    assert find() == (folder / NAME, True)
    assert home.asked == [None]


def test_folder_without_the_file_is_passed_over(home, tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    check_found(home)


def test_copy_of_the_folder_is_left_to_the_caller(home, tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "copy.npz").write_bytes(b"packed otherwise")
    monkeypatch.setenv("COMPANION_DATA", str(folder))
    found = _downloads.find("load_it", NAME, copy="copy.npz")
    assert found == (folder / "copy.npz", False)
    (folder / NAME).write_bytes(b"the same name")
    assert _downloads.find("load_it", NAME, copy=NAME) == (folder / NAME, False)
    (folder / NAME).write_bytes(CONTENT)
    for copy in ("copy.npz", NAME):
        assert _downloads.find("load_it", NAME, copy=copy) == (folder / NAME, True)
    assert home.asked == []


def test_corrupt_file_of_the_cache_is_replaced(home):
    home.cache.mkdir()
    (home.cache / NAME).write_bytes(CONTENT[:-1] + b"?")
    check_found(home)
    assert home.asked == [None]


def test_bytes_are_kept_as_they_are_sent(home, monkeypatch):
    # Some servers declare a packed file to be an encoding of the one inside.
    home.content = gzip.compress(CONTENT)
    home.headers = {"Content-Encoding": "gzip"}
    monkeypatch.setitem(_downloads.HOMES, NAME, (home.address, sha256(home.content)))
    path, _ = find()
    assert path.read_bytes() == home.content
    assert home.accepted == "identity"


def test_set_is_downloaded_and_read(home, monkeypatch):
    r = np.random.default_rng(0)
    arrays = {
        "x_train": r.integers(256, size=(12, 28, 28), dtype=np.uint8),
        "y_train": np.arange(12, dtype=np.uint8) % 10,
        "x_test": r.integers(256, size=(3, 28, 28), dtype=np.uint8),
        "y_test": np.arange(3, dtype=np.uint8),
    }
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    home.content = packed.getvalue()
    entry = (home.address, sha256(home.content))
    monkeypatch.setattr(_downloads, "HOMES", {"mnist.npz": entry})
    data = datasets.mnist(standardized=False)
    np.testing.assert_array_equal(data.x_test, arrays["x_test"].reshape(3, 784))
    assert left_in(home.cache) == {"mnist.npz": len(home.content)}


# --- a network that fails -------------------------------------------------------------
def cut_once(home):
    """Let the connection break in the middle, once."""
    home.cut = True
    text = refusal(ConnectionError)
    home.cut = False
    return text


def test_cut_download_is_continued(home):
    text = cut_once(home)
    assert re.fullmatch(
        re.escape(f"load_it: {home.address} must be within reach; got ")
        + ".*"
        + re.escape(". Call again when it is: the download goes on where it stopped.")
        + re.escape(otherwise(home)),
        text,
    )
    assert left_in(home.cache) == {NAME + ".part": CUT}
    check_found(home)
    assert home.asked == [None, f"bytes={CUT}-"]


def test_download_that_is_cut_twice_is_continued(home):
    cut_once(home)
    home.cut = True
    refusal(ConnectionError)
    assert left_in(home.cache) == {NAME + ".part": 2 * CUT}
    home.cut = False
    check_found(home)
    assert home.asked == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-"]


def test_server_without_ranges_sends_all_again(home):
    cut_once(home)
    home.ranges = False
    check_found(home)
    assert home.asked == [None, f"bytes={CUT}-"]


def test_part_that_is_complete_only_gets_its_name(home):
    home.cache.mkdir()
    (home.cache / f"{NAME}.part").write_bytes(CONTENT)
    check_found(home)
    assert home.asked == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("fault", ["other bytes", "too long", "range begins before"])
def test_part_that_does_not_fit_is_thrown_away(fault, home):
    cut_once(home)
    part = home.cache / f"{NAME}.part"
    if fault == "other bytes":
        part.write_bytes(CONTENT[1 : CUT + 1])
    elif fault == "too long":
        part.write_bytes(CONTENT + b"?")
    else:
        home.block = 1024
    assert "does not match the known hash" in refusal(ValueError)
    assert left_in(home.cache) == {}
    check_found(home)
    assert home.asked[-1] is None


def test_other_content_of_the_home_is_refused(home):
    home.content = CONTENT[:-1] + b"?"
    text = refusal(ValueError)
    for words in (
        "load_it: ",
        sha256(CONTENT).partition(":")[2],
        sha256(home.content).partition(":")[2],
        otherwise(home),
    ):
        assert words in text
    assert left_in(home.cache) == {}
    home.content = CONTENT
    check_found(home)


def test_md5_is_a_checksum_too(home, monkeypatch):
    md5 = "md5:" + hashlib.md5(CONTENT).hexdigest()
    monkeypatch.setitem(_downloads.HOMES, NAME, (home.address, md5))
    check_found(home)
    check_found(home)
    assert home.asked == [None]
    wrong = "md5:" + hashlib.md5(b"").hexdigest()
    monkeypatch.setitem(_downloads.HOMES, NAME, (home.address, wrong))
    assert wrong in refusal(ValueError)


@pytest.mark.parametrize("fault", ["closed port", "no such file"])
def test_home_out_of_reach_says_what_to_do(fault, home, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    nobody = f"http://127.0.0.1:{port}/{NAME}"
    home.address = nobody if fault == "closed port" else home.address + ".old"
    entry = (home.address, sha256(CONTENT))
    monkeypatch.setitem(_downloads.HOMES, NAME, entry)
    text = refusal(ConnectionError)
    assert text.startswith(f"load_it: {home.address} must be within reach; got ")
    assert text.endswith(otherwise(home))
    assert left_in(home.cache) == {}


# --- a disk that fails ----------------------------------------------------------------
@pytest.mark.parametrize("begun", [False, True])
def test_full_disk_leaves_nothing(begun, home, monkeypatch):
    if begun:
        cut_once(home)

    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full(path, mode):
        return io.BufferedWriter(Full(path, mode))

    monkeypatch.setattr(_downloads, "open", full, raising=False)
    with pytest.raises(OSError, match="must be writable") as caught:
        find()
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.strerror == (
        f"load_it: {home.cache} must be writable, with room for {NAME}; got No space "
        f"left on device. Nothing of it is kept.{otherwise(home)}"
    )
    assert left_in(home.cache) == {}


def test_cache_that_cannot_be_made_is_named(home):
    home.cache.write_text("a file in its place")
    with pytest.raises(OSError, match="must be writable") as caught:
        find()
    assert caught.value.errno == errno.EEXIST
    assert home.asked == []


#: What another process does: it asks for the file as this one would.
PROCESS = """
import json, sys
from pathlib import Path
import pooch
from companion import _downloads
name, entry, cache, limit = json.loads(sys.argv[1])
_downloads.HOMES = {name: entry}
pooch.os_cache = lambda _: Path(cache)
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
print("ready", flush=True)
print(_downloads.find("load_it", name)[0])
"""


@contextlib.contextmanager
def process(home, *, limit=0, **environment):
    """Start a process that asks for the file, and end it in any case."""
    told = json.dumps([NAME, _downloads.HOMES[NAME], str(home.cache), limit])
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TQDM")}
    started = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROCESS, told],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**inherited, **environment},
    )
    with started:
        try:
            # Without a buffer, which would keep what follows from `result`.
            assert started.stdout.buffer.raw.readline() == b"ready\n"
            yield started
        finally:
            started.kill()


def result(started):
    """Wait for the end of a process; return its status, output and errors."""
    output, errors = started.communicate(timeout=60)
    return started.returncode, output.strip(), errors.strip()


def test_real_limit_of_the_system_leaves_nothing(home):
    pytest.importorskip("resource")
    with process(home, limit=CUT) as started:
        status, _, errors = result(started)
    assert status == 1
    last = errors.splitlines()[-1]
    assert f"{home.cache} must be writable, with room for {NAME}; got File too" in last
    assert left_in(home.cache) == {}


# --- other processes ------------------------------------------------------------------
def test_progress_is_shown_unless_it_is_not_wanted(home):
    with process(home) as started:
        status, _, errors = result(started)
    assert status == 0
    assert f"{NAME}:   0%" in errors
    assert "0.00/198k" in errors
    (home.cache / NAME).unlink()
    cut_once(home)
    with process(home) as started:
        status, _, errors = result(started)
    assert status == 0
    assert "65.5k/198k" in errors
    (home.cache / NAME).unlink()
    with process(home, TQDM_DISABLE="1") as started:
        assert result(started) == (0, str(home.cache / NAME), "")


def test_two_processes_download_once(home):
    home.go_on.clear()
    with process(home) as one:
        assert home.halfway.wait(timeout=60)
        with process(home) as other:
            # The first has half of the file: the second would ask for the rest.
            with pytest.raises(subprocess.TimeoutExpired):
                other.wait(timeout=0.5)
            home.go_on.set()
            found = [result(one)[:2], result(other)[:2]]
    assert found == 2 * [(0, str(home.cache / NAME))]
    assert (home.cache / NAME).read_bytes() == CONTENT
    assert left_in(home.cache) == WHOLE
    assert home.asked == [None]


@pytest.mark.parametrize("lock", ["none on this system", "none on this disk"])
def test_download_does_not_depend_on_the_lock(lock, home, monkeypatch):
    class NoLock:
        LOCK_EX = 2

        def flock(handle, operation):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    fcntl = None if lock == "none on this system" else NoLock
    monkeypatch.setitem(sys.modules, "fcntl", fcntl)
    check_found(home)


def test_killed_process_leaves_what_the_next_continues(home):
    home.go_on.clear()
    part = home.cache / f"{NAME}.part"
    with process(home) as started:
        assert home.halfway.wait(timeout=60)
        while not (part.exists() and part.stat().st_size):
            assert started.poll() is None
        started.send_signal(signal.SIGKILL)
        started.wait(timeout=60)
    assert left_in(home.cache).keys() >= {part.name}
    assert NAME not in left_in(home.cache)
    begun = part.stat().st_size
    home.go_on.set()
    assert find()[0].read_bytes() == CONTENT
    assert home.asked == [None, f"bytes={begun}-"]


# --- refusals -------------------------------------------------------------------------
def test_corrupt_file_of_the_folder_is_refused_and_kept(home, tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / NAME).write_bytes(b"another")
    monkeypatch.setenv("COMPANION_DATA", str(folder))
    assert refusal(ValueError) == (
        f"load_it: {folder / NAME} must have the checksum {sha256(CONTENT)}; got "
        f"{sha256(b'another')}. Replace it by {home.address}."
    )
    assert (folder / NAME).read_bytes() == b"another"
    assert home.asked == []


def test_variable_that_names_no_folder_is_refused(home, tmp_path, monkeypatch):
    for named in (tmp_path / "none", Path(__file__)):
        monkeypatch.setenv("COMPANION_DATA", str(named))
        assert refusal(ValueError) == (
            f"load_it: the variable COMPANION_DATA must name a folder; got "
            f"{str(named)!r}."
        )
    monkeypatch.setenv("COMPANION_DATA", "")
    check_found(home)


@pytest.mark.usefixtures("home")
def test_warning_of_an_import_reaches_no_notebook(tmp_path, monkeypatch):
    # Without ipywidgets tqdm warns in a notebook; a warning fails this test.
    (tmp_path / "pooch.py").write_text(
        "import warnings\nwarnings.warn('no widgets')\nraise ImportError"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pooch")
    assert "a download needs pooch" in refusal(ImportError)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("package", ["pooch", "tqdm"])
def test_missing_package_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert refusal(ImportError) == (
        "load_it: a download needs pooch and tqdm; pip install pooch tqdm."
    )


# --- the table of homes ---------------------------------------------------------------
def test_every_home_has_a_checksum():
    length = {"sha256": 64, "md5": 32}
    for name, (address, checksum) in _downloads.HOMES.items():
        assert re.match(r"https?://", address)
        assert Path(address).name == Path(name).name
        algorithm, digits = checksum.split(":")
        assert re.fullmatch(f"[0-9a-f]{{{length[algorithm]}}}", digits)
    checksums = [checksum for _, checksum in _downloads.HOMES.values()]
    assert len(set(checksums)) == len(checksums)


KERAS = importlib.util.find_spec("keras")


@pytest.mark.skipif(KERAS is None, reason="Keras is not installed")
def test_mnist_is_that_of_the_installed_keras():
    source = Path(KERAS.origin).parent / "src" / "datasets" / "mnist.py"
    address, checksum = _downloads.HOMES["mnist.npz"]
    text = source.read_text("utf-8")
    assert f'"{address.removesuffix("mnist.npz")}"' in text
    assert f'"{checksum.removeprefix("sha256:")}"' in text
