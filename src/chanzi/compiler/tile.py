"""Tiling: parts to units of work, stripe by stripe from the top of the map.

Where everything fits in the scratchpad a stripe is just a share of the rows, cut where the array's tiles end, so that
the next layer can start on it. Where a map lives in DRAM its stripes are loaded and stored through staging buffers;
where weights do, they are loaded before use, in blocks of columns if they are large:

  stripes outermost   weights once a stripe,  maps once       (or weights once, where one block holds them)
  blocks outermost    weights once,           maps once a block

whichever moves fewer bytes.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.compiler.image import Image
from chanzi.compiler.ir import Constant, Fields, Job, Layout, Operand, Part, Ref, Storage, Unit
from chanzi.errors import CompileError
from chanzi.isa.cycles import busy_cycles
from chanzi.isa.fields import Engine
from chanzi.isa.instruction import Dot, Load, Store, Vec

BANKS = ("weights", "dot-parameters", "vec-parameters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Residency:
    """What lives where: `dram` storages are staged, the others stay; `resident` weights stay between frames."""

    dram: frozenset[str] = frozenset()
    resident: bool = True
    staging_bytes: int = 0
    stripe_cycles: int = 2000


@dataclass(slots=True, kw_only=True, eq=False)
class Tiled:
    """All units by node, the sizes of the buffers they name, and the constants."""

    units: list[list[Unit]] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    image: Image = field(default_factory=Image)
    resident: dict[str, list[np.ndarray]] = field(default_factory=lambda: {bank: [] for bank in BANKS})
    resident_bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BANKS, 0))


def dram_key(storage: str) -> str:
    """Return the name under which a storage's DRAM address is known."""
    return f"dram:{storage}"


IMAGE = "dram:\0"  # no tensor has this name


MIN_STRIPE_CYCLES = 300
"""Stripes shorter than this cost more in parameters and latency than they overlap."""


def _array_stripes(height: int, width: int, dim: int, count: int, come: list[int]) -> list[tuple[int, int]]:
    """Return `count` pixel ranges or nearly so: whole lines where that costs no tile, else whole tiles.

    `come` are the bounds at which the operand's lines arrive: taken as they are if they cost no tile either.

    Whole lines let the next layer start sooner; a tile more costs as much as a full one.
    """
    total = height * width
    tiles = -(-total // dim)
    arriving = [(a * width, b * width) for a, b in itertools.pairwise(come)]
    if len(arriving) >= min(count, 2) and sum(-(-(b - a) // dim) for a, b in arriving) <= tiles:
        return arriving
    for wanted in sorted(range(1, min(2 * count, height) + 1), key=lambda n: (abs(n - count), n)):
        if 2 * wanted < count:
            continue
        lines = -(-height // wanted)
        bounds = [(y * width, min(y + lines, height) * width) for y in range(0, height, lines)]
        if sum(-(-(b - a) // dim) for a, b in bounds) <= tiles:
            return bounds
    step = -(-tiles // min(count, tiles)) * dim
    return [(p, min(p + step, total)) for p in range(0, total, step)]


class Tiler:
    """Tiles node after node into one `Tiled`."""

    def __init__(self, chip: Chip, layout: Layout, residency: Residency) -> None:
        self.chip = chip
        self.core = chip.core
        self.layout = layout
        self.residency = residency
        self.out = Tiled()
        self.steps: dict[str, list[int]] = {}  # leaf -> lines done after each of its units
        self.engine_of: dict[str, Engine] = {}  # leaf -> engine that writes it

    # ---- constants ----

    def _resident(self, constant: Constant) -> Ref:
        bank = constant.bank
        at = self.out.resident_bytes[bank]
        pad = -at % 16
        if pad:
            self.out.resident[bank].append(np.zeros(pad, np.uint8))
        self.out.resident[bank].append(constant.data)
        self.out.resident_bytes[bank] = at + pad + constant.data.size
        return Ref(constant.address_field, bank, at + pad)

    def _streamed(
        self, constants: tuple[Constant, ...], key: str, layer: int, columns: tuple[int, int] | None
    ) -> tuple[list[Job], list[Ref]]:
        """Return the loads of these constants (one for each bank) and where they will be."""
        loads: list[Job] = []
        refs: list[Ref] = []
        for bank in BANKS:
            mine = [c for c in constants if c.bank == bank]
            if not mine:
                continue
            blobs: list[np.ndarray] = []
            at = 0
            for c in mine:
                data = c.data
                if columns is not None and c.per_column:
                    data = data[columns[0] * c.per_column : columns[1] * c.per_column]
                refs.append(Ref(c.address_field, f"{key}:{bank}", at))
                blobs += [data, np.zeros(-data.size % 16, np.uint8)]
                at += data.size + -data.size % 16
            offset = self.out.image.add(np.concatenate(blobs))
            name = f"{key}:{bank}"
            self.out.sizes[name] = at
            self.out.kinds[name] = "weights"
            loads.append(self._load(layer, name, 0, IMAGE, offset, at))
        return loads, refs

    # ---- jobs ----

    def _job(self, engine: Engine, layer: int, ins: object, refs: tuple[Ref, ...]) -> Job:
        return Job(engine=engine, layer=layer, ins=ins, refs=refs, cycles=busy_cycles(self.chip, ins))

    def _load(self, layer: int, buffer: str, at: int, source: str, offset: int, n_bytes: int) -> Job:
        ins = Load(layer=layer, run=n_bytes, count1=1, count2=1)
        return self._job(Engine.LOAD, layer, ins, (Ref("base", buffer, at), Ref("dram", source, offset)))

    def _lines(self, operand: Operand, y0: int, y1: int) -> tuple[int, int]:
        """Return the operand's lines [first, end) that output lines y0 .. y1 (inclusive) read."""
        first = y0 * operand.y_step - operand.pad_y
        end = y1 * operand.y_step + operand.reach - operand.pad_y + 1
        low = min(max(first, 0), operand.height - 1)
        return low, max(min(end, operand.height), low + 1)

    def _operand(self, operand: Operand, y0: int, y1: int, staged: dict[str, tuple[str, int]]) -> tuple[Fields, Ref]:
        low, end = self._lines(operand, y0, y1)
        fields: Fields = {}
        if operand.pad_field is not None:
            fields[operand.pad_field] = low - (y0 * operand.y_step - operand.pad_y)
        if operand.height_field is not None:
            # where all of them lie outside, this is one line, and the windows lie outside it as well
            fields[operand.height_field] = end - low
        line = operand.line0 + low
        key = operand.storage.key
        if key in staged:
            buffer, line_of_buffer = staged[key]
            return fields, Ref(
                operand.address_field, buffer, (line - line_of_buffer) * operand.storage.line_bytes + operand.offset
            )
        self._hold(operand.storage)
        return fields, Ref(operand.address_field, key, line * operand.storage.line_bytes + operand.offset)

    def _hold(self, storage: Storage) -> None:
        self.out.sizes[storage.key] = storage.n_bytes
        self.out.kinds[storage.key] = "activations"

    def _in_dram(self, storage: Storage) -> bool:
        return storage.key in self.residency.dram

    def _stage(
        self, part: Part, y0: int, y1: int, key: str, layer: int, staged: dict[str, tuple[str, int]]
    ) -> list[Job]:
        """Return the loads of the lines that a stripe reads from DRAM; `staged` learns where they will be."""
        ranges: dict[str, tuple[Storage, int, int]] = {}
        for operand in part.operands:
            if not self._in_dram(operand.storage):
                continue
            low, end = self._lines(operand, y0, y1)
            low, end = operand.line0 + low, operand.line0 + end
            if operand.storage.key in ranges:
                _, a, b = ranges[operand.storage.key]
                low, end = min(a, low), max(b, end)
            ranges[operand.storage.key] = (operand.storage, low, end)
        loads = []
        for storage, low, end in ranges.values():
            name = f"{key}<{storage.key}"
            n_bytes = (end - low) * storage.line_bytes
            staged[storage.key] = (name, low)
            self.out.sizes[name] = n_bytes
            self.out.kinds[name] = "staging"
            loads.append(self._load(layer, name, 0, dram_key(storage.key), low * storage.line_bytes, n_bytes))
        return loads

    def _result(
        self, part: Part, y0: int, lines: int, key: str, layer: int, columns: tuple[int, int] | None
    ) -> tuple[Fields, Ref, list[Job]]:
        """Return the output's fields and address, and the store where the output lives in DRAM."""
        out = part.output
        storage = out.storage
        shift = columns[0] if columns else 0
        line = out.line0 + y0 * out.y_scale
        address = line * storage.line_bytes + out.offset + shift
        field_name = "out_base"
        if not self._in_dram(storage):
            self._hold(storage)
            return {}, Ref(field_name, storage.key, address), []
        if part.engine == Engine.ARRAY:
            width_bytes = (columns[1] - columns[0]) if columns else part.template["b_count"]
        else:
            width_bytes = part.template["channels"]
        pixel = -(-width_bytes // self.core.atom_bytes) * self.core.atom_bytes
        name = f"{key}>{storage.key}"
        self.out.sizes[name] = lines * part.width * pixel
        self.out.kinds[name] = "staging"
        fields = {"out_y": part.width * pixel, "out_x": pixel}
        line = part.width * pixel
        to_pixel, to_line = part.template["out_x"], part.template["out_y"]
        if to_pixel == pixel and (to_line == line or lines == 1):
            shape = {"run": lines * line, "count1": 1, "count2": 1}
        elif to_pixel == pixel:
            shape = {"run": line, "count1": lines, "count2": 1, "dram_step1": to_line, "base_step1": line}
        else:
            shape = {
                "run": width_bytes,
                "count1": part.width,
                "count2": lines,
                "dram_step1": to_pixel,
                "dram_step2": to_line,
                "base_step1": pixel,
                "base_step2": line,
            }
        ins = Store(layer=layer, **shape)
        store = self._job(Engine.STORE, layer, ins, (Ref("base", name, 0), Ref("dram", dram_key(storage.key), address)))
        return fields, Ref(field_name, name, 0), [store]

    # ---- nodes ----

    def node(self, index: int, layer: int, leaf: str, height: int, parts: tuple[Part, ...]) -> None:
        """Append the units of one node."""
        self.out.units.append([])
        units = self.out.units[-1]
        # parts of equal shape that write the same lines advance together; others (a turned operand, edges of an average
        # pool) cannot be cut at the same place
        uniform = (
            len(
                {
                    (p.height, p.width, p.output.y_scale, p.output.tensor, p.output.line0 // p.output.y_scale)
                    for p in parts
                }
            )
            == 1
        )
        blocks = [self._blocks(p) for p in parts]
        stripes = self._stripes(parts) if uniform else None
        if stripes is None:
            stripes = [(0, 0)]
            whole = True
        else:
            whole = False
        scale = parts[0].output.y_scale
        many = max(len(b) for b in blocks)
        outer_blocks = many > 1 and self._blocks_outermost(parts, len(stripes), many)
        turns = (
            [(b, s) for b in range(many) for s in range(len(stripes))]
            if outer_blocks
            else [(None, s) for s in range(len(stripes))]
        )
        constants: dict[tuple[int, int], list[Ref]] = {}
        for block, s in turns:
            last_block = block is None or block == many - 1
            p0, p1 = stripes[s]
            done = height if whole or s == len(stripes) - 1 else min(height, p1 // parts[0].width * scale)
            unit = Unit(
                node=index,
                leaf=leaf,
                done_lines=done if last_block else 0,
                needs=self._needs(parts, whole, p1),
            )
            for i, part in enumerate(parts):
                a, b = (0, part.height * part.width) if whole else (p0, p1)
                for j in range(len(blocks[i])) if block is None else ([block] if block < len(blocks[i]) else []):
                    reload = block is None and len(blocks[i]) > 1
                    tag = f"{index}.{i}.{j}" + (f".{s}" if reload else "")
                    if reload or (i, j) not in constants:
                        loads, constants[i, j] = self._constants(part, tag, layer, blocks[i][j])
                        unit.loads += loads
                    self._emit(unit, part, (a, b), f"{tag}@{s}", layer, blocks[i][j], constants[i, j])
            units.append(unit)
        self.engine_of[leaf] = parts[0].engine
        self.steps[leaf] = [unit.done_lines for unit in units if unit.done_lines]

    def _needs(self, parts: tuple[Part, ...], whole: bool, p1: int) -> tuple[tuple[str, int], ...]:
        needs: dict[str, int] = {}
        for part in parts:
            y1 = part.height - 1 if whole else (p1 - 1) // part.width
            for operand in part.operands:
                if not operand.tensor:
                    continue
                _, end = self._lines(operand, y1, y1)
                base = self.layout.views[operand.tensor].y0 if operand.tensor not in self.layout.stem else 0
                for source in self.layout.sources[operand.tensor]:
                    height = source.height
                    lines = source.lines(operand.line0 - base + end)
                    if operand.tensor in self.layout.stem:
                        lines, height = end, operand.height
                    needs[source.leaf] = max(needs.get(source.leaf, 0), min(lines, height))
        return tuple(needs.items())

    def _constants(
        self, part: Part, tag: str, layer: int, columns: tuple[int, int] | None
    ) -> tuple[list[Job], list[Ref]]:
        if self.residency.resident:
            return [], [self._resident(c) for c in part.constants]
        return self._streamed(part.constants, f"w{tag}", layer, columns)

    def _emit(
        self,
        unit: Unit,
        part: Part,
        pixels: tuple[int, int],
        key: str,
        layer: int,
        columns: tuple[int, int] | None,
        constants: list[Ref],
    ) -> None:
        p0, p1 = pixels
        y0, y1 = p0 // part.width, (p1 - 1) // part.width
        staged: dict[str, tuple[str, int]] = {}
        unit.loads += self._stage(part, y0, y1, key, layer, staged)
        fields = dict(part.template)
        refs = list(constants)
        for operand in part.operands:
            changes, ref = self._operand(operand, y0, y1, staged)
            fields |= changes
            if columns and operand.address_field == "res_base":
                ref = Ref(ref.field, ref.buffer, ref.offset + columns[0])
            refs.append(ref)
        changes, ref, stores = self._result(part, y0, y1 - y0 + 1, key, layer, columns)
        fields |= changes
        refs.append(ref)
        if part.engine == Engine.ARRAY:
            fields |= {"a_first": p0 - y0 * part.width, "a_count": p1 - p0}
            if columns:
                n = columns[1] - columns[0]
                fields |= {"b_count": n, "b_row_width": n}
                fields |= {"b_line_stride": n * fields["b_run"], "b_width_bytes": n * fields["b_run"]}
            fields.setdefault("b_height", 1)
            ins = Dot(layer=layer, **fields)
        else:
            fields["rows"] = y1 - y0 + 1
            ins = Vec(layer=layer, **fields)
        unit.jobs.append(self._job(part.engine, layer, ins, tuple(refs)))
        unit.stores += stores

    # ---- sizes ----

    def _blocks(self, part: Part) -> list[tuple[int, int] | None]:
        """Return the blocks of columns whose weights are loaded together."""
        n_bytes = sum(c.data.size for c in part.constants)
        if self.residency.resident or part.engine != Engine.ARRAY or not any(c.per_column for c in part.constants):
            return [None]
        columns = part.template["b_count"]
        budget = max(self.residency.staging_bytes // 2, 1)
        D = self.core.dim
        atom = self.core.atom_bytes
        per_column = sum(c.per_column for c in part.constants)
        fit = max(budget // max(per_column, 1), 1)
        if n_bytes <= budget or fit >= columns:
            return [None]
        step = fit // D * D if fit >= D else max(fit // atom * atom, atom)
        return [(n, min(n + step, columns)) for n in range(0, columns, step)]

    def _blocks_outermost(self, parts: tuple[Part, ...], stripes: int, blocks: int) -> bool:
        weights = sum(c.data.size for p in parts for c in p.constants)
        maps = sum(o.height * o.storage.line_bytes for p in parts for o in p.operands if self._in_dram(o.storage))
        return weights + maps * blocks <= weights * stripes + maps

    def _stripes(self, parts: tuple[Part, ...]) -> list[tuple[int, int]]:
        """Return pixel ranges [(first, end)] of the stripes."""
        part = parts[0]
        staged = any(self._in_dram(o.storage) for p in parts for o in p.operands) or self._in_dram(part.output.storage)
        if staged:
            return self._staged_stripes(parts)
        cycles = sum(self._whole_cycles(p) for p in parts)
        count = max(round(cycles / self.residency.stripe_cycles), min(3, cycles // MIN_STRIPE_CYCLES), 1)
        lines = self._lines_as_they_come(part, count)
        producer = next((o.tensor for o in part.operands if o.tensor), "")
        if part.engine == Engine.ARRAY and self.engine_of.get(producer) != Engine.VECTOR:
            lines = [0, part.height]
        if part.engine == Engine.ARRAY:
            return _array_stripes(part.height, part.width, self.core.dim, count, lines)
        return [(a * part.width, b * part.width) for a, b in itertools.pairwise(lines)]

    def _lines_as_they_come(self, part: Part, count: int) -> list[int]:
        """Return about `count` + 1 bounds of output lines, each as far as one more stripe of the producer allows."""
        height = part.height
        operand = next((o for o in part.operands if o.tensor), None)
        come: set[int] = set()
        if operand is not None and operand.y_step:
            base = self.layout.views[operand.tensor].y0 if operand.tensor not in self.layout.stem else 0
            for source in self.layout.sources[operand.tensor]:
                for done in self.steps.get(source.leaf, ()):
                    there = done - source.shift - (operand.line0 - base)
                    last = (there + operand.pad_y - 1 - operand.reach) // operand.y_step + 1
                    come.add(min(last, height) if done < source.height else height)
        bounds = sorted(y for y in come if 0 < y < height)
        step = -(-height // min(count, height))
        if len(bounds) > count:
            picked = [bounds[round(i * (len(bounds) - 1) / max(count - 1, 1))] for i in range(count)]
            bounds = sorted(set(picked))
        filled = [0]
        for y in [*bounds, height]:
            gap = y - filled[-1]
            pieces = -(-gap // step)
            filled += [filled[-1] + -(-gap * i // pieces) for i in range(1, pieces + 1)] if gap else []
        return sorted(set(filled))

    def _whole_cycles(self, part: Part) -> int:
        if part.engine == Engine.ARRAY:
            return busy_cycles(self.chip, Dot(**part.template | {"a_count": part.height * part.width}))
        operand = part.operands[0]
        whole = {"rows": part.height, "height": operand.height, "pad_y": operand.pad_y}
        return busy_cycles(self.chip, Vec(**part.template | whole))

    def _staged_stripes(self, parts: tuple[Part, ...]) -> list[tuple[int, int]]:
        """Return stripes of whole lines whose staging buffers fit the budget."""
        part = parts[0]
        budget = self.residency.staging_bytes

        def need(rows: int) -> int:
            worst = 0
            for p in parts:
                n = 0
                for o in p.operands:
                    if self._in_dram(o.storage):
                        lines = min((rows - 1) * o.y_step + o.reach + 1, o.height)
                        n += lines * o.storage.line_bytes
                if self._in_dram(p.output.storage):
                    n += rows * p.width * p.output.storage.pixel_bytes
                worst += n
            return worst

        rows = part.height
        while rows > 1 and need(rows) > budget:
            rows = max(rows // 2, 1) if need(rows) > 2 * budget else rows - 1
        if need(rows) > max(budget, 1) * 4:
            raise CompileError(
                f"one line of '{part.output.tensor}' and what it reads take {need(rows)} bytes",
                hint=f"the scratchpad has {self.core.scratchpad.bytes}; use a larger one or a smaller input",
            )
        lines = [(y, min(y + rows, part.height)) for y in range(0, part.height, rows)]
        return [(a * part.width, b * part.width) for a, b in lines]
