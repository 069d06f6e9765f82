"""Both rankings of a day with pandas: INPUT DAY THREADS ANSWER.

pandas groups on one thread, whatever THREADS says. Arrow reads for it, on THREADS threads: pandas' own
reader of CSV takes several times as long.
"""

import datetime
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from logs import log_file, write_answer

input_dir, day, threads, answer = sys.argv[1:]
pa.set_cpu_count(int(threads))

KEY = ["advertiser_id", "product_id"]


def read(log: str, columns: list[str]) -> pd.DataFrame:
    """The columns, as categories: each text is kept once, and lines are grouped by small integers."""
    path, format = log_file(input_dir, log)
    if format == "parquet":
        table = pa.parquet.read_table(path, columns=columns, read_dictionary=columns)
    elif format == "jsonl":
        schema = pa.schema([(column, pa.string()) for column in columns])
        options = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        table = pa.json.read_json(path, parse_options=options)
    else:
        types = {column: pa.dictionary(pa.int32(), pa.string()) for column in columns}
        options = pa.csv.ConvertOptions(column_types=types, include_columns=columns)
        # Arrow decompresses gzip by the end of the name, and zstd too.
        table = pa.csv.read_csv(path, convert_options=options)
    return table.to_pandas(strings_to_categorical=True)


active = read("advertiser_ids", ["advertiser_id"])["advertiser_id"].unique()


def counts(log: str, columns: list[str]) -> pd.Series:
    """How many lines of the day each group of columns has, for active advertisers."""
    lines = read(log, [*columns, "date"])
    dates = lines["date"]
    is_text = isinstance(dates.dtype, pd.CategoricalDtype)
    is_wanted = dates == (day if is_text else datetime.date.fromisoformat(day))
    kept = lines[is_wanted & lines["advertiser_id"].isin(active)]
    sizes = kept.groupby(columns, observed=True, sort=False).size().reset_index(name="lines")
    return sizes.astype({column: str for column in columns}).set_index(columns)["lines"]


def top(frame: pd.DataFrame, order: list[str], columns: list[str]) -> list[tuple]:
    ascending = [True] + [False] * len(order) + [True]
    frame = frame.sort_values(["advertiser_id", *order, "product_id"], ascending=ascending)
    frame = frame.assign(rank=frame.groupby("advertiser_id").cumcount() + 1)
    return list(frame.loc[frame["rank"] <= 20, columns].itertuples(index=False))


ads = counts("ads_views", [*KEY, "type"]).unstack("type", fill_value=0)
ads = ads.reindex(columns=["impression", "click"], fill_value=0).reset_index()
ads = ads.rename(columns={"impression": "impressions", "click": "clicks"})
ads = ads[ads["impressions"] > 0]
ads = ads.assign(ctr=ads["clicks"] / ads["impressions"])
views = counts("product_views", KEY).reset_index(name="views")

write_answer(answer, {
    "TopCTR": top(ads, ["ctr", "impressions"], ["advertiser_id", "rank", "product_id", "impressions", "clicks"]),
    "TopProduct": top(views, ["views"], ["advertiser_id", "rank", "product_id", "views"]),
})
