"""Size of a network's model file, predicted from the sizes of its operators' files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from hwnas.errors import TableError
from hwnas.measure.table import LatencyTable, check_key
from hwnas.measure.table_lines import RowKey
from hwnas.network import Network


def size_kib_of(table: LatencyTable, **_: object) -> Callable[[Network], float] | None:
    """Return a function from a network to the KiB of its file; None if the table holds no sizes."""
    return (lambda network: predict_file_bytes(table, network) / 1024) if table.file_bytes else None


def predict_file_bytes(table: LatencyTable, network: Network) -> int:
    """Return the operators' files added up, less what joining two of them saves.

    Raises:
        TableError: an operator's file was not measured.
    """
    keys = check_key(network)
    if missing := [key for key in keys if key not in table.file_bytes]:
        raise TableError(
            f"{len(missing)} of {len(keys)} operators have no file size, first {missing[0][0]} {missing[0][1]}",
            where=str(table.path),
            allowed="A row that `hwnas bench` writes holds its file's size",
            do="Measure the rows again into a new table, or leave out the limit on the file size",
        )
    return _together(table, keys) - round((len(keys) - 1) * saved_by_joining(table))


def saved_by_joining(table: LatencyTable) -> float:
    """Return the bytes that two operators in one file save against two files.

    This is the median of what the table's whole networks saved; without one, the identity's file: what every file holds
    beside its operators. The second is too much for TFLite, which keeps names and shapes of the tensors between
    operators.
    """
    saved = [
        (_together(table, keys) - size) / (len(keys) - 1)
        for keys, size in table.check_bytes.items()
        if len(keys) > 1 and all(key in table.file_bytes for key in keys)
    ]
    return median(saved) if saved else table.overhead_bytes


def _together(table: LatencyTable, keys: Sequence[RowKey]) -> int:
    return sum(table.file_bytes[key] for key in keys)
