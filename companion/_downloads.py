"""Where the files of data sets are: in a folder, in the cache, or at their homes.

A file is looked up in the folder that the environment variable ``COMPANION_DATA``
names, then in the user's cache, and is then downloaded into the cache.  Whatever
differs from the published checksum is refused, and no file is ever half-written: a
download goes into ``NAME.part``, which a cut connection leaves to be continued, and
gets its name once it is complete and right.
"""

import contextlib
import errno
import functools
import hashlib
import os
import warnings
from pathlib import Path

#: The variable that names a folder of files, and the name of the cache.
VARIABLE, CACHE = "COMPANION_DATA", "signal-companion"

_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"

#: File -> its home, and its published checksum: from Keras for MNIST, from TensorFlow
#: Datasets for Fashion-MNIST and CIFAR-10, from TorchDrug for Tox21; several projects
#: pin that of HTRU2 alike.
HOMES = {
    "mnist.npz": (
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        "sha256:731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    ),
    "fashion_mnist/train-images-idx3-ubyte.gz": (
        _FASHION + "train-images-idx3-ubyte.gz",
        "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    "fashion_mnist/train-labels-idx1-ubyte.gz": (
        _FASHION + "train-labels-idx1-ubyte.gz",
        "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    "fashion_mnist/t10k-images-idx3-ubyte.gz": (
        _FASHION + "t10k-images-idx3-ubyte.gz",
        "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    "fashion_mnist/t10k-labels-idx1-ubyte.gz": (
        _FASHION + "t10k-labels-idx1-ubyte.gz",
        "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
    "cifar-10-binary.tar.gz": (
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    "htru2.zip": (
        "https://archive.ics.uci.edu/static/public/372/htru2.zip",
        "sha256:ba442c076dd22a8952700f26e38499fc1806037dcf7bea0e125e6bfba393f379",
    ),
    "tox21.csv.gz": (
        "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/tox21.csv.gz",
        "md5:2882d69e70bba0fec14995f26787cc25",
    ),
}

_CHUNK = 2**16  # bytes between two updates of the progress bar
_TIMEOUT = 30  # seconds without an answer or a byte


def find(function, name, copy=None):
    """Return the path of a file, and whether it is the one that its home publishes.

    Parameters
    ----------
    function : str
        Named in errors.
    name : str
        One of :data:`HOMES`, relative to the folder and to the cache.
    copy : str, optional
        A file of the folder that does instead, which the caller then has to check.

    Returns
    -------
    path : pathlib.Path
    published : bool
        False for the copy.

    Raises
    ------
    ValueError
        If the folder's file, or what its home sends, has another checksum, or if
        ``COMPANION_DATA`` names no folder.
    OSError
        If there is no network (``ConnectionError``), or no room to write.
    ImportError
        If it must be downloaded, and pooch or tqdm is missing.
    """
    address, checksum = HOMES[name]
    folder = data_folder(function)
    if folder and (folder / name).is_file():
        found = _checksum(folder / name, checksum)
        if found == checksum:
            return folder / name, True
        if name != copy:
            raise ValueError(
                f"{function}: {folder / name} must have the checksum {checksum}; got "
                f"{found}. Replace it by {address}."
            )
    if folder and copy and (folder / copy).is_file():
        return folder / copy, False
    return _download(function, name), True


def data_folder(function):
    """Return the folder that ``COMPANION_DATA`` names, or None if it is not set."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    if not Path(named).is_dir():
        raise ValueError(
            f"{function}: the variable {VARIABLE} must name a folder; got {named!r}."
        )
    return Path(named)


def _checksum(path, like):
    """Return a file's checksum by the algorithm of another one."""
    algorithm = like.partition(":")[0]
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _download(function, name):
    """Return the path of a file in the cache; download it if it is not there."""
    try:
        with warnings.catch_warnings():
            # In a notebook without ipywidgets tqdm.auto warns, which pooch imports.
            warnings.simplefilter("ignore")
            import pooch
            import requests
            import urllib3
            from tqdm import tqdm
    except ImportError as error:
        raise ImportError(
            f"{function}: a download needs pooch and tqdm; pip install pooch tqdm."
        ) from error
    address, checksum = HOMES[name]
    path = pooch.os_cache(CACHE) / name
    part = path.with_name(path.name + ".part")
    bar = functools.partial(
        tqdm, desc=path.name, unit="B", unit_scale=True, leave=False
    )
    otherwise = (
        f"Or save {address} as {name} in a folder, and set the variable {VARIABLE} to "
        "that folder."
    )
    logger = pooch.get_logger()
    level = logger.level
    try:
        if path.is_file() and _checksum(path, checksum) == checksum:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        logger.setLevel("WARNING")  # the progress bar says as much
        with _alone(path.parent):
            resume = functools.partial(_resume, part, bar)
            pooch.retrieve(address, checksum, path.name, path.parent, downloader=resume)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise ConnectionError(
            f"{function}: {address} must be within reach; got {error}. Call again when "
            f"it is: the download goes on where it stopped. {otherwise}"
        ) from error
    except ValueError as error:
        raise ValueError(f"{function}: {error} Call again. {otherwise}") from error
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OSError(
            error.errno or errno.EACCES,  # pooch gives none where it may not write
            f"{function}: {path.parent} must be writable, with room for {path.name}; "
            f"got {error.strerror or error}. Nothing of it is kept. {otherwise}",
        ) from error
    finally:
        logger.setLevel(level)
    return path


@contextlib.contextmanager
def _alone(folder):
    """Wait until no other process downloads into a folder, and hold it.

    The system ends the hold with the process.  Where there is no such lock, as on
    Windows and some network disks, two downloads at once may spoil each other: the
    checksum tells, and neither is kept.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _resume(part, progress_bar, address, output_file, _pooch):
    """Download for :func:`pooch.retrieve`, from where `part` ends.

    A server that does not send the bytes asked for sends all of them, and `part` is
    begun anew; one that has none beyond its end (416) says that it is complete.  The
    bytes are kept as they are sent: the checksums are those of packed files.
    """
    import requests

    done = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    get = requests.get(address, headers=headers, stream=True, timeout=_TIMEOUT)
    with get as response:
        if not (done and response.status_code == 416):
            response.raise_for_status()
            sent = response.headers
            if not sent.get("Content-Range", "").startswith(f"bytes {done}-"):
                done = 0
            total = done + int(sent.get("Content-Length", 0)) or None
            with (
                open(part, "ab" if done else "wb") as file,
                progress_bar(total=total, initial=done) as bar,
            ):
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    file.write(chunk)
                    bar.update(len(chunk))
    os.replace(part, output_file)
