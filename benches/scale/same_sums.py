"""Fails unless Parquet files hold the same sums of the same products, in any order: OURS THEIRS, each a pattern of names."""

import sys

import duckdb

ours, theirs = (f"read_parquet('{files}', hive_partitioning = false)" for files in sys.argv[1:])
columns = "advertiser_id::varchar, product_id::varchar, impressions::bigint, clicks::bigint, views::bigint"


def rows(of: str) -> str:
    return f"select {columns} from {of}"


differences = duckdb.execute(
    f"""
    select count(*) from (
        (({rows(ours)}) except all ({rows(theirs)})) union all (({rows(theirs)}) except all ({rows(ours)}))
    )
    """
).fetchone()[0]
there = duckdb.execute(f"select count(*) from {ours}").fetchone()[0]
if differences or not there:
    sys.exit(f"{differences} rows of {there} differ")
