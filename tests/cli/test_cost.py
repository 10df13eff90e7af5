"""``chanzi cost``: what it prints, its JSON, its page, and nonsense in one line."""

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


def test_cost_prints_area_wafer_design_and_unit(command):
    code, out, _ = command("cost", "--volume", "1e6", "--assumptions")
    assert code == 0
    for word in ("scratchpad", "good die", "masks", "unit cost", "10 %", "wafer_usd"):
        assert word in out


def test_json_adds_up_and_a_toml_chip_costs_as_its_preset(command, tmp_path):
    _, shown, _ = command("chips", "show", "chanzi-8")
    (tmp_path / "my.toml").write_text(shown, "utf-8")
    code, out, _ = command("cost", "--chip", "my.toml", "--volume", "0.5M", "--json")
    assert code == 0
    bill = json.loads(out)
    assert bill["volume"] == 500_000
    assert bill["unit_usd"]["value"] == pytest.approx(sum(v["value"] for v in bill["unit_items_usd"].values()))
    _, preset, _ = command("cost", "--chip", "chanzi-8", "--volume", "500000", "--json")
    assert json.loads(preset)["unit_usd"] == bill["unit_usd"]


def test_a_cheaper_wafer_makes_a_cheaper_chip(command, tmp_path):
    (tmp_path / "mine.toml").write_text("wafer_usd = 1000\nmask_usd = [1e6, 2e6, 3e6]\n", "utf-8")
    _, usual, _ = command("cost", "--json")
    _, mine, _ = command("cost", "--json", "--assume", "mine.toml")
    _, once, _ = command("cost", "--json", "--set", "wafer_usd=1000", "--set", "mask_usd=1e6:2e6:3e6")
    assert json.loads(mine)["unit_usd"] == json.loads(once)["unit_usd"]
    assert json.loads(mine)["unit_usd"]["value"] < json.loads(usual)["unit_usd"]["value"]
    assert json.loads(mine)["assumptions"]["wafer_usd"]["source"] == "user"


def test_the_page_stands_alone(command, tmp_path):
    code, _, _ = command("cost", "--page", "cost.html")
    assert code == 0
    text = (tmp_path / "cost.html").read_text("utf-8")
    assert text.startswith("<!doctype html>")
    for name in ("curve", "unit", "area", "nre"):
        assert f'id="{name}"' in text
    assert "<script src" not in text


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (("--volume", "0"), "a volume of 0 chips"),
        (("--volume", "-3"), "a volume of -3 chips"),
        (("--volume", "many"), "is no number"),
        (("--volume", "1e999"), "finite"),
        (("--node", "13nm"), "no process node of 13 nm"),
        (("--node", "tiny"), "is no process node"),
        (("--set", "wafer_usd=-3"), "not negative"),
        (("--set", "wafer_usd"), "is not name=value"),
        (("--set", "wafer_usd=1:2"), "has 2 numbers"),
        (("--set", "wafer=3"), "did you mean"),
        (("--block", "cpu=900"), "larger than the reticle"),
        (("--block", "cpu=-1"), "positive area"),
        (("--dram-gb", "-1"), "GB of DRAM"),
        (("--assume", "nowhere.toml"), "nowhere.toml"),
        (("--chip", "nowhere"), "no chip named"),
    ],
)
def test_nonsense_is_refused_in_one_line(command, tokens, words):
    code, out, err = command("cost", *tokens)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("text", ["wafer_usd = [1, 2]", "wafer_usd = true", "wafer_usd = 'x'", "= 3", "[a]\nb = 1"])
def test_strange_assumption_files_are_refused(command, tmp_path, text):
    (tmp_path / "bad.toml").write_text(text, "utf-8")
    code, _, err = command("cost", "--assume", "bad.toml")
    assert code == 2
    assert err.count("\n") == 1
