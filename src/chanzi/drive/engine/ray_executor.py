"""Units on machines under Ray: the same units, the same journal, artefacts sent along (extra ``[ray]``)."""

import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from chanzi.drive.engine.executor import MAX_LOSSES, Begin, Performed, attempt, lost_too_often
from chanzi.drive.engine.store import Store
from chanzi.drive.engine.unit import Made, Unit
from chanzi.errors import LoopError


@dataclass(slots=True, kw_only=True)
class _Running:
    index: int
    since: float


class RayExecutor:
    """Ray's workers. Chanzi and what the run needs must be installed on every machine.

    Parameters
    ----------
    store : Store
        On this machine; workers read nothing from it themselves.
    address : str, optional
        Of a cluster; without one, a cluster on this machine alone is started and ended.

    Raises
    ------
    LoopError
        Ray is not installed, or there is no cluster at that address.
    """

    def __init__(self, store: Store, address: str | None = None) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise LoopError("Ray is not installed", hint="pip install 'chanzi[ray]'") from None
        self._ray: Any = ray
        self._store = store
        self._sent: dict[str, Any] = {}
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
            except ConnectionError as error:
                raise LoopError(f"no Ray cluster at {address}: {error}", hint="ray start --head") from None
        # Lost units are counted and given out again here, as with processes; Ray need not try itself.
        self._remote = ray.remote(max_retries=0, num_cpus=1)(_perform)

    def perform(self, units: Sequence[Unit], begin: Begin) -> Generator[Performed, None, None]:
        """See `Executor`."""
        ray = self._ray
        waiting = deque(range(len(units)))
        losses = dict.fromkeys(waiting, 0)
        running: dict[Any, _Running] = {}
        try:
            while waiting or running:
                # Asked each time: machines come and go.
                while waiting and len(running) < max(1, int(ray.cluster_resources().get("CPU", 1))):
                    index = waiting.popleft()
                    begin(units[index])
                    running[self._start(units[index])] = _Running(index=index, since=time.monotonic())
                ended, _ = ray.wait(list(running), num_returns=1, timeout=1.0)
                self._give_up(units, running, ended)
                for one in ended:
                    index = running.pop(one).index
                    answer = self._receive(one)
                    if answer is None:
                        losses[index] += 1
                        if losses[index] >= MAX_LOSSES:
                            raise lost_too_often(units[index])
                        waiting.appendleft(index)
                    elif isinstance(answer, Exception):
                        raise answer
                    else:
                        yield Performed(index=index, made=answer[0], cpu_s=answer[1])
        finally:
            for one in running:
                ray.cancel(one, force=True)

    def _start(self, unit: Unit) -> Any:
        names = unit.inputs()
        for name in names:
            if name not in self._sent:
                self._sent[name] = self._ray.put(self._store.get(name))
        return self._remote.remote(unit, names, *(self._sent[name] for name in names))

    def _give_up(self, units: Sequence[Unit], running: dict[Any, _Running], ended: list[Any]) -> None:
        """Cancel units that have used up their patience; the next look finds them lost."""
        now = time.monotonic()
        for one, state in running.items():
            if one not in ended and now - state.since > units[state.index].patience_s:
                self._ray.cancel(one, force=True)

    def _receive(self, one: Any) -> tuple[Made, float] | Exception | None:
        """Return what a unit came to, or None where its worker or its machine was lost."""
        try:
            return self._ray.get(one)
        except self._ray.exceptions.RayTaskError as error:
            # What a unit raises comes back as a value; this is a machine that could not even begin.
            text = str(error).strip().splitlines()
            return LoopError(
                f"a machine of the cluster cannot perform units: {text[-1] if text else 'no reason given'}",
                hint="chanzi, with what the run needs, must be installed on each",
            )
        except self._ray.exceptions.RayError:
            return None

    def close(self) -> None:
        """See `Executor`."""
        self._sent.clear()
        if self._ours:
            self._ray.shutdown()


def _perform(unit: Unit, names: tuple[str, ...], *blobs: bytes) -> tuple[Made, float] | Exception:
    """Perform a unit on whatever machine this is; Ray has brought the artefacts."""
    return attempt(unit, dict(zip(names, blobs, strict=True)).__getitem__)
