"""``chanzi validate``: its table, JSON, exit code and pages."""

import json

import pytest

from chanzi.cli.app import make_app
from chanzi.cli.guard import guarded


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = make_app()

    def call(*tokens):
        code = guarded(app, [str(token) for token in tokens])
        out, err = capsys.readouterr()
        return code, out, err

    return call


CASE = {
    "id": "mine", "chip": "my chip", "inputs": {"rows": 8, "cols": 8, "clock_Hz": 1e9}, "predict": "peak int8",
    "expected": 0.128, "unit": "TOPS", "tolerance_percent": 0.1, "kind": "exact", "basis": "", "split": "identity",
}  # fmt: skip


def test_table_and_json(command):
    code, out, _ = command("validate")
    assert code == 0
    for word in ("B_LSTM1", "calibrate", "constant utilization", "plain roofline"):
        assert word in out
    code, out, _ = command("validate", "--json", "--split", "test")
    found = json.loads(out)
    assert code == 0
    assert {c["split"] for c in found["cases"]} == {"test"}
    assert found["identities_hold"] is True


def test_cases_of_ones_own(command, tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps([CASE]), "utf-8")
    code, out, _ = command("validate", "--cases", "mine.json", "--no-shipped", "--json")
    assert code == 0
    assert [c["ok"] for c in json.loads(out)["cases"]] == [True]
    (tmp_path / "mine.json").write_text(json.dumps([CASE | {"expected": 0.5}]), "utf-8")
    code, _, _ = command("validate", "--cases", "mine.json", "--no-shipped")
    assert code == 1


def test_pages(command, tmp_path):
    code, _, _ = command("validate", "--markdown", "v.md", "--page", "v.html")
    assert code == 0
    assert "validate.svg" not in (tmp_path / "v.md").read_text("utf-8")
    assert (tmp_path / "v.svg").read_text("utf-8").startswith("<svg")
    assert 'id="ratio"' in (tmp_path / "v.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "no case"),
        ("{}", "no list of cases"),
        ("[3]", "number 1"),
        ('[{"id": "a"}]', "case a"),
        ("x", "not valid"),
    ],
)
def test_strange_files_are_refused(command, tmp_path, text, words):
    (tmp_path / "bad.json").write_text(text, "utf-8")
    code, out, err = command("validate", "--cases", "bad.json", "--no-shipped")
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_an_id_of_a_shipped_case_is_refused(command, tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps([CASE | {"id": "A01"}]), "utf-8")
    code, _, err = command("validate", "--cases", "mine.json")
    assert code == 2
    assert "case A01 is there twice" in err
