"""The reader printed in the manual reads what Chanzi writes."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from small_program import small_model

from chanzi.program import container

PAGE = Path(__file__).parent.parent.parent / "docs" / "manual" / "program_file.md"


def test_the_reader_of_the_manual_reads_a_program(tmp_path):
    fence = re.search(r"```py\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    namespace = {}
    exec(compile(fence[1], "program_file.md", "exec"), namespace)
    model = small_model()
    path = tmp_path / "small.chz"
    container.write(path, model)
    sections = {name: bytes(data) for name, data in container.to_sections(model).items()}
    assert namespace["sections"](path) == sections
    lines = namespace["summary"](path)
    assert [(on, name) for on, name, _ in lines] == [("chip", "small"), ("host", "host0")]
    assert lines[0][2]["DOT"] == sum(ins.opcode == 3 for ins in model.steps[0].segment.cores[0].frame)
