"""Both rankings of a day with DuckDB: INPUT DAY THREADS ANSWER."""

import sys

import duckdb

from logs import log_file, write_answer

input_dir, day, threads, answer = sys.argv[1:]

EVENTS = "advertiser_id in (select advertiser_id from active) and date = $day"


def table(log: str) -> str:
    path, format = log_file(input_dir, log)
    if format == "parquet":
        return f"read_parquet('{path}')"
    # DuckDB finds the columns by itself: with columns given, its planner guesses the file's size wrong
    # and builds the join on the side of the events, which takes twice as long.
    if format == "jsonl":
        return f"read_json('{path}', format = 'newline_delimited')"
    return f"read_csv('{path}', header = true)"


connection = duckdb.connect(config={"threads": int(threads)})
connection.execute("set enable_progress_bar = false")
connection.execute(f"create temp table active as from {table('advertiser_ids')}")
top_ctr = connection.execute(
    f"""
    with counts as (
        select advertiser_id, product_id,
               count(*) filter (type = 'impression') as impressions,
               count(*) filter (type = 'click') as clicks
        from {table("ads_views")}
        where {EVENTS}
        group by all
    )
    select advertiser_id,
           row_number() over (
               partition by advertiser_id
               order by clicks / impressions desc, impressions desc, product_id
           ) as rank,
           product_id, impressions, clicks
    from counts
    where impressions > 0
    qualify rank <= 20
    order by advertiser_id, rank
    """,
    {"day": day},
).fetchall()
top_product = connection.execute(
    f"""
    with counts as (
        select advertiser_id, product_id, count(*) as views
        from {table("product_views")}
        where {EVENTS}
        group by all
    )
    select advertiser_id,
           row_number() over (partition by advertiser_id order by views desc, product_id) as rank,
           product_id, views
    from counts
    qualify rank <= 20
    order by advertiser_id, rank
    """,
    {"day": day},
).fetchall()

write_answer(answer, {"TopCTR": top_ctr, "TopProduct": top_product})
