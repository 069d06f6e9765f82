"""What topshelf has published for a day, in the form of the peers' answers: DATABASE DAY ANSWER."""

import sqlite3
import sys

database, day, answer = sys.argv[1:]

COLUMNS = {
    "TopCTR": ("top_ctr", "advertiser_id, rank, product_id, impressions, clicks"),
    "TopProduct": ("top_product", "advertiser_id, rank, product_id, views"),
}

connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
with open(answer, "w", encoding="utf-8", newline="\n") as out:
    for model, (view, columns) in COLUMNS.items():
        # The id's bytes decide, not the database's idea of text.
        query = f"select {columns} from {view} where day = ? order by cast(advertiser_id as blob), rank"
        out.writelines("\t".join(map(str, (model, *row))) + "\n" for row in connection.execute(query, (day,)))
