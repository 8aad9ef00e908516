"""Alerts, dashboard and compose file name what exists."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from worker.observability.metrics.families import FAMILIES, Kind

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SUFFIXES = ("_bucket", "_sum", "_count")
#: Every name that a query may use.
NAMES = {
    name
    for family in FAMILIES.values()
    for name in (
        [family.full_name + suffix for suffix in SUFFIXES] if family.kind is Kind.HISTOGRAM else [family.full_name]
    )
}


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def rules() -> list[dict[str, Any]]:
    return [rule for group in load(DEPLOY / "prometheus" / "alerts.yml")["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "celeriac.json").read_text(encoding="utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Any]:
    for rule in rules():
        yield pytest.param(rule["expr"], id=rule["alert"])
    for panel in panels():
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")


def labels_of(name: str) -> set[str]:
    """Labels of a metric, by any name of it."""
    names = {name, *(name.removesuffix(suffix) for suffix in SUFFIXES)}
    (family,) = (family for family in FAMILIES.values() if family.full_name in names)
    return {*family.labels, "instance", "job", *(["le"] if family.kind is Kind.HISTOGRAM else [])}


@pytest.mark.parametrize("query", list(queries()))
def test_a_query_names_metrics_and_labels_that_exist(query: str) -> None:
    named = set(re.findall(r"celeriac_[a-z_]+", query))
    assert named or query.startswith("up{")
    assert named <= NAMES

    for name, selector in re.findall(r"(celeriac_[a-z_]+)\{([^}]*)\}", query):
        assert set(re.findall(r"(\w+)[=!]~?\"", selector)) <= labels_of(name)
    for grouping in re.findall(r"by \(([^)]*)\)", query):
        wanted = {label.strip() for label in grouping.split(",")}
        assert all(wanted <= labels_of(name) for name in named), grouping


def test_every_metric_is_documented_and_every_documented_metric_exists() -> None:
    documented = set(re.findall(r"^\| `(celeriac_[a-z_]+)`", OPERATIONS, flags=re.MULTILINE))

    assert documented == {family.full_name for family in FAMILIES.values()}


def test_what_to_do_is_documented_for_every_alert() -> None:
    documented = re.findall(r"^\| `(Celeriac[A-Za-z]+)`", OPERATIONS, flags=re.MULTILINE)

    assert documented == [rule["alert"] for rule in rules()]
    assert all(rule["labels"]["severity"] in {"info", "warning", "critical"} for rule in rules())
    assert all(rule["annotations"]["summary"] for rule in rules())


def test_prometheus_scrapes_every_worker_on_the_port_that_it_listens_on() -> None:
    services = load(ROOT / "docker-compose.yml")["services"]
    workers = {name: service for name, service in services.items() if "cpuset" in service}
    (job,) = load(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    (found,) = job["dns_sd_configs"]

    assert set(found["names"]) == set(workers)
    for service in workers.values():
        assert service["environment"]["CELERIAC_METRICS_PORT"] == str(found["port"])
        assert service["environment"]["CELERIAC_METRICS_HOST"] == "0.0.0.0"  # noqa: S104 - in a container
        assert service["expose"] == [str(found["port"])]
    assert "CELERIAC_METRICS_PORT" not in services["flower"]["environment"]


def test_prometheus_and_grafana_come_with_a_profile_and_what_they_mount_exists() -> None:
    services = load(ROOT / "docker-compose.yml")["services"]
    prometheus, grafana = services["prometheus"], services["grafana"]

    assert prometheus["profiles"] == grafana["profiles"] == ["monitoring"]
    mounted = [volume.split(":")[0] for service in (prometheus, grafana) for volume in service["volumes"]]
    assert all((ROOT / path).exists() for path in mounted if path.startswith("./"))
    targets = {volume.split(":")[0]: volume.split(":")[1] for volume in grafana["volumes"]}
    (provider,) = load(DEPLOY / "grafana" / "provisioning" / "dashboards" / "celeriac.yml")["providers"]
    assert targets["./deploy/grafana/dashboards"] == provider["options"]["path"]
    (source,) = load(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    assert {panel["datasource"]["uid"] for panel in panels()} == {source["uid"]}


def test_grafana_does_not_start_without_a_password() -> None:
    shell, option, script = load(ROOT / "docker-compose.yml")["services"]["grafana"]["entrypoint"]
    script = script.replace("$$", "$").replace("/run.sh", "echo started")

    refused = subprocess.run([shell, option, script], capture_output=True, text=True, check=False, env={})
    started = subprocess.run(
        [shell, option, script], capture_output=True, text=True, check=False, env={"GF_SECURITY_ADMIN_PASSWORD": "a"}
    )

    assert (refused.returncode, refused.stderr) == (78, "set GRAFANA_PASSWORD\n")
    assert started.stdout == "started\n"
