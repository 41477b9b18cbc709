"""Which waiting job goes to which printer: pure, so that it can be proved (fleet-api.md §3).

Jobs are asked in order: priority, then age, then id. Each takes a printer that is ready and fits. Where none is left, a
job that came before may move to another printer that fits it as well; it never loses its own for nothing. So a job is
left out only if all printers that it could use go to jobs before it, and as many jobs as possible get one beside that.
Of several printers a job takes the one that the fewest waiting jobs could use (of those up to its thousand in rank).

Sets of printers are whole numbers here, one bit a printer: 200 printers and 10,000 jobs take a few milliseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple


class LoadedMaterial(NamedTuple):
    """A spool in a printer. `remaining_grams` None: nobody weighs it, and it counts as enough."""

    type: str
    color: str | None = None
    remaining_grams: float | None = None


class PrinterSlot(NamedTuple):
    """`idle`: neither prints nor has been given a job that may still start; `name`: for people."""

    printer_id: int
    model: str = ""
    group_id: int | None = None
    tags: frozenset[str] = frozenset()
    online: bool = True
    idle: bool = True
    bed_clear: bool = True
    materials: tuple[LoadedMaterial, ...] = ()
    name: str = ""

    @property
    def ready(self) -> bool:
        return self.online and self.idle and self.bed_clear


class QueuedJob(NamedTuple):
    """`priority` 0 (urgent) to 3 (low); `waiting`: copies that still need a printer. What follows narrows the choice,
    None and empty do not; `tags`: all of them must be the printer's. `grams` that one copy needs, None = unknown.
    Words are compared without regard to case."""

    job_id: int
    priority: int
    created_at: datetime
    waiting: int = 1
    printer_id: int | None = None
    model: str | None = None
    group_id: int | None = None
    tags: frozenset[str] = frozenset()
    material: str | None = None
    color: str | None = None
    grams: float | None = None


class Assignment(NamedTuple):
    job_id: int
    printer_id: int


def rank(job: QueuedJob) -> tuple[int, datetime, int]:
    """The smaller, the sooner."""
    return job.priority, job.created_at, job.job_id


LOOKED_AT = 1_000
"""Jobs that are looked at together; the next ones only if a printer is still free."""


def plan(
    printers: Iterable[PrinterSlot], queue: Iterable[QueuedJob], *, in_order: bool = False
) -> list[Assignment]:
    """One round: each ready printer gets one copy at most, so no spool is counted on twice. The most urgent first.

    The same printers and jobs give the same plan, in whatever order they come. `in_order`: the queue comes by rank, and
    no more of it is read than is needed; nothing if no printer is ready.
    """
    ready = sorted((printer for printer in printers if printer.ready), key=lambda printer: printer.printer_id)
    if not ready:
        return []
    fleet = _Ready(ready)
    source = iter(queue) if in_order else iter(sorted(queue, key=rank))
    wanting: list[tuple[QueuedJob, int]] = []
    demand = _Demand()
    matching = _Matching(len(ready), demand)
    while matching.free and (part := list(islice(source, LOOKED_AT))):
        begin = len(wanting)
        wanting += [(job, mask) for job in part if job.waiting > 0 and (mask := fleet.fitting(job))]
        for _, mask in wanting[begin:]:
            demand.add(mask)
        for index in range(begin, len(wanting)):
            job, mask = wanting[index]
            if not matching.free:
                break
            for _ in range(job.waiting):
                if not matching.seat(index, mask):
                    break
    seats = sorted((job_index, bit) for bit, job_index in matching.holders.items())
    return [Assignment(wanting[job_index][0].job_id, ready[bit].printer_id) for job_index, bit in seats]


class _Ready:
    """The ready printers by what a job may ask for."""

    def __init__(self, ready: Sequence[PrinterSlot]) -> None:
        self._all = (1 << len(ready)) - 1
        self._ids: dict[int, int] = {}
        self._models: dict[str, int] = {}
        self._groups: dict[int | None, int] = {}
        self._tags: dict[str, int] = {}
        self._unloaded = 0
        most: dict[tuple[str | None, str | None], dict[int, float]] = {}
        for bit, printer in enumerate(ready):
            one = 1 << bit
            self._ids[printer.printer_id] = one
            for words, word in ((self._models, printer.model), *((self._tags, tag) for tag in printer.tags)):
                words[word.casefold()] = words.get(word.casefold(), 0) | one
            self._groups[printer.group_id] = self._groups.get(printer.group_id, 0) | one
            if not printer.materials:
                self._unloaded |= one
            for loaded in printer.materials:
                grams = _grams(loaded)
                for kind in (loaded.type.casefold(), None):
                    for color in ((loaded.color or "").casefold(), None):
                        kept = most.setdefault((kind, color), {})
                        kept[one] = max(grams, kept.get(one, 0.0))
        self._materials = {wanted: _by_grams(kept) for wanted, kept in most.items()}
        self._known: dict[tuple[object, ...], int] = {}  # at most one entry a waiting job, for one round

    def fitting(self, job: QueuedJob) -> int:
        wish = job[4:10]  # all but the grams, which are each file's own
        places = self._known.get(wish)
        if places is None:
            places = self._known[wish] = self._places(job)
        return places & self._loaded(job) if places else 0

    def _places(self, job: QueuedJob) -> int:
        mask = self._all
        if job.printer_id is not None:
            mask &= self._ids.get(job.printer_id, 0)
        if job.model is not None:
            mask &= self._models.get(job.model.casefold(), 0)
        if job.group_id is not None:
            mask &= self._groups.get(job.group_id, 0)
        for tag in job.tags:
            mask &= self._tags.get(tag.casefold(), 0)
        return mask

    def _loaded(self, job: QueuedJob) -> int:
        kind = None if job.material is None else job.material.casefold()
        color = None if job.color is None else job.color.casefold()
        steps, masks = self._materials.get((kind, color), ((), (0,)))
        enough = masks[bisect_left(steps, max(job.grams or 0.0, _SOME))]
        return enough | self._unloaded if kind is None and color is None else enough


_SOME = 1e-9  # g: an empty spool is never enough, not even for a file that does not say what it needs


def _grams(loaded: LoadedMaterial) -> float:
    return float("inf") if loaded.remaining_grams is None else loaded.remaining_grams


def _by_grams(kept: dict[int, float]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Amounts upwards, and for each the printers that have as much or more; at the end, those with more: none."""
    steps = tuple(sorted(set(kept.values())))
    masks = [0]
    for step in reversed(steps):
        masks.append(masks[-1] | sum(bit for bit, grams in kept.items() if grams == step))
    return steps, tuple(reversed(masks))


class _Demand:
    """How many jobs could use each printer: binary counters side by side, `planes[i]` has everyone's bit i."""

    def __init__(self) -> None:
        self._planes: list[int] = []

    def add(self, mask: int) -> None:
        for place, plane in enumerate(self._planes):
            self._planes[place], mask = plane ^ mask, plane & mask
            if not mask:
                return
        self._planes.append(mask)

    def least(self, mask: int) -> int:
        """The printer among them that the fewest could use; of equals the first."""
        for plane in reversed(self._planes):
            mask = mask & ~plane or mask
        return (mask & -mask).bit_length() - 1


class _Matching:
    def __init__(self, printers: int, demand: _Demand) -> None:
        self.free = (1 << printers) - 1
        self.holders: dict[int, int] = {}  # printer's bit -> job
        self._masks: dict[int, int] = {}
        self._demand = demand
        self._settled = 0  # taken, and none of their jobs has anywhere else to go: no use in asking again

    def seat(self, job: int, mask: int) -> bool:
        """Gives the job one printer more of the mask, if need be by moving others; nobody loses one."""
        self._masks[job] = mask
        came: dict[int, int] = {}  # a taken printer -> the printer that its job would be moved for; -1: the new job
        seen, asked = self._settled, [(-1, mask)]
        for origin, wanted in asked:
            open_ = wanted & self.free
            if open_:
                self._move(job, self._demand.least(open_), origin, came)
                return True
            for bit in _bits(wanted & ~seen):
                seen |= 1 << bit
                came[bit] = origin
                asked.append((bit, self._masks[self.holders[bit]]))
        self._settled = seen
        return False

    def _move(self, job: int, bit: int, origin: int, came: dict[int, int]) -> None:
        self.free &= ~(1 << bit)
        while origin != -1:
            self.holders[bit] = self.holders[origin]
            bit, origin = origin, came[origin]
        self.holders[bit] = job


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def why_waiting(job: QueuedJob, printers: Iterable[PrinterSlot]) -> str:
    """One plain sentence without a full stop, for people. `printers`: all of the organization, ready or not."""
    left = list(printers)
    if not left:
        return "there is no printer yet"
    if job.printer_id is not None:
        left = [printer for printer in left if printer.printer_id == job.printer_id]
        return _why_one(job, left[0]) if left else "its printer is gone"
    if job.group_id is not None:
        left = [printer for printer in left if printer.group_id == job.group_id]
        if not left:
            return "no printer is in its group"
    if job.model is not None:
        left = [printer for printer in left if _same(printer.model, job.model)]
        if not left:
            return f"no printer{' in its group' if job.group_id is not None else ''} is a {job.model}"
    for tag in sorted(job.tags):
        left = [printer for printer in left if _tagged(printer, tag)]
        if not left:
            also = " that fits otherwise" if job.group_id is not None or job.model or len(job.tags) > 1 else ""
            return f"no printer{also} has the tag {tag}"
    loaded = [printer for printer in left if _has_enough(job, printer)]
    if not loaded:
        narrowed = len(job.tags) > 0 or job.group_id is not None or job.model is not None
        return f"no printer{' that fits' if narrowed else ''} has {_amount(job, left)} loaded"
    return _why_not_now(loaded)


def _why_one(job: QueuedJob, printer: PrinterSlot) -> str:
    name = f"printer {printer.name}" if printer.name else "its printer"
    missing = [tag for tag in sorted(job.tags) if not _tagged(printer, tag)]
    if job.group_id is not None and printer.group_id != job.group_id:
        return f"{name} is not in its group"
    if job.model is not None and not _same(printer.model, job.model):
        return f"{name} is not a {job.model}"
    if missing:
        return f"{name} does not have the tag {missing[0]}"
    if not _has_enough(job, printer):
        return f"{name} does not have {_amount(job, [printer])} loaded"
    if not printer.online:
        return f"{name} is offline"
    if not printer.idle:
        return f"{name} is busy"
    return f"the bed of {name} is not clear" if not printer.bed_clear else _NEXT


_NEXT = "it starts as soon as the jobs before it have their printers"


def _why_not_now(fitting: Sequence[PrinterSlot]) -> str:
    if any(printer.ready for printer in fitting):
        return _NEXT
    offline = [printer for printer in fitting if not printer.online]
    busy = [printer for printer in fitting if printer.online and not printer.idle]
    full = [printer for printer in fitting if printer.online and printer.idle]
    if len(fitting) == 1:
        name = f"the only printer that fits{f', {fitting[0].name},' if fitting[0].name else ''}"
        return f"{name} {'has a bed that is not clear' if full else 'is offline' if offline else 'is busy'}"
    count = len(fitting)
    if len(full) == count:
        return f"the beds of {count} printers that fit are not clear"
    if not full and not (busy and offline):
        return f"the {count} printers that fit are {'busy' if busy else 'offline'}"
    parts = [f"{len(busy)} busy" if busy else "", f"{len(offline)} offline" if offline else ""]
    parts.append(f"{len(full)} with a bed that is not clear" if full else "")
    return f"of the {count} printers that fit, none is ready: {', '.join(part for part in parts if part)}"


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _tagged(printer: PrinterSlot, tag: str) -> bool:
    return any(_same(tag, own) for own in printer.tags)


def _matches(job: QueuedJob, loaded: LoadedMaterial) -> bool:
    return (job.material is None or _same(loaded.type, job.material)) and (
        job.color is None or _same(loaded.color or "", job.color)
    )


def _has_enough(job: QueuedJob, printer: PrinterSlot) -> bool:
    if job.material is None and job.color is None and not printer.materials:
        return True
    needed = max(job.grams or 0.0, _SOME)
    return any(_matches(job, loaded) and _grams(loaded) >= needed for loaded in printer.materials)


def _amount(job: QueuedJob, printers: Sequence[PrinterSlot]) -> str:
    """`45 g of Black PLA`; without the grams where the material is not there at all."""
    words = " ".join(word for word in (job.color, job.material) if word) or "material"
    there = any(_matches(job, loaded) for printer in printers for loaded in printer.materials)
    if not there:
        return words
    return f"{job.grams:.0f} g of {words}" if job.grams and job.grams >= 1 else f"enough {words}"
