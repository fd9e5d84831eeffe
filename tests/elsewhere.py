"""Run the published notebooks elsewhere: with Colab's versions, on an old single core.

``make portable`` makes an environment with the versions of ``colab.txt``, stamps the
notebooks as the publishing workflow does, and lets nbval run them there.  The first
cell installs the companion from this repository, at the commit of the working tree, and
must leave everything else as it is.  With ``--exercises`` those notebooks run instead;
their code is that of the chapters, so once a week is enough.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
from published import stamp, stamped

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "_build" / "elsewhere"
PYTHON = FOLDER / "env" / "bin" / "python"
ADDRESS = "https://github.com/OWNER/REPO"
#: Where that address leads to while the notebooks run.
GIT = {
    f"url.file://{ROOT}.insteadOf": ADDRESS,
    "uploadpack.allowAnySHA1InWant": "true",
    "safe.directory": "*",
}


def run(*command, **options):
    """Run a command and return what it prints; what fails ends the program."""
    command = list(map(str, command))
    options |= {"text": True, "stdout": subprocess.PIPE, "check": True}
    return subprocess.run(command, **options).stdout.strip()


def make_environment():
    """Make an environment with Colab's versions, and a kernel of it."""
    uv = Path(sys.executable).parent / "uv"
    run(
        uv, "venv", "--quiet", "--clear", "--seed", "-p", sys.executable, FOLDER / "env"
    )
    wanted = ["-r", ROOT / "tests" / "colab.txt"]
    run(uv, "pip", "install", "--quiet", "--python", PYTHON, *wanted)
    kernel = ["--prefix", FOLDER / "env", "--name", "elsewhere"]
    run(PYTHON, "-m", "ipykernel", "install", *kernel)


def commit():
    """Return a commit of the working tree: the last one, or one that no branch has."""
    changed = run("git", "stash", "create", cwd=ROOT)
    return changed or run("git", "rev-parse", "HEAD", cwd=ROOT)


def installed():
    """Return the version of each package in the environment."""
    listed = json.loads(run(PYTHON, "-m", "pip", "list", "--format=json"))
    return {package["name"]: package["version"] for package in listed}


def moved(before, after):
    """Return what is no longer there in the version that it had."""
    return sorted(name for name in before if after.get(name) != before[name])


def nbval(mode, paths, environment):
    """Run notebooks in the environment; return the status of nbval.

    ``--nbval`` compares their outputs, ``--nbval-lax`` runs those that have none.
    """
    command = [sys.executable, "-m", "pytest", mode, "--nbval-kernel-name=elsewhere"]
    command += ["-p", "no:cacheprovider", "-q", "-n", "2", "--dist", "loadscope"]
    command += map(str, paths)
    return subprocess.run(command, cwd=FOLDER, env=environment).returncode


def main():
    """Make the environment, install the companion as a reader does, run everything."""
    if sys.version_info >= (3, 13):
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(
            "make portable: .venv must have Python 3.11 or 3.12, since Colab's NumPy "
            f"has no build for a newer one; got {version}. "
            "Try: rm -rf .venv; make portable PYTHON=python3.12"
        )
    make_environment()
    at = commit()
    environment = os.environ | {
        "JUPYTER_PATH": str(FOLDER / "env" / "share" / "jupyter"),
        "GIT_CONFIG_COUNT": str(len(GIT)),
    }
    for number, (key, value) in enumerate(GIT.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key}
        environment |= {f"GIT_CONFIG_VALUE_{number}": value}
    empty = stamped(nbformat.v4.new_notebook(), ADDRESS, at)
    nbformat.write(empty, FOLDER / "install.ipynb")
    chapters = sorted((ROOT / "book").glob("*.ipynb"))
    exercises = sorted((ROOT / "book" / "exercises").glob("*.ipynb"))
    for path in [*chapters, *exercises]:
        stamp(path, FOLDER / path.relative_to(ROOT), ADDRESS, at)

    before = installed()
    if nbval("--nbval", ["install.ipynb"], environment):
        sys.exit("The first cell of a published notebook fails.")
    after = installed()
    if moved(before, after):
        sys.exit(
            f"The first cell of a published notebook moves {moved(before, after)}."
        )
    added = sorted(after.keys() - before.keys())
    print(f"Nothing was moved; added: {', '.join(added)}.", flush=True)

    old = run(PYTHON, ROOT / "tests" / "old_machine.py").split()
    # Of the builds for GPUs: TensorFlow's confuses PyTorch's where there is no driver.
    environment |= {"PYTHONWARNINGS": "ignore:CUDA initialization"}
    environment |= dict(setting.split("=", 1) for setting in old)
    if "--exercises" in sys.argv[1:]:
        sys.exit(nbval("--nbval-lax", ["book/exercises"], environment))
    sys.exit(nbval("--nbval", [p.relative_to(ROOT) for p in chapters], environment))


if __name__ == "__main__":
    main()
