"""Calls every read method of marquez-python and prints what each gave; runs where that client is installed, and nothing of ours is."""

import json
import sys

from marquez_client import MarquezClient
from marquez_client.errors import APIError

url, key = sys.argv[1:]
client = MarquezClient(url=url, api_key=key)
lake = "s3://ml-bucket"
run = "0192aaaa-0000-7000-8000-000000000002"
version = client.get_dataset(lake, "features/users")["currentVersion"]


def names(found):
    return [one["name"] for one in found]


def refused(ask):
    try:
        ask()
    except APIError as error:
        return error.__cause__.response.status_code
    return None


print(
    json.dumps(
        {
            "list_namespaces": names(client.list_namespaces()["namespaces"]),
            "list_namespaces, second page": names(client.list_namespaces(limit=1, offset=1)["namespaces"]),
            "get_namespace": client.get_namespace(lake)["ownerName"],
            "list_sources": names(client.list_sources()["sources"]),
            "get_source": client.get_source("default")["connectionUrl"],
            "list_tags": client.list_tags(),
            "list_datasets": names(client.list_datasets(lake)["datasets"]),
            "list_datasets, second page": names(client.list_datasets(lake, limit=1, offset=1)["datasets"]),
            "get_dataset": names(client.get_dataset(lake, "features/users")["fields"]),
            "list_dataset_versions": [
                one["version"] == version for one in client.list_dataset_versions(lake, "features/users")["versions"]
            ],
            "get_dataset_version": client.get_dataset_version(lake, "features/users", version)["facets"]["version"]["datasetVersion"],
            "list_jobs": names(client.list_jobs("ml-pipelines")["jobs"]),
            "get_job": client.get_job("ml-pipelines", "train.churn")["latestRun"]["id"],
            "list_job_runs": [one["id"] for one in client.list_job_runs("ml-pipelines", "train.churn")["runs"]],
            "get_job_run": client.get_job_run(run)["state"],
            "get_column_lineage_by_dataset_field": len(client.get_column_lineage_by_dataset_field(lake, "features/users", "id")["graph"]),
            "get_column_lineage_by_dataset": len(
                client.get_column_lineage_by_dataset(lake, "features/users", with_downstream=True)["graph"]
            ),
            "get_column_lineage_by_dataset, of a version": len(
                client.get_column_lineage_by_dataset(lake, "features/users", version=version)["graph"]
            ),
            "get_column_lineage_by_job": len(client.get_column_lineage_by_job("ml-pipelines", "featurize.users", depth=2)["graph"]),
            "list_events": client.list_events()["totalCount"],
            "list_events, one": [one["job"]["name"] for one in client.list_events(limit=1)["events"]],
            "get_namespace of none": refused(lambda: client.get_namespace("nowhere")),
            "get_dataset of none": refused(lambda: client.get_dataset(lake, "nope")),
            "get_job of none": refused(lambda: client.get_job("ml-pipelines", "nope")),
            "get_job_run of none": refused(lambda: client.get_job_run("00000000-0000-4000-8000-000000000000")),
            "create_namespace": refused(lambda: client.create_namespace("n", "me")),
            "create_tag": refused(lambda: client.create_tag("pii")),
            "tag_dataset": refused(lambda: client.tag_dataset(lake, "features/users", "pii")),
        }
    )
)
