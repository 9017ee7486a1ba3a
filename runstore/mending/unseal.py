"""Take a damaged sealed file apart: each file in it stands on its own again, and is mended.

What was sealed and is whole is copied out as it is. The sealed file is renamed at the end, to
`<file>.damaged`; until then what it holds is read from it, or from the files made so far. It is
made anew by compacting the run again.
"""

from __future__ import annotations

from runstore import layout
from runstore.lines.part import Part, checksum, is_same
from runstore.lines.scan import Scan
from runstore.mending.mender import Mender, is_damaged
from runstore.mending.rebuild import add_misplaced
from runstore.reading.inventory import Inventory, attempt_misfit
from runstore.reading.sealed import Seal


def take_apart(mender: Mender, inventory: Inventory) -> bool:
    """Take the damaged sealed files of a run apart; put files aside that contradict whole ones.

    Returns:
        Whether there was anything to do.
    """
    unsealing = _Unsealing(mender, inventory)
    has_put_aside = unsealing.put_twins_aside()
    return unsealing.take_apart() or has_put_aside


class _Unsealing:
    """The work at the sealed files of one run."""

    def __init__(self, mender: Mender, inventory: Inventory) -> None:
        self._mender = mender
        self._inventory = inventory
        self._parts = inventory.parts
        self._seals = inventory.parts.seals
        self._names = list(dict.fromkeys(name for seal in self._seals for name in seal.entries))
        self._whole = {name: self._whole_copy(name) for name in self._names}
        self._loose = {name for name in self._names if self._parts.is_loose(name)}

    def _whole_copy(self, name: str) -> Part | None:
        """The part of a sealed file that holds, byte for byte, what was sealed under a name."""
        copies = self._parts.sealed(name)
        return next((part for part in copies if not self._is_changed(name, part)), None)

    def _is_changed(self, name: str, part: Part) -> bool:
        return checksum(part) != part.crc32 or self._is_foreign(name, part)

    def _is_foreign(self, name: str, part: Part) -> bool:
        """Tell whether a part is of another run: the sealed file is one of that."""
        segment = layout.parse_run_file(name)
        if segment is not None:
            return self._inventory.foreign.get(segment) == "wrong-file"
        key = layout.parse_attempt_file(name.rpartition("/")[2])
        first = next(iter(Scan(part)), None)
        if key is None or first is None:
            return False
        return attempt_misfit(self._inventory.run_id, key, first) == "wrong-file"

    def put_twins_aside(self) -> bool:
        """Put aside files of their own that are not what was sealed, where that is whole."""
        for name in sorted(self._loose):
            whole = self._whole[name]
            if whole is not None and not is_same(self._parts.loose(name), whole):
                self._mender.set_aside(self._path(name))
                self._loose.remove(name)
        return len(self._loose) < sum(map(self._parts.is_loose, self._names))

    def take_apart(self) -> bool:
        """Give every name a file of its own if a sealed file is damaged, and put that aside."""
        damaged = [seal for seal in self._seals if self._is_damaged(seal)]
        for seal in damaged:
            self._fill_pool(seal)
        for name in self._names if damaged else []:
            self._give_own_file(name)
        for seal in damaged:
            self._mender.set_aside(seal.path, "taken apart")
        return bool(damaged)

    def _is_damaged(self, seal: Seal) -> bool:
        newer = [flaw for flaw in seal.flaws if flaw.code == "bad-version"]
        if newer:
            self._mender.leave(seal.path, newer[0].detail)
            return False
        return not seal.is_exact or any(self._is_changed(*each) for each in seal.parts.items())

    def _fill_pool(self, seal: Seal) -> None:
        """Collect the records of a sealed file that stand in the wrong part, or between two."""
        for part in seal.parts.values():
            add_misplaced(part, None, self._mender.pool)
        for stray in seal.strays:
            self._mender.collect(stray)

    def _give_own_file(self, name: str) -> None:
        path, whole, copies = self._path(name), self._whole[name], self._parts.sealed(name)
        last = next(seal.entries[name].last for seal in self._seals if name in seal.entries)
        if name in self._loose:
            own = self._parts.loose(name)
            if whole is None and is_damaged(own, last):
                self._mender.mend(path, own, last)
        elif whole is not None:
            self._mender.put(path, whole)
        elif not copies:
            self._mender.mend(path, None, last)
        elif not self._is_foreign(name, copies[0]):
            self._mender.mend(path, copies[0], last)

    def _path(self, name: str) -> str:
        return f"{self._inventory.folder}/{name}"
