"""Both rankings of a day with pandas: INPUT DAY THREADS ANSWER.

pandas reads and groups on one thread, whatever THREADS says.
"""

import sys

import pandas as pd

from log_file import log_file

input_dir, day, _threads, answer = sys.argv[1:]

KEY = ["advertiser_id", "product_id"]

active = pd.read_csv(log_file(input_dir, "advertiser_ids"), dtype=str, keep_default_na=False)["advertiser_id"].unique()


def counts(log: str, columns: list[str]) -> pd.Series:
    """How many lines of the day each group of columns has, for active advertisers."""
    # As categories each text is kept once, and lines are grouped by small integers.
    lines = pd.read_csv(
        log_file(input_dir, log), usecols=[*columns, "date"], dtype="category", keep_default_na=False
    )
    kept = lines[(lines["date"] == day) & lines["advertiser_id"].isin(active)]
    sizes = kept.groupby(columns, observed=True, sort=False).size().reset_index(name="lines")
    return sizes.astype({column: str for column in columns}).set_index(columns)["lines"]


def top(frame: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    ascending = [True] + [False] * len(order) + [True]
    frame = frame.sort_values(["advertiser_id", *order, "product_id"], ascending=ascending)
    frame = frame.assign(rank=frame.groupby("advertiser_id").cumcount() + 1)
    return frame[frame["rank"] <= 20]


ads = counts("ads_views", [*KEY, "type"]).unstack("type", fill_value=0)
ads = ads.reindex(columns=["impression", "click"], fill_value=0).reset_index()
ads = ads.rename(columns={"impression": "impressions", "click": "clicks"})
ads = ads[ads["impressions"] > 0]
ads = ads.assign(ctr=ads["clicks"] / ads["impressions"])
views = counts("product_views", KEY).reset_index(name="views")

answers = [
    ("TopCTR", top(ads, ["ctr", "impressions"])[["advertiser_id", "rank", "product_id", "impressions", "clicks"]]),
    ("TopProduct", top(views, ["views"])[["advertiser_id", "rank", "product_id", "views"]]),
]
with open(answer, "w", encoding="utf-8", newline="\n") as out:
    for model, ranking in answers:
        out.writelines("\t".join(map(str, (model, *row))) + "\n" for row in ranking.itertuples(index=False))
