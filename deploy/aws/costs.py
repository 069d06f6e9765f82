#!/usr/bin/env python3
"""Prints what an installation costs a month, item by item: the table of docs/deploy-aws.md.

    python3 deploy/aws/costs.py

Prices are list prices of us-east-1 in November 2026, without taxes, discounts or free tiers (but for what all accounts have). Those of
Fargate, RDS and balancers were compared with articles of 2026, the others were not; AWS's calculator has the last word. What the sizes
are is said in `SIZES`: change them for yours.
"""

from __future__ import annotations

from dataclasses import dataclass

HOURS, DAYS = 730, 30.4

# Dollars.
VCPU_HOUR, GIB_HOUR, DISK_GIB_HOUR = 0.04048, 0.004445, 0.000111
BALANCER_HOUR, BALANCER_UNIT_HOUR = 0.0225, 0.008
ADDRESS_HOUR = 0.005
DATABASE_HOUR = {"db.t4g.micro": 0.016, "db.t4g.small": 0.032, "db.m7g.large": 0.168}
DATABASE_GIB = 0.115
S3_GIB, S3_1000_PUTS, S3_1000_GETS = 0.023, 0.005, 0.0004
LOG_GIB, ALARM, METRIC, SECRET = 0.50, 0.10, 0.30, 0.40
OUT_GIB, OUT_GIB_FREE = 0.09, 100

ALARMS, METRICS = 10, 4


@dataclass
class Size:
    name: str
    says: str
    tasks: int
    vcpu: float
    gib: float
    requests_per_second: float
    night_vcpu: float
    night_gib: float
    night_hours: float
    night_disk_gib: float
    logs_gib_a_day: float
    database: str
    machines: int
    database_gib: int

    # Of an answer with its headers, what is written into the log a day, and for how long logs lie in the bucket.
    answer_kib = 1.5
    log_gib_a_day = 0.05
    days_kept = 30

    def items(self) -> dict[str, float]:
        out_gib = self.requests_per_second * self.answer_kib / 1024**2 * HOURS * 3600
        # A unit is a gibibyte an hour, 25 new connections a second or 3,000 open ones: of bidders, who keep theirs, bytes count.
        units = max(0.1, out_gib / HOURS)
        disk = max(0, self.night_disk_gib - 20)
        return {
            "API: processors and memory": self.tasks * (self.vcpu * VCPU_HOUR + self.gib * GIB_HOUR) * HOURS,
            "balancer": (BALANCER_HOUR + units * BALANCER_UNIT_HOUR) * HOURS,
            "public addresses (tasks, balancer)": (self.tasks + 2) * ADDRESS_HOUR * HOURS,
            "nights": (self.night_vcpu * VCPU_HOUR + self.night_gib * GIB_HOUR + disk * DISK_GIB_HOUR) * self.night_hours * DAYS,
            "database": self.machines * (DATABASE_HOUR[self.database] * HOURS + self.database_gib * DATABASE_GIB),
            "bucket: logs of 30 days, lake": self.logs_gib_a_day * self.days_kept * 1.05 * S3_GIB + 20 * S3_1000_PUTS + 20 * S3_1000_GETS,
            "logs, alarms, metrics, secret": self.log_gib_a_day * DAYS * LOG_GIB + ALARMS * ALARM + METRICS * METRIC + SECRET,
            "answers to the internet": max(0, out_gib - OUT_GIB_FREE) * OUT_GIB,
        }


SIZES = [
    Size("small", "a try: 1 task of 0.25 vCPU and 1 GiB, 1 request/s, 1 GiB of logs a day", 1, 0.25, 1, 1, 1, 4, 0.1, 30, 1, "db.t4g.micro", 1, 20),
    Size("medium", "the defaults: 2 tasks of 0.5 vCPU and 1 GiB, 100 requests/s, 20 GiB of logs a day", 2, 0.5, 1, 100, 1, 4, 0.5, 30, 20, "db.t4g.micro", 1, 20),
    Size("large", "4 tasks of 2 vCPU and 4 GiB, 2,000 requests/s, 200 GiB of logs a day, a database in two zones", 4, 2, 4, 2000, 4, 16, 1, 100, 200, "db.m7g.large", 2, 100),
]


def table() -> str:
    columns = [size.items() for size in SIZES]
    lines = ["| dollars a month | " + " | ".join(size.name for size in SIZES) + " |", "|---|" + "---:|" * len(SIZES)]
    for item in columns[0]:
        lines.append(f"| {item} | " + " | ".join(f"{column[item]:,.2f}" for column in columns) + " |")
    lines.append("| **all** | " + " | ".join(f"**{sum(column.values()):,.0f}**" for column in columns) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    for size in SIZES:
        print(f"- **{size.name}**: {size.says}")
    print()
    print(table())
