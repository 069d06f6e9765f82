"""Both rankings of a day with Polars, streaming: INPUT DAY THREADS ANSWER."""

import os
import sys

input_dir, day, threads, answer = sys.argv[1:]
# Polars reads it once, when it is imported.
os.environ["POLARS_MAX_THREADS"] = threads

import polars as pl  # noqa: E402

from log_file import log_file  # noqa: E402

KEY = ["advertiser_id", "product_id"]


def scan(log: str, columns: list[str]) -> pl.LazyFrame:
    return pl.scan_csv(log_file(input_dir, log), schema={column: pl.String for column in columns})


active = scan("advertiser_ids", ["advertiser_id"]).unique()


def events(log: str, columns: list[str]) -> pl.LazyFrame:
    return scan(log, columns).filter(pl.col("date") == day).join(active, on="advertiser_id", how="semi")


def top(counts: pl.LazyFrame, order: list[str], columns: list[str]) -> pl.DataFrame:
    descending = [False] + [True] * len(order) + [False]
    ranked = counts.sort(["advertiser_id", *order, "product_id"], descending=descending)
    ranked = ranked.with_columns(rank=pl.int_range(1, pl.len() + 1).over("advertiser_id"))
    return ranked.filter(pl.col("rank") <= 20).select(columns).collect(engine="streaming")


def count(kind: str) -> pl.Expr:
    return (pl.col("type") == kind).sum().alias(f"{kind}s")


ads = events("ads_views", [*KEY, "type", "date"]).group_by(KEY).agg(count("impression"), count("click"))
ads = ads.filter(pl.col("impressions") > 0).with_columns(ctr=pl.col("clicks") / pl.col("impressions"))
views = events("product_views", [*KEY, "date"]).group_by(KEY).agg(pl.len().alias("views"))

answers = [
    ("TopCTR", top(ads, ["ctr", "impressions"], ["advertiser_id", "rank", "product_id", "impressions", "clicks"])),
    ("TopProduct", top(views, ["views"], ["advertiser_id", "rank", "product_id", "views"])),
]
with open(answer, "w", encoding="utf-8", newline="\n") as out:
    for model, ranking in answers:
        out.writelines("\t".join(map(str, (model, *row))) + "\n" for row in ranking.iter_rows())
