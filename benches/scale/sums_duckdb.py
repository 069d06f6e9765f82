"""Impressions, clicks and views of each active advertiser's products on a day, by DuckDB: INPUT DAY THREADS ANSWER."""

import sys
from pathlib import Path

import duckdb

input_dir, day, threads, answer = sys.argv[1:]
Path(answer).mkdir(parents=True, exist_ok=True)


def table(log: str) -> str:
    # DuckDB finds the columns by itself: with columns given, its planner guesses the file's size wrong.
    return f"read_csv('{Path(input_dir) / log}.csv', header = true)"


connection = duckdb.connect(config={"threads": int(threads)})
connection.execute("set enable_progress_bar = false")
connection.execute("set preserve_insertion_order = false")
connection.execute(f"create temp table active as from {table('advertiser_ids')}")
where = f"where date = '{day}' and advertiser_id in (select advertiser_id from active)"
connection.execute(
    f"""
    copy (
        select advertiser_id, product_id,
               count(*) filter (type = 'impression') as impressions,
               count(*) filter (type = 'click') as clicks,
               count(*) filter (type = 'view') as views
        from (
            select advertiser_id, product_id, type from {table("ads_views")} {where}
            union all
            select advertiser_id, product_id, 'view' as type from {table("product_views")} {where}
        )
        group by all
    ) to '{Path(answer) / "sums.parquet"}' (format parquet)
    """
)
