"""Makes the buckets of compose.yaml, and puts sample logs into one.

    python buckets.py ENDPOINT FOLDER
"""

import pathlib
import sys

import boto3

endpoint, folder = sys.argv[1], pathlib.Path(sys.argv[2])
s3 = boto3.client(
    "s3",
    endpoint_url=endpoint,
    region_name="us-east-1",
    aws_access_key_id="sample",
    aws_secret_access_key="sample",
)
for bucket in ["logs", "lake"]:
    s3.create_bucket(Bucket=bucket)
files = [file for file in folder.rglob("*") if file.is_file()]
for file in files:
    s3.upload_file(str(file), "logs", file.relative_to(folder).as_posix())
print(f"{len(files)} files in s3://logs")
sys.exit(0 if files else "no sample logs were found")
