"""``chanzi explore``: what its arguments mean, and what it refuses."""

import pytest

from chanzi.cli.app import make_app
from chanzi.cli.explore import networks_of, quantity
from chanzi.cli.guard import guarded
from chanzi.errors import ChanziError, ExploreError


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("60mm2", "mm2", 60), ("60 mm²", "mm2", 60), ("60", "mm2", 60), ("10W", "W", 10), ("0.5 W", "W", 0.5),
        ("500MHz", "Hz", 5e8), ("2GHz", "Hz", 2e9), ("2e9", "Hz", 2e9), ("-3W", "W", -3),
    ],
)  # fmt: skip
def test_quantities(text, unit, value):
    assert quantity(text, unit, "x") == value


@pytest.mark.parametrize("text", ["", "W", "ten W", "1..2W", "10 mm", "1e", "--"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ExploreError, match="is no number of W"):
        quantity(text, "W", "max-power")


def test_lists_of_networks(tmp_path):
    assert networks_of("a.onnx:3,b.onnx:1") == {"a.onnx": 0.75, "b.onnx": 0.25}
    assert networks_of("digits") == {"digits": 1.0}
    (tmp_path / "own.onnx").write_bytes(b"")
    listed = tmp_path / "list.toml"
    listed.write_text('[[network]]\nmodel = "own.onnx"\n[[network]]\nmodel = "resnet50"\nweight = 3\n', "utf-8")
    assert networks_of(str(listed)) == {str(tmp_path / "own.onnx"): 0.25, "resnet50": 0.75}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a:x", "has no weight"), ("a:0", "the weight of 'a' is 0"), ("a:-1", "is -1"), ("a:nan", "is nan"),
        ("a,a", "named twice"), (",", "no network"), ("nothing.toml", "cannot read"),
    ],
)  # fmt: skip
def test_lists_that_make_no_sense_are_refused(text, says):
    with pytest.raises(ChanziError, match=says):
        networks_of(text)


@pytest.mark.parametrize(
    "text", ["network = 3", "[[network]]\nmodel = 3", '[[network]]\nmodel = "a"\nweigth = 1', "x = [", 'other = "a"']
)
def test_files_of_networks_that_make_no_sense_are_refused(text, tmp_path):
    path = tmp_path / "list.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ExploreError):
        networks_of(str(path))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("explore", "--max-area", "-5mm2"), "--max-area is -5 mm2"),
        (("explore", "--max-area", "2000mm2"), "beyond the reticle's"),
        (("explore", "--max-power", "-3W"), "--max-power is -3 W"),
        (("explore", "--max-clock", "-1GHz"), "--max-clock is -1e+09 Hz"),
        (("explore", "--volume", "0"), "a volume of 0 chips"),
        (("explore", "--node", "15nm"), "no process node of 15 nm"),
        (("make-or-buy", "--chip", "chanzi-8", "--units", "-5/yr"), "-5 cars a year"),
    ],
)
def test_nonsense_is_refused_with_the_reason(words, why, capsys):
    pytest.importorskip("optuna")
    assert guarded(make_app(), list(words)) == 2
    assert why in capsys.readouterr().err
