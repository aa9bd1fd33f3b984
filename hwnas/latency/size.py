"""How large a network's model file will be, from the sizes of its operators' files."""

from __future__ import annotations

from hwnas.errors import TableError
from hwnas.latency.table import LatencyTable, row_key
from hwnas.network import Network


def predict_file_bytes(table: LatencyTable, network: Network) -> int:
    """The operators' files added up; what every file holds beside its operators is counted once.

    Raises:
        TableError: an operator's file was not measured.
    """
    keys = [row_key(operator, shape) for operator, shape in network.links]
    if missing := [key for key in keys if key not in table.file_bytes]:
        raise TableError(
            f"{len(missing)} of {len(keys)} operators have no file size, first {missing[0][0]} {missing[0][1]}",
            where=str(table.path),
            allowed="A row that `hwnas bench` writes holds its file's size",
            do="Measure the rows again into a new table, or leave out the limit on the file size",
        )
    return sum(table.file_bytes[key] for key in keys) - (len(keys) - 1) * table.overhead_bytes
