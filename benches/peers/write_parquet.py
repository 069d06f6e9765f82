"""The logs of a folder as Parquet, written by DuckDB as it writes by itself but with zstd: FROM TO.

DuckDB finds the types of the columns: the date becomes a DATE, everything else text.
"""

import sys
from pathlib import Path

import duckdb

source, target = map(Path, sys.argv[1:])
target.mkdir(parents=True, exist_ok=True)

connection = duckdb.connect()
connection.execute("set enable_progress_bar = false")
written = []
for log in ["advertiser_ids", "ads_views", "product_views"]:
    unnamed = target / f".{log}.partial"
    connection.execute(
        f"copy (from read_csv('{source / log}.csv', header = true)) to '{unnamed}' (format parquet, compression zstd)"
    )
    written.append((unnamed, target / f"{log}.parquet"))
for unnamed, named in written:
    unnamed.rename(named)
