"""Both rankings of a day with DataFusion: INPUT DAY THREADS ANSWER."""

import os
import sys

input_dir, day, threads, answer = sys.argv[1:]
# The runtime reads it once, when it is started.
os.environ["TOKIO_WORKER_THREADS"] = threads

import pyarrow as pa  # noqa: E402
from datafusion import SessionConfig, SessionContext  # noqa: E402

from logs import log_file, write_answer  # noqa: E402

COLUMNS = {
    "advertiser_ids": ["advertiser_id"],
    "ads_views": ["advertiser_id", "product_id", "type", "date"],
    "product_views": ["advertiser_id", "product_id", "date"],
}


def events(log: str) -> str:
    # A join, and the short list first: of "advertiser_id in (select …)" DataFusion builds its hash table
    # on the side of the events, which takes twice the time and ten gigabytes.
    active = "(select distinct advertiser_id from advertiser_ids) as active"
    return f"{active} join {log} as events on active.advertiser_id = events.advertiser_id where date = '{day}'"



def texts(columns: list[str]) -> pa.Schema:
    return pa.schema([(column, pa.string_view()) for column in columns])


context = SessionContext(SessionConfig().with_target_partitions(int(threads)))
for log, columns in COLUMNS.items():
    path, format = log_file(input_dir, log)
    if format == "parquet":
        context.register_parquet(log, path)
    elif format == "jsonl":
        context.register_json(log, path, schema=texts(columns), file_extension=".jsonl")
    else:
        compression = {"csv.gz": "gzip", "csv.zst": "zstd"}.get(format)
        how = {"file_extension": f".{format}", "file_compression_type": compression}
        # The columns of a CSV are known by their places: all must be named.
        found = context.read_csv(path, schema_infer_max_records=1, **how).schema().names
        context.register_csv(log, path, schema=texts(found), **how)


def query(sql: str) -> list[tuple]:
    rows = context.sql(sql).to_arrow_table()
    return list(zip(*(column.to_pylist() for column in rows.columns), strict=True))


top_ctr = query(f"""
    select advertiser_id, rank, product_id, impressions, clicks
    from (
        select *,
               row_number() over (
                   partition by advertiser_id
                   order by cast(clicks as double) / impressions desc, impressions desc, product_id
               ) as rank
        from (
            select events.advertiser_id, product_id,
                   count(*) filter (where type = 'impression') as impressions,
                   count(*) filter (where type = 'click') as clicks
            from {events("ads_views")}
            group by events.advertiser_id, product_id
        )
        where impressions > 0
    )
    where rank <= 20
    order by advertiser_id, rank
""")
top_product = query(f"""
    select advertiser_id, rank, product_id, views
    from (
        select *, row_number() over (partition by advertiser_id order by views desc, product_id) as rank
        from (
            select events.advertiser_id, product_id, count(*) as views
            from {events("product_views")}
            group by events.advertiser_id, product_id
        )
    )
    where rank <= 20
    order by advertiser_id, rank
""")

write_answer(answer, {"TopCTR": top_ctr, "TopProduct": top_product})
