import shutil
import subprocess

import pytest

from chanzi.isa.fields import BODY, HEADER, DotFlag, Opcode, VecFlag, VecKind
from chanzi.isa.manual import c_header, manual_markdown


def test_every_field_and_every_bit_is_in_the_manual_with_a_meaning():
    text = manual_markdown()
    for field in (*HEADER, *(field for body in BODY.values() for field in body)):
        assert f"`{field.name}` | {field.doc} |" in text
    for member in (*DotFlag, *VecFlag, *VecKind):
        row = next(line for line in text.splitlines() if line.startswith(f"| {int(member)} | `{member.name}` |"))
        assert len(row.split("|")[3].strip()) > 5


def test_c_structures_have_the_size_and_offsets_of_the_encoding(tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    checks = [f'_Static_assert(sizeof(struct chanzi_{op.name.lower()}) == 256, "{op.name}");' for op in Opcode]
    from chanzi.isa.fields import LAYOUT

    for op in Opcode:
        for field in HEADER + BODY[op]:
            name = f"{field.name}_" if field.name == "signed" else field.name
            at = LAYOUT[op].fields[field.name][1]
            struct = f"struct chanzi_{op.name.lower()}"
            checks.append(f'_Static_assert(__builtin_offsetof({struct}, {name}) == {at}, "{name}");')
    source = tmp_path / "isa.c"
    source.write_text(c_header() + "\n".join(checks) + "\n")
    command = [compiler, "-std=c11", "-Wall", "-Werror", "-c", str(source), "-o", str(tmp_path / "isa.o")]
    subprocess.run(command, check=True)
