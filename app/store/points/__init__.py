"""Points: an append log, folded into tiles. What was written last about a series and a time is what counts.

`append_log` makes a batch durable as one row; `fold` moves the log into tiles of 256 series by 168 steps; reading lays
what is still in the log over the tiles, so nobody sees the difference.
"""

from app.store.points.batch import PointBatch
from app.store.points.erase import drop_before, erase_series
from app.store.points.folding import FoldReport, fold
from app.store.points.log import append_log, newest_logged, read_log
from app.store.points.read import Grid, read_grids, read_points, stored_values

__all__ = [
    "FoldReport",
    "Grid",
    "PointBatch",
    "append_log",
    "drop_before",
    "erase_series",
    "fold",
    "newest_logged",
    "read_grids",
    "read_log",
    "read_points",
    "stored_values",
]
