"""Impressions, clicks and views of each active advertiser's products on a day, by Spark: INPUT DAY MASTER ANSWER.

MASTER is Spark's: local-cluster[2,1,1024] is two executors of a core and 1,024 MB each, as processes of their own.
"""

import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

input_dir, day, master, answer = sys.argv[1:]

spark = (
    SparkSession.builder.master(master)
    .appName("sums")
    # As many partitions as are added up by two cores; the default of 200 takes longer.
    .config("spark.sql.shuffle.partitions", "8")
    .config("spark.executor.memory", "1g")
    .config("spark.ui.enabled", "false")
    .config("spark.log.level", "ERROR")
    .getOrCreate()
)


def log(name: str, columns: str) -> DataFrame:
    # With the columns given, Spark does not read the file to find them. Dates stay texts, which is faster.
    return spark.read.csv((Path(input_dir) / f"{name}.csv").absolute().as_uri(), header=True, schema=columns)


active = log("advertiser_ids", "advertiser_id string").distinct()


def events(name: str, columns: str) -> DataFrame:
    of_day = log(name, columns).where(f.col("date") == day)
    return of_day.join(f.broadcast(active), "advertiser_id", "left_semi")


def count(what: str) -> f.Column:
    return f.count(f.when(f.col("type") == what, 1))


ads = events("ads_views", "advertiser_id string, product_id string, type string, date string").select(
    "advertiser_id", "product_id", "type"
)
views = events("product_views", "advertiser_id string, product_id string, date string").select(
    "advertiser_id", "product_id", f.lit("view").alias("type")
)
sums = (
    ads.unionByName(views)
    .groupBy("advertiser_id", "product_id")
    .agg(count("impression").alias("impressions"), count("click").alias("clicks"), count("view").alias("views"))
)
sums.write.mode("overwrite").parquet(Path(answer).absolute().as_uri())
spark.stop()
