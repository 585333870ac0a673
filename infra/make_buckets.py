"""Make the buckets named on the command line; those that are there stay. Address and keys: AWS_* of boto3."""

import sys

import boto3


def main(names: list[str]) -> None:
    client = boto3.client("s3")
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in names:
        if name not in there:
            client.create_bucket(Bucket=name)
        print(f"{name}: {'was there' if name in there else 'made'}")


if __name__ == "__main__":
    main(sys.argv[1:])
