"""`import chanzi` stays cheap: what is heavy is loaded by the call that needs it."""

import json
import subprocess
import sys

import pytest

HEAVY = {"numba", "onnx", "onnxruntime", "plotly", "torch", "PIL", "rich", "cyclopts", "sklearn", "skimage"}


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after `code`."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import chanzi",
        "import chanzi; chanzi.Chip",
        "import chanzi.chip; chanzi.chip.load_chip('chanzi-8')",
        "import chanzi.cli.app",
    ],
)
def test_import_loads_nothing_heavy(code):
    allowed = {"rich", "cyclopts"} if "cli" in code else set()
    assert not loaded_by(code) & (HEAVY - allowed)


def test_the_promised_names_are_there():
    loaded_by("import chanzi; chanzi.Chip; chanzi.Session; chanzi.compile; chanzi.load_chip; chanzi.__version__")


def test_an_unknown_name_is_an_attribute_error():
    loaded_by(
        "import chanzi\ntry:\n    chanzi.nothing\nexcept AttributeError:\n    pass\nelse:\n    raise SystemExit(1)"
    )
