"""`chanzi loop`: what one sees of a run, and what is refused; its stages are tested in tests/drive/engine."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "drive" / "engine"))
import toy

from chanzi.cli.app import make_app
from chanzi.cli.guard import USER_ERROR, guarded
from chanzi.drive.engine.cycle import run
from chanzi.drive.engine.loop import open_loop


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with open_loop(folder, toy.toy, settings=toy.SETTINGS) as loop:
        run(loop, 1)
    return folder


def call(*words):
    return guarded(make_app(), ["loop", *map(str, words)])


def test_status_shows_turns_versions_and_triggers(folder, capsys):
    assert call("status", folder) == 0
    shown = capsys.readouterr().out
    for word in ("Turns", "Versions", "Triggers", "v0", "v1", "intervention", "next: turn 2, collect"):
        assert word in shown


def test_status_as_json_has_the_same_figures(folder, capsys):
    assert call("status", folder, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [turn["number"] for turn in found["turns"]] == [0, 1]
    first = found["turns"][0]
    assert len(first["gated"]["suite"]["passed"]) == toy.SETTINGS.suite
    assert first["suite_rate"]["low"] <= first["suite_rate"]["value"] <= first["suite_rate"]["high"]


def test_trace_names_what_a_version_was_made_from(folder, capsys):
    assert call("trace", folder, 1) == 0
    shown = capsys.readouterr().out
    for word in ("program", "checkpoint", "shard", "recording", "code"):
        assert word in shown
    assert call("trace", folder, 9) == USER_ERROR
    assert "no version 9" in capsys.readouterr().err


def test_check_finds_what_is_damaged(folder, capsys):
    assert call("check", folder) == 0
    assert "all whole" in capsys.readouterr().out
    artefact = next(p for p in (folder / "artefacts").rglob("*") if p.is_file())
    data = artefact.read_bytes()
    artefact.write_bytes(data + b"x")
    assert call("check", folder) == 1
    assert "damaged" in capsys.readouterr().out
    artefact.write_bytes(data)


@pytest.mark.parametrize("command", ["status", "check", "gate", "held-out"])
def test_where_no_run_is_every_command_says_so(command, tmp_path, capsys):
    pytest.importorskip("highway_env") if command in ("gate", "held-out") else None
    assert call(command, tmp_path / "none") == USER_ERROR
    assert "holds no run" in capsys.readouterr().err


def test_settings_that_make_no_sense_are_refused(tmp_path, capsys):
    pytest.importorskip("highway_env")
    file = tmp_path / "loop.toml"
    for text, word in [
        ("suit = 3", "did you mean 'suite'"),
        ("[fleet]\ncars = 0", "0 cars"),
        ("suite = 'many'", "$.suite"),
        ("[gate\n", "not TOML"),
        ("[[collect.triggers]]\nname = 'luck'\nthreshold = 1.0\nbudget_frames = 1", "no trigger 'luck'"),
        ("[[collect.triggers]]\nname = 'failure'\nthresh = 1.0\nbudget_frames = 1", "did you mean 'threshold'"),
    ]:
        file.write_text(text)
        assert call("run", tmp_path / "run", "--settings", file) == USER_ERROR
        assert word in capsys.readouterr().err
    assert call("run", tmp_path / "run", "--backend", "gpu") == USER_ERROR
    assert "no backend 'gpu'" in capsys.readouterr().err
