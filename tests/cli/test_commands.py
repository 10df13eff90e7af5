"""Every command in process: what it prints, its JSON, its exit code; a user's mistake is one line on stderr."""

import json

import numpy as np
import pytest

from chanzi.cli.app import COMMANDS, make_app
from chanzi.cli.guard import guarded


@pytest.fixture(scope="session")
def app():
    return make_app()


@pytest.fixture
def command(app, capsys, tmp_path, monkeypatch):
    """Return a function that runs a command in an empty folder and returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*tokens):
        code = guarded(app, [str(token) for token in tokens])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="session")
def program(app, tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "digits.chz"
    assert guarded(app, ["compile", "digits", "-o", str(path), "--chip", "chanzi-16"]) == 0
    return path


def test_run_reads_a_digit_and_writes_report_and_trace(command, tmp_path):
    code, out, _ = command("run", "--check")
    assert code == 0
    assert "highest: [7]" in out
    assert "100.0000% of the output's elements equal ONNX Runtime's" in out
    for word in ("stem", "bound by", "latency, weights resident", "of 73.73 peak"):
        assert word in out
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!doctype html>")
    assert json.loads((tmp_path / "trace.json").read_text("utf-8"))["traceEvents"]


def test_run_json_has_outputs_layers_and_totals(command, tmp_path):
    code, out, _ = command("run", "--json", "--no-files", "--sim", "reference", "--chip", "chanzi-8")
    assert code == 0
    found = json.loads(out)
    assert np.argmax(found["outputs"][0]["values"]["logits"]) == 7
    summary = found["summary"]
    assert summary["cycles"] * summary["cores_used"] == sum(row["core_cycles"] for row in summary["layers"])
    assert not list(tmp_path.iterdir())


def test_a_program_runs_as_its_network_does(command, program):
    _, a, _ = command("run", "--json", "--no-files", "--model", program)
    _, b, _ = command("run", "--json", "--no-files", "--chip", "chanzi-16")
    np.testing.assert_array_equal(
        json.loads(a)["summary"]["cycles"], json.loads(b)["summary"]["cycles"], err_msg="the same program"
    )


def test_photos_and_arrays_are_inputs(command, tmp_path, program):
    from PIL import Image

    image = np.zeros((8, 8), np.uint8)
    image[1:7, 3:5] = 255
    Image.fromarray(image).save(tmp_path / "one.png")
    np.save(tmp_path / "one.npy", (image / 255).astype(np.float32)[None, None])
    code, out, _ = command("run", "one.png", "one.npy", "--model", program, "--no-files")
    assert code == 0
    first, second = (block.splitlines()[1] for block in out.split("input: ")[1:])
    assert first == second


def test_compile_says_what_it_made(command, tmp_path):
    code, out, _ = command("compile", "digits", "--chip", "chanzi-8", "--json", "--dump-passes", "passes")
    assert code == 0
    found = json.loads(out)
    assert found["chip"] == "chanzi-8"
    assert found["bytes"] == (tmp_path / "digits.chz").stat().st_size
    assert found["cycles"] > found["macs"] / 64
    assert list((tmp_path / "passes").rglob("*"))


def test_disasm_lists_every_instruction(command, program):
    code, out, _ = command("disasm", program)
    assert code == 0
    assert out.count("HALT") == 2
    assert "DOT" in out
    code, full, _ = command("disasm", program, "--part", "frame", "--full")
    assert code == 0
    assert "a_row_width = " in full


def test_verify_tells_a_sound_program_from_a_damaged_one(command, program, tmp_path):
    code, out, _ = command("verify", program)
    assert code == 0
    assert "every hash and every rule holds" in out
    data = bytearray(program.read_bytes())
    data[-1] ^= 1
    (tmp_path / "bad.chz").write_bytes(data)
    code, out, _ = command("verify", "bad.chz", "--json")
    assert code == 1
    assert not json.loads(out)["ok"]


def test_compare_puts_chips_side_by_side(command, tmp_path):
    code, out, _ = command("compare", "chanzi-8", "chanzi-64x4", "--json", "--report", "both.html")
    assert code == 0
    assert [row["chip"]["name"] for row in json.loads(out)] == ["chanzi-8", "chanzi-64x4"]
    assert "chanzi-64x4" in (tmp_path / "both.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        (["run", "--model", "digit"], "did you mean 'digits'?"),
        (["run", "--chip", "tesla"], "no chip named 'tesla'"),
        (["run", "gone.png"], "no file gone.png"),
        (["run", "--model", "gone.onnx"], "cannot read gone.onnx"),
        (["run", "--sim", "slow"], "slow"),
        (["run", "--model", "digits", "--std", "0"], "std"),
        (["compile", "digits", "-o", "no/such/folder.chz"], "cannot write"),
        (["disasm", "gone.chz"], "cannot read gone.chz"),
        (["compare", "tesla"], "no chip named 'tesla'"),
        (["chips", "show", "chanzi"], "no chip named 'chanzi'"),
        (["nothing"], "nothing"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(command, tokens, says):
    code, _, err = command(*tokens)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert says in err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(command, name):
    code, out, _ = command(name, "--help")
    assert code == 0
    assert f"chanzi {name}" in out
