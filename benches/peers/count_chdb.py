"""Both rankings of a day with chDB, ClickHouse as a library: INPUT DAY THREADS ANSWER."""

import sys

import chdb

from logs import log_file, write_answer

input_dir, day, threads, answer = sys.argv[1:]

FORMATS = {"parquet": "Parquet", "jsonl": "JSONEachRow"}
COLUMNS = {
    "advertiser_ids": "advertiser_id String",
    "ads_views": "advertiser_id String, product_id String, type String, date Date",
    "product_views": "advertiser_id String, product_id String, date Date",
}
EVENTS = f"""
    date = '{day}' and advertiser_id in (select advertiser_id from TABLE_advertiser_ids)
"""


def query(sql: str) -> list[tuple]:
    for log, columns in COLUMNS.items():
        path, format = log_file(input_dir, log)
        table = f"file('{path}', '{FORMATS.get(format, 'CSVWithNames')}', '{columns}')"
        sql = sql.replace(f"TABLE_{log}", table)
    answer = chdb.query(f"{sql} settings max_threads = {threads}", "TabSeparated")
    return [tuple(line.split("\t")) for line in answer.data().splitlines()]


top_ctr = query(f"""
    select advertiser_id,
           row_number() over (
               partition by advertiser_id
               order by clicks / impressions desc, impressions desc, product_id
           ) as rank,
           product_id, impressions, clicks
    from (
        select advertiser_id, product_id,
               countIf(type = 'impression') as impressions,
               countIf(type = 'click') as clicks
        from TABLE_ads_views
        where {EVENTS}
        group by advertiser_id, product_id
    )
    where impressions > 0
    qualify rank <= 20
    order by advertiser_id, rank
""")
top_product = query(f"""
    select advertiser_id,
           row_number() over (partition by advertiser_id order by views desc, product_id) as rank,
           product_id, views
    from (
        select advertiser_id, product_id, count() as views
        from TABLE_product_views
        where {EVENTS}
        group by advertiser_id, product_id
    )
    qualify rank <= 20
    order by advertiser_id, rank
""")

write_answer(answer, {"TopCTR": top_ctr, "TopProduct": top_product})
