"""Stage `collect`: drives to learn from, and what their triggers keep of them."""

from chanzi.drive.engine import versions
from chanzi.drive.engine.interface import RECORDING, SIGNALS, DriveOrder, Drove, Mix
from chanzi.drive.engine.loop import Loop
from chanzi.drive.engine.outcomes import Clip, Collected, Mined
from chanzi.drive.engine.scenario import Purpose, scenarios, seed_of
from chanzi.drive.engine.signals import read_signals
from chanzi.drive.engine.triggers import choose
from chanzi.drive.statistics import sample


def orders(loop: Loop, turn: int) -> tuple[DriveOrder, ...]:
    """Return the drives of a turn: the expert's for the first network, then the network's with the expert beside it."""
    settings, wanted = loop.settings, loop.settings.collect
    fresh = scenarios(
        Purpose.LEARN,
        worlds=settings.worlds,
        weathers=settings.weathers,
        seconds=settings.seconds,
        run_seed=settings.seed,
        turn=turn,
        count=wanted.first_drives if turn == 0 else wanted.drives,
    )

    def mix(share: float, index: int) -> Mix:
        seed = seed_of(Purpose.LEARN, settings.seed, turn, index)
        return Mix(share=share, rescue=True, noise_rad=wanted.noise_rad, seed=seed)

    version = versions.deployed(loop, turn)
    if version is None:
        return tuple(
            DriveOrder(scenario=scenario, driver=None, mix=mix(1.0, i), record=True) for i, scenario in enumerate(fresh)
        )
    driver = versions.driver(loop, version)
    other = versions.shadow(loop, turn)
    shadow = None if other is None else versions.driver(loop, other)
    # DAgger: the expert drives less and less, so that what is collected is what the network will meet (S. Ross, 2011).
    share = wanted.expert_share * 0.5 ** (turn - 1)
    plain = [
        DriveOrder(scenario=scenario, driver=driver, shadow=shadow, mix=mix(share, i), record=True)
        for i, scenario in enumerate(fresh)
    ]
    failures = loop.outcome(turn - 1, "mine", Mined).failures
    picks = sample(wanted.failures, len(failures), seed_of(Purpose.LEARN, settings.seed, turn, 0))
    # Without the expert's stretches and without noise: the car comes to where it failed, and is rescued there.
    again = [
        DriveOrder(
            scenario=failures[pick].scenario,
            driver=driver,
            shadow=shadow,
            mix=Mix(share=0.0, rescue=True, noise_rad=0.0, seed=0),
            failure_s=failures[pick].time_s,
            record=True,
        )
        for pick in picks
    ]
    return (*plain, *again)


def collect(loop: Loop, turn: int) -> Collected:
    """Drive, and choose the frames to keep."""
    wanted = loop.settings.collect
    done = loop.run([loop.make.drive(order) for order in orders(loop, turn)], turn, "collect")
    drove = [one.as_(Drove) for one in done]
    signals = [read_signals(loop.store.get(one.files[SIGNALS])) for one in done]
    frames, rates = choose(
        signals,
        () if turn == 0 else wanted.triggers,
        wanted.window,
        routine_frames=wanted.first_frames if turn == 0 else wanted.routine_frames,
        seed=seed_of(Purpose.LEARN, loop.settings.seed, turn, 0),
    )
    clips = tuple(
        Clip(recording=one.files[RECORDING], frames=kept) for one, kept in zip(done, frames, strict=True) if kept
    )
    return Collected(
        drives=len(done),
        failures=sum(not one.passed for one in drove),
        driven_frames=sum(one.frames for one in drove),
        driven_m=sum(one.distance_m for one in drove),
        interventions=sum(one.interventions for one in drove),
        clips=clips,
        rates=rates,
    )
