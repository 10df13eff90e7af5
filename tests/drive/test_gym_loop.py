"""A network in Gymnasium's CartPole: a linear rule balances it, and a chip that is late lets it fall."""

import json

import numpy as np
import pytest

pytest.importorskip("gymnasium")

import onnx
from onnx import TensorProto, helper, numpy_helper

from chanzi.chip import load_chip
from chanzi.cli.app import make_app
from chanzi.cli.guard import guarded
from chanzi.drive.gym_loop import Policy, make_env, run_gym
from chanzi.errors import DriveError

CHIP = load_chip("chanzi-8")


def _policy(path, weights, *, inputs=4):
    """Write the network `x @ weights`."""
    nodes = [helper.make_node("Gemm", ["seen", "w"], ["does"])]
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("seen", TensorProto.FLOAT, [1, inputs])],
        [helper.make_tensor_value_info("does", TensorProto.FLOAT, [1, np.shape(weights)[1]])],
        [numpy_helper.from_array(np.asarray(weights, np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


RULE = np.array([0.1, 0.5, 1.0, 1.0])  # cart's place and speed, pole's angle and speed


@pytest.fixture
def balancer(tmp_path):
    return _policy(tmp_path / "policy.onnx", np.stack([-RULE, RULE], axis=1))


@pytest.mark.parametrize("backend", ["float", "ort-int8", "chip"])
def test_a_linear_rule_balances_the_pole(balancer, backend):
    env = make_env("CartPole-v1")
    found = run_gym(env, Policy(balancer, env, CHIP, backend), 3, chip_s=1e-3)
    assert found.steps == 500
    assert found.reward == 500
    assert (found.dropped, found.delay_steps) == (0, 0)


def test_the_chip_acts_as_onnx_runtime_does(balancer):
    env = make_env("CartPole-v1")
    judge, chip = (Policy(balancer, env, CHIP, backend) for backend in ("ort-int8", "chip"))
    rng = np.random.default_rng(0)
    for _ in range(100):
        seen = rng.uniform(-3, 3, 4).astype(np.float32)
        assert judge.act(seen) == chip.act(seen)


def test_a_late_action_lets_it_fall(balancer):
    env = make_env("CartPole-v1")
    found = run_gym(env, Policy(balancer, env, CHIP, "float"), 3, chip_s=0.3)
    assert found.steps < 100
    assert found.delay_steps == 15
    assert found.dropped > found.steps // 2


def test_actions_of_numbers_are_cut_to_their_bounds(tmp_path):
    env = make_env("Pendulum-v1")
    policy = Policy(_policy(tmp_path / "p.onnx", [[0.0], [100.0], [0.0]], inputs=3), env, CHIP, "float")
    assert policy.act(np.array([0.0, 1.0, 0.0])) == pytest.approx(2.0)
    assert run_gym(env, policy, 0, chip_s=0.0, most_steps=7).steps == 7


@pytest.mark.parametrize(
    ("shape", "says"), [((3, 2), "the network takes (1, 3)"), ((4, 3), "the environment's action has 2")]
)
def test_a_network_for_something_else_is_refused(tmp_path, shape, says):
    with pytest.raises(DriveError, match=says.replace("(", r"\(").replace(")", r"\)")):
        Policy(_policy(tmp_path / "p.onnx", np.zeros(shape), inputs=shape[0]), make_env("CartPole-v1"), CHIP)


def test_an_environment_that_is_not_there():
    with pytest.raises(DriveError, match="no environment 'CartPol-v1'") as found:
        make_env("CartPol-v1")
    assert "CartPole-v1" in found.value.hint


def test_the_command(balancer, capsys, tmp_path, monkeypatch):
    pytest.importorskip("pygame")
    monkeypatch.chdir(tmp_path)
    tokens = ["--sim", "gym:CartPole-v1", "-m", str(balancer), "--chip", "chanzi-8", "--seconds", "1", "-n", "2"]
    code = guarded(make_app(), ["drive", *tokens, "--backend", "float,chip", "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert [row["backend"] for row in json.loads(out)] == ["float", "chip"]
    assert json.loads(out)[1]["total"]["steps"]["value"] == 50
    assert (tmp_path / "drive.mp4").stat().st_size > 1000
    code = guarded(make_app(), ["drive", *tokens, "--no-files"])
    assert code == 0
    assert "chanzi-8" in capsys.readouterr().out
    assert guarded(make_app(), ["drive", *tokens, "--fault", "black"]) == 2
    assert "--fault and gym:CartPole-v1" in capsys.readouterr().err
    assert guarded(make_app(), ["drive", "--sim", "gym:CartPole-v1"]) == 2
    assert "--model POLICY.onnx" in capsys.readouterr().err
