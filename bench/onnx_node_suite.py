"""ONNX's own node tests against the backend: how many pass on the chip, on the host, are refused, or are wrong.

    python bench/onnx_node_suite.py [--write] [--only WORD]

A test whose network ONNX Runtime's CPU kernels refuse too is counted as refused. Anything but a right answer or a
`ChanziError` is listed and makes the exit code 1.
"""

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx.backend.test.loader import load_model_tests

from chanzi.errors import ChanziError
from chanzi.runtime.onnx_backend import ChanziBackend

RESULTS = Path(__file__).parent.parent / "docs" / "results"


def equal(got: object, wanted: object, rtol: float, atol: float) -> bool:
    """Return whether two outputs are the same within a test's tolerance."""
    if isinstance(wanted, list):
        return isinstance(got, list) and all(equal(g, w, rtol, atol) for g, w in zip(got, wanted, strict=True))
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return False
    if wanted.dtype.kind in "fc":
        return np.allclose(got, wanted, rtol=rtol, atol=max(atol, 1e-7), equal_nan=True)
    return np.array_equal(got, wanted)


def as_onnxruntime(rep: object, case: object) -> bool:
    """Return whether ONNX Runtime, given the network as it is, answers as the backend did."""
    import onnxruntime

    session = onnxruntime.InferenceSession(case.model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    for inputs, _ in case.data_sets:
        given = zip(names, inputs, strict=False)
        feed = {name: x if isinstance(x, list) else np.asarray(x) for name, x in given if x is not None}
        pairs = zip(rep.run(feed), session.run(None, feed), strict=True)
        if not all(equal(got, wanted, 0.0, 0.0) for got, wanted in pairs):
            return False
    return True


def one(case: object) -> tuple[str, str]:
    """Return (outcome, why) of one test."""
    model = case.model
    initial = {tensor.name for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in initial]
    try:
        rep = ChanziBackend.prepare(model)
        wrong = 0
        for inputs, wanted in case.data_sets:
            got = rep.run({name: x for name, x in zip(names, inputs, strict=True) if x is not None})
            wrong += sum(not equal(g, w, case.rtol, case.atol) for g, w in zip(got, wanted, strict=True))
        if wrong:
            return ("as ORT" if as_onnxruntime(rep, case) else "differs"), f"{wrong} outputs"
        return ("chip" if rep.session.model.chip_steps else "host"), ""
    except ChanziError as error:
        return "refused", str(error)
    except Exception as error:  # what this script is for
        return "crashed", f"{type(error).__name__}: {error}"


def main() -> int:
    """Run all, print the counts and what is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="tests whose name holds this word")
    parser.add_argument("--write", action="store_true", help="rewrite docs/results/onnx-node-suite.*")
    arguments = parser.parse_args()
    os.environ["CHANZI_CACHE"] = "0"
    counts: Counter[str] = Counter()
    listed: list[tuple[str, str, str]] = []
    for case in load_model_tests(kind="node"):
        if arguments.only in case.name:
            outcome, why = one(case)
            counts[outcome] += 1
            if outcome in ("crashed", "differs"):
                listed.append((case.name, outcome, why[:160]))
    for row in listed:
        print(*row)
    print(dict(counts))
    if arguments.write:
        RESULTS.mkdir(parents=True, exist_ok=True)
        data = {"command": "python bench/onnx_node_suite.py --write", "onnx": onnx.__version__, **counts}
        (RESULTS / "onnx-node-suite.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        outcomes = ("chip", "host", "as ORT", "differs", "refused", "crashed")
        rows = "".join(f"| {name} | {counts[name]} |\n" for name in outcomes)
        notes = "".join(f"- `{name}`: {outcome}, {why}\n" for name, outcome, why in listed)
        page = f"""# ONNX's node tests

The standard node tests of onnx {onnx.__version__} against `chanzi.runtime.onnx_backend`. Float operators run on the
host (ONNX Runtime's CPU kernels) unless a network is quantized; quantized ones run on the chip where it has them.
*As ORT* answers are those of ONNX Runtime, which are not within the test's tolerance of its stored ones. *Refused*
networks end in a `ChanziError` of one line: most are operators or types that ONNX Runtime's CPU kernels do
not have either.

| outcome | tests |
|---|---:|
{rows}
{notes}
`python bench/onnx_node_suite.py --write` made this page.
"""
        (RESULTS / "onnx-node-suite.md").write_text(page, encoding="utf-8")
    return 1 if counts["crashed"] else 0


if __name__ == "__main__":
    sys.exit(main())
