"""Both rankings of a day with Polars, streaming: INPUT DAY THREADS ANSWER."""

import datetime
import os
import sys

input_dir, day, threads, answer = sys.argv[1:]
# Polars reads it once, when it is imported.
os.environ["POLARS_MAX_THREADS"] = threads

import polars as pl  # noqa: E402

from logs import log_file, write_answer  # noqa: E402

KEY = ["advertiser_id", "product_id"]
COLUMNS = {
    "advertiser_ids": ["advertiser_id"],
    "ads_views": [*KEY, "type", "date"],
    "product_views": [*KEY, "date"],
}


def scan(log: str) -> pl.LazyFrame:
    path, format = log_file(input_dir, log)
    if format == "parquet":
        return pl.scan_parquet(path)
    texts = {column: pl.String for column in COLUMNS[log]}
    if format == "jsonl":
        return pl.scan_ndjson(path, schema=texts)
    # Texts as they are: only the columns named here are overridden, others are never made.
    return pl.scan_csv(path, schema_overrides=texts, infer_schema=False)


active = scan("advertiser_ids").unique()


def events(log: str) -> pl.LazyFrame:
    lines = scan(log).select(COLUMNS[log])
    is_date = lines.collect_schema()["date"] == pl.Date
    wanted = datetime.date.fromisoformat(day) if is_date else day
    return lines.filter(pl.col("date") == wanted).join(active, on="advertiser_id", how="semi")


def top(counts: pl.LazyFrame, order: list[str], columns: list[str]) -> list[tuple]:
    descending = [False] + [True] * len(order) + [False]
    ranked = counts.sort(["advertiser_id", *order, "product_id"], descending=descending)
    ranked = ranked.with_columns(rank=pl.int_range(1, pl.len() + 1).over("advertiser_id"))
    return ranked.filter(pl.col("rank") <= 20).select(columns).collect(engine="streaming").rows()


def count(kind: str) -> pl.Expr:
    return (pl.col("type") == kind).sum().alias(f"{kind}s")


ads = events("ads_views").group_by(KEY).agg(count("impression"), count("click"))
ads = ads.filter(pl.col("impressions") > 0).with_columns(ctr=pl.col("clicks") / pl.col("impressions"))
views = events("product_views").group_by(KEY).agg(pl.len().alias("views"))

write_answer(answer, {
    "TopCTR": top(ads, ["ctr", "impressions"], ["advertiser_id", "rank", "product_id", "impressions", "clicks"]),
    "TopProduct": top(views, ["views"], ["advertiser_id", "rank", "product_id", "views"]),
})
