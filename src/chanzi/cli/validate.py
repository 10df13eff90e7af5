"""``chanzi validate``: what the cost models predict of published silicon, and by how much they are wrong."""

from pathlib import Path
from typing import Literal

from chanzi.cli.console import note, say, say_json
from chanzi.errors import CostError

_WORDS = """
`chanzi validate` asks the models what published chips do, and holds the answers against what was published. Identity
cases follow from definitions and must hold. Grades run from A (measured) to D (an estimate of others).

How far the scores may be trusted:

- A model sees a question without its answer, and no constant is computed from a case marked `test`. Constants that
  were fitted name their `calibrate` cases in the data files.
- The published figures lay open while the models were written, those of the test cases too. Four choices were made
  with test figures in view: the density of a buffer above its macros (`level` in logic.toml, a mean of two published
  densities, which decides G_v4i_cmem and G_maia_bound), the die as buffers over 0.37 (G_maia_bound), and the structure
  of the DLA model (the rows X_fps_* were looked at; the `calibrate` rows alone lead to the same two constants, which a
  test repeats), and how it runs grouped convolutions (a dry run with cases of our own had SSD-MobileNetV1 on Orin's DLA
  4.6 times too fast, at the pace of a ResNet-34; now layers of three detectors are listed, and of a grouped convolution
  as many groups run at once as fit; no constant was changed). Read the `test` scores as those of models made by people
  who knew the answers, not of blind ones.
- Cases `X_` were looked up by this project, which also set their tolerances, mostly those of the like given case.
- Many fitted constants serve one or two cases each (TPU v1, Orin, training), so the errors of `calibrate` say little.
- Some answers are a constant share of a peak under another name: MLPerf Offline, training of language models, energy
  per image of a board. The four X_ cases of Orin's power modes differ from calibrated ones by little but the clock.
- G_util is answered for Inception v3 on frames of 1280 x 960, with the rules of this project's array; at 299 x 299 the
  answer is 0.63. The network behind the published figure is not known.

Two baselines answer the cases of speed: peak times one constant utilization, and the plain roofline.

Made by `chanzi validate --markdown docs/results/validate.md`. Cases of your own: `--cases FILE`, TOML or JSON (a
list, or an object with a list `validation_cases`):

```toml
[[case]]
id = "MY1"
chip = "nvdla"
predict = "area" # words as in the column "what" below; a case that no model answers is listed with the reason
inputs = { macs = 512, conv_buffer_KB = 256, node = 28 }
expected = 2.3 # or [low, high]; with "lower bound" or "upper bound" in the unit, met on that side
unit = "mm2"
tolerance_percent = 25
kind = "model" # in your words, as is basis
basis = "NVDLA's table"
split = "test" # or identity, or calibrate
```
"""


def validate(
    *,
    cases: tuple[Path, ...] = (),
    split: Literal["all", "identity", "calibrate", "test"] = "all",
    shipped: bool = True,
    markdown: Path | None = None,
    page: Path | None = None,
    json: bool = False,
) -> int:
    """Hold the cost models against published silicon: predicted, published, error, grade and split of every case.

    The exit code is 1 where an identity case fails.

    Parameters
    ----------
    cases
        Further cases, TOML or JSON.
    split
        Show only these cases; scores and baselines are of all.
    shipped
        Take the cases that ship with Chanzi.
    markdown
        Also write the page of the docs, and its plot beside it.
    page
        Also write a page with the plot.
    json
        Write JSON.
    """
    from dataclasses import replace

    from chanzi.cost.cases import load, published
    from chanzi.cost.validate import validate as hold
    from chanzi.report import validation

    every = [*(published() if shipped else ()), *(case for path in cases for case in load(path))]
    if not every:
        raise CostError("no case to validate", hint="--cases FILE")
    twice = [c.id for i, c in enumerate(every) if c.id in {d.id for d in every[:i]}]
    if twice:
        raise CostError(f"case {twice[0]} is there twice", hint="each id once, or --no-shipped")
    found = hold(every)
    if markdown is not None:
        plot = validation.write_docs(markdown, found, _WORDS)
        note(f"wrote {markdown} and {plot}")
    if page is not None:
        validation.write_page(page, found)
        note(f"wrote {page}")
    shown = (
        found if split == "all" else replace(found, outcomes=tuple(o for o in found.outcomes if o.case.split == split))
    )
    if json:
        say_json(validation.to_dict(shown))
    else:
        from chanzi.cli.tables import show

        show(validation.cases_table(shown), validation.scores_table(found))
        for line in validation.unanswered(shown):
            say(f"no model answers {line}")
    return 0 if found.identities_hold else 1
