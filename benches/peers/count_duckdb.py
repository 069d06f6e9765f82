"""Both rankings of a day with DuckDB: INPUT DAY THREADS ANSWER."""

import sys

import duckdb

from log_file import log_file

input_dir, day, threads, answer = sys.argv[1:]

EVENTS = "advertiser_id in (select advertiser_id from active) and date = $day"


def read_csv(log: str) -> str:
    # DuckDB finds the columns by itself: with columns given, its planner guesses the file's size wrong
    # and builds the join on the side of the events, which takes twice as long.
    return f"read_csv('{log_file(input_dir, log)}', header = true)"


connection = duckdb.connect(config={"threads": int(threads)})
connection.execute("set enable_progress_bar = false")
connection.execute(f"create temp table active as from {read_csv('advertiser_ids')}")
top_ctr = connection.execute(
    f"""
    with counts as (
        select advertiser_id, product_id,
               count(*) filter (type = 'impression') as impressions,
               count(*) filter (type = 'click') as clicks
        from {read_csv("ads_views")}
        where {EVENTS}
        group by all
    )
    select 'TopCTR', advertiser_id,
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
        from {read_csv("product_views")}
        where {EVENTS}
        group by all
    )
    select 'TopProduct', advertiser_id,
           row_number() over (partition by advertiser_id order by views desc, product_id) as rank,
           product_id, views
    from counts
    qualify rank <= 20
    order by advertiser_id, rank
    """,
    {"day": day},
).fetchall()

with open(answer, "w", encoding="utf-8", newline="\n") as out:
    out.writelines("\t".join(map(str, row)) + "\n" for row in top_ctr + top_product)
