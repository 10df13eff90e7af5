"""``chanzi worlds``: what is there, and getting one ready."""

import json

import pytest

from chanzi.cli.app import make_app
from chanzi.cli.guard import guarded


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*tokens):
        code = guarded(make_app(), list(tokens))
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_worlds_are_listed(command):
    code, out, _ = command("worlds")
    assert code == 0
    assert "highway" in out
    assert "metadrive" in out
    rows = json.loads(command("worlds", "list", "--json")[1])
    assert {row["name"] for row in rows} >= {"highway", "metadrive"}
    assert all(isinstance(row["ready"], bool) and row["needs"].startswith("chanzi[") for row in rows)


@pytest.mark.parametrize(("name", "package"), [("highway", "highway_env"), ("metadrive:curve", "metadrive")])
def test_a_world_is_made_ready(command, tmp_path, name, package):
    pytest.importorskip(package)
    code, out, err = command("worlds", "prepare", name, "-o", "seen.png")
    assert code == 0
    assert "is ready" in out
    assert "wrote seen.png" in err
    from PIL import Image

    with Image.open(tmp_path / "seen.png") as picture:
        assert picture.size == (320, 80)


def test_an_unknown_world_is_named(command):
    code, _, err = command("worlds", "prepare", "metadrove")
    assert code == 2
    assert "metadrive" in err
