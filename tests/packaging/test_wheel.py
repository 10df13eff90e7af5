"""What the wheel carries, and that the declared floors are the tested floors."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_carries_every_file_of_the_package(wheel):
    source = ROOT / "src"
    files = {str(p.relative_to(source)) for p in (source / "chanzi").rglob("*") if p.is_file()}
    files = {name for name in files if "__pycache__" not in name and not name.endswith((".pyc", ".nbi", ".nbc"))}
    assert files <= set(wheel.namelist())


def test_the_wheel_carries_presets_and_the_network_of_the_first_run(wheel):
    names = set(wheel.namelist())
    for name in ("chip/presets/tesla-fsd-hw3.toml", "zoo/data/digits.onnx", "zoo/data/digits.npz", "py.typed"):
        assert f"chanzi/{name}" in names


def test_the_wheel_carries_nothing_else(wheel):
    assert all(name.startswith(("chanzi/", "chanzi-")) for name in wheel.namelist())
    assert sum(info.file_size for info in wheel.infolist()) < 9 << 20


def floors() -> dict[str, str]:
    """Return name -> version of requirements/floors.txt."""
    text = (ROOT / "requirements" / "floors.txt").read_text("utf-8")
    assert "://" not in text
    lines = [line.split("#")[0].split(";")[0].strip() for line in text.splitlines()]
    return dict(line.split("==") for line in lines if line)


def test_every_declared_floor_is_the_one_that_ci_installs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    installed = floors()
    extras = project["optional-dependencies"]
    ours = {f"chanzi[{name}]": wanted for name, wanted in extras.items()}
    developer = [r for item in extras["dev"] for r in ours.get(item, [item])]
    for requirement in project["dependencies"] + developer:
        name, floor = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[a-z0-9,]+\])?>=([0-9.]+)", requirement).groups()
        have = installed[name.lower().replace("_", "-")]
        wanted, got = ([int(part) for part in version.split(".")] for version in (floor, have))
        assert got[: len(wanted)] == wanted, f"{requirement}: floors.txt has {have}; run tools/floors.py"


def test_changelog_names_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
