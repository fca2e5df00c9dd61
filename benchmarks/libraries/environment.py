"""The virtual environment in which all libraries are installed together."""

import os
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
# For processes that are measured. A threshold that is set does not grow. Left alone, what the
# C library keeps of freed blocks made the same step take 890 to 1,050 MB; with it, 410 to 411.
RETURNED = {"MALLOC_MMAP_THRESHOLD_": "131072"}
ROOT = Path(__file__).parents[2]


def enter(folder):
    """Go on in the environment of this folder, which is made where it is not there.

    Our package comes from this checkout and is not installed.
    """
    folder = Path(folder).absolute()
    if Path(sys.prefix).absolute() == folder:
        return
    python = folder / "bin" / "python"
    mark = folder / "requirements.txt"
    if not mark.is_file() or mark.read_text() != REQUIREMENTS.read_text():
        print(f"Installing the libraries in {folder} (2 GB, some minutes) ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", REQUIREMENTS], check=True)
        # The mark is made last, so that an interrupted installation is begun anew.
        mark.write_text(REQUIREMENTS.read_text())
    paths = [str(ROOT), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    os.execv(python, [str(python), *sys.argv])
