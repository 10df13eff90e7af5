"""Any Gymnasium environment in the loop: its observation in, a network's action out, after as long as the chip takes.

Nothing is known of the environment but its spaces and its clock, so nothing guards it: the network's answer is the
action. For cars, with cameras, planner and watch, there are `chanzi.drive.world`'s worlds.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Chip
from chanzi.drive.figures import ChipFigures, chip_figures
from chanzi.drive.statistics import Interval, bootstrap_mean
from chanzi.errors import DriveError, did_you_mean
from chanzi.runtime.session import Session
from chanzi.runtime.source import read_source

Backend = Literal["float", "ort-int8", "chip"]
_FPS = 50.0
"""Steps a second of an environment that does not say."""
_CALIBRATION_SEED, _CALIBRATION_FRAMES = 1_000_000_000, 256
"""A float network is quantized with what it meets itself on seeds that nobody drives."""


def make_env(name: str, *, film: bool = False) -> Any:
    """Return a Gymnasium environment.

    Raises
    ------
    DriveError
        Gymnasium or what the environment needs is not installed, there is no such environment, or its spaces are none
        that a network of one input and one output knows.
    """
    try:
        import gymnasium
    except ModuleNotFoundError:
        raise DriveError("gym worlds need gymnasium", hint="pip install 'chanzi[drive]'") from None
    try:
        spec = gymnasium.spec(name)
        env = gymnasium.make(name)
        if film and "rgb_array" in env.metadata.get("render_modes", ()):
            env.close()
            env = gymnasium.make(name, render_mode="rgb_array")
    except gymnasium.error.DependencyNotInstalled as error:
        raise DriveError(f"{name} needs more than is installed: {error}", hint="see the environment's page") from None
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        known = sorted(gymnasium.registry)
        raise DriveError(f"there is no environment '{name}' ({error})", hint=did_you_mean(name, known)) from None
    del spec
    spaces = gymnasium.spaces
    if not isinstance(env.observation_space, spaces.Box) or not isinstance(
        env.action_space, spaces.Box | spaces.Discrete
    ):
        raise DriveError(
            f"{name} gives {env.observation_space} and takes {env.action_space}",
            hint="observations must be an array, actions an array or a choice",
        )
    return env


def step_s(env: Any) -> float:
    """Return the seconds of one step, as the environment says them."""
    return 1.0 / float(env.metadata.get("render_fps") or _FPS)


class Runs(Protocol):
    """Whatever runs a network as ONNX Runtime does."""

    def run(self, output_names: Any, input_feed: dict[str, Any]) -> list[Any]:
        """Return the outputs of a feed."""
        ...


class Policy:
    """A network whose input is an environment's observation and whose output is its action.

    An output with a number for each choice of a discrete action is taken at its largest; numbers for an array are cut
    to its bounds. Pictures may be taken channels-first.

    Parameters
    ----------
    path : Path
        Float ONNX, or QDQ int8. A float one is quantized with what it meets itself on seeds of its own.
    env : gymnasium.Env
    chip : Chip
    backend : {'float', 'ort-int8', 'chip'}

    Raises
    ------
    DriveError
        It does not fit the environment, or its float form is asked for and not there.
    """

    def __init__(self, path: Path, env: Any, chip: Chip, backend: Backend = "chip") -> None:
        if backend not in get_args(Backend):
            raise DriveError(f"no network drives with '{backend}' here", hint=did_you_mean(backend, get_args(Backend)))
        source = read_source(path)
        if source.quantized and backend == "float":
            raise DriveError(f"{path} is quantized, so there is nothing float", hint="another --backend")
        import onnx

        proto = onnx.load(path)
        shape = _checked(proto, env)
        self._input = proto.graph.input[0].name
        self._output = proto.graph.output[0].name
        self._shape, self._env = shape, env
        data = source.data
        if not source.quantized:
            from chanzi.frontend.quantize import quantize

            self._runner: Runs = _onnx_session(data)
            feeds = [self._feed(seen) for seen in self._meets()]
            quantized = quantize(proto, calibration=feeds).SerializeToString()
        else:
            quantized = data
        session = Session(quantized, chip)
        self.figures: ChipFigures = chip_figures(session.model, session.timing())
        models = {"float": data, "ort-int8": quantized}
        self._runner = session if backend == "chip" else _onnx_session(models[backend])

    def act(self, seen: npt.NDArray[Any]) -> Any:
        """Return the action that follows from an observation."""
        (said,) = self._runner.run([self._output], self._feed(seen))
        said = np.asarray(said).reshape(-1)
        space = self._env.action_space
        if hasattr(space, "n"):
            return int(space.start) + int(said.argmax())
        return np.clip(said.reshape(space.shape), space.low, space.high).astype(space.dtype)

    def _feed(self, seen: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
        value = np.asarray(seen, np.float32)[None]
        if value.shape != self._shape:
            value = value.transpose(0, 3, 1, 2)
        return {self._input: np.ascontiguousarray(value)}

    def _meets(self) -> Iterator[npt.NDArray[Any]]:
        count, seed = 0, _CALIBRATION_SEED
        while count < _CALIBRATION_FRAMES:
            seen, _ = self._env.reset(seed=seed)
            over = False
            while not over and count < _CALIBRATION_FRAMES:
                yield seen
                seen, _, ended, cut, _ = self._env.step(self.act(seen))
                over, count = ended or cut, count + 1
            seed += 1


def _checked(proto: Any, env: Any) -> tuple[int, ...]:
    """Return the shape of the network's input, which is the observation's, or its channels-first form."""
    constant = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in constant]
    if len(inputs) != 1 or len(proto.graph.output) != 1:
        raise DriveError(
            f"a network of {len(inputs)} inputs and {len(proto.graph.output)} outputs",
            hint="one input, the observation, and one output, the action",
        )
    shape, said = (
        tuple(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)
        for value in (inputs[0], proto.graph.output[0])
    )
    seen = (1, *env.observation_space.shape)
    allowed = [seen, (1, seen[3], *seen[1:3])] if len(seen) == 4 else [seen]
    if shape not in allowed:
        raise DriveError(
            f"the network takes {shape}, the environment gives {seen}", hint="a network made for this environment"
        )
    space = env.action_space
    wanted = int(space.n) if hasattr(space, "n") else math.prod(space.shape)
    if math.prod(said) != wanted:
        raise DriveError(
            f"the network says {math.prod(said)} numbers, the environment's action has {wanted}",
            hint="a number for each choice, or for each element of the action",
        )
    return shape


def _onnx_session(model: bytes) -> Runs:
    import onnxruntime

    from chanzi.runtime.host import session_options

    return onnxruntime.InferenceSession(model, session_options(threads=1), providers=["CPUExecutionProvider"])


@dataclass(frozen=True, slots=True, kw_only=True)
class GymEpisode:
    """How an episode went: its reward, its steps, and observations that found the chip busy."""

    seed: int
    reward: float
    steps: int
    dropped: int
    delay_steps: int


def run_gym(
    env: Any, policy: Policy, seed: int, *, chip_s: float, most_steps: int | None = None, film: Any = None
) -> GymEpisode:
    """Run an episode.

    Parameters
    ----------
    env : gymnasium.Env
    policy : Policy
    seed : int
    chip_s : float
        From an observation to the action that follows from it. An environment knows whole steps only, so this acts
        after the nearest whole number of them; until the first action none is taken (0, or the first choice).
    most_steps : int, optional
    film : callable, optional
        Takes a picture of each step.
    """
    every_s = step_s(env)
    delay = math.floor(chip_s / every_s + 0.5)
    action = _at_rest(env.action_space)
    due: deque[tuple[int, Any]] = deque()
    free_s, reward, dropped, steps, over = 0.0, 0.0, 0, 0, False
    seen, _ = env.reset(seed=seed)
    while not over and (most_steps is None or steps < most_steps):
        now = steps * every_s
        if now >= free_s - 1e-9:
            due.append((steps + delay, policy.act(seen)))
            free_s = now + chip_s
        else:
            dropped += 1
        while due and due[0][0] <= steps:
            action = due.popleft()[1]
        seen, got, ended, cut, _ = env.step(action)
        reward += float(got)
        over, steps = ended or cut, steps + 1
        if film is not None:
            film(env.render())
    return GymEpisode(seed=seed, reward=reward, steps=steps, dropped=dropped, delay_steps=delay)


def _at_rest(space: Any) -> Any:
    """Return the action in force before the first answer."""
    if hasattr(space, "n"):
        return int(space.start)
    return np.clip(np.zeros(space.shape), space.low, space.high).astype(space.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class GymTally:
    """What episodes come to, with 95 % intervals."""

    episodes: int
    reward: Interval
    steps: Interval
    dropped: float
    delay_steps: int


def gym_tally(found: Sequence[GymEpisode]) -> GymTally:
    """Return what episodes come to."""
    return GymTally(
        episodes=len(found),
        reward=bootstrap_mean([e.reward for e in found]),
        steps=bootstrap_mean([float(e.steps) for e in found]),
        dropped=sum(e.dropped for e in found) / max(sum(e.steps for e in found), 1),
        delay_steps=found[0].delay_steps if found else 0,
    )
