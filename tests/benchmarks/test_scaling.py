"""The scaling rule against Celery's and KEDA's, on arrivals as they come."""

from __future__ import annotations

import pytest

from benchmarks import scaling
from benchmarks.arrivals import percentile
from benchmarks.scaling import PATTERNS, RULES, Celery, Outcome, simulate
from tests.kubernetes_files import KUBERNETES, documents

#: A day takes long; a quarter of it shows the same.
LENGTHS_S = {"step": 600.0, "bursts": 480.0, "daily": 900.0}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, Outcome]]:
    return {
        pattern: {
            name: simulate(RULES[name](), PATTERNS[pattern][0], length_s)
            for name in ("celeriac", "celeriac, pods", "celery", "keda")
        }
        for pattern, length_s in LENGTHS_S.items()
    }


def p95_s(outcome: Outcome) -> float:
    return percentile(outcome.waits, 95)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", ["celeriac", "celeriac, pods"])
def test_it_never_flaps(outcomes: dict[str, dict[str, Outcome]], pattern: str, name: str) -> None:
    assert outcomes[pattern][name].flaps == 0


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", ["celeriac", "celeriac, pods"])
def test_it_waits_less_than_keda_and_costs_less(
    outcomes: dict[str, dict[str, Outcome]], pattern: str, name: str
) -> None:
    ours, keda = outcomes[pattern][name], outcomes[pattern]["keda"]

    assert p95_s(ours) < p95_s(keda)
    assert ours.core_seconds < keda.core_seconds


@pytest.mark.parametrize("pattern", ["step", "daily"])
def test_it_costs_less_than_celery_and_waits_no_longer(outcomes: dict[str, dict[str, Outcome]], pattern: str) -> None:
    ours, celery = outcomes[pattern]["celeriac"], outcomes[pattern]["celery"]

    assert p95_s(ours) == pytest.approx(p95_s(celery), abs=0.1)
    assert ours.core_seconds < celery.core_seconds / 2


def test_in_bursts_it_waits_less_than_celery_at_the_same_cost(outcomes: dict[str, dict[str, Outcome]]) -> None:
    ours = outcomes["bursts"]["celeriac"]
    celery = simulate(Celery(most=12), PATTERNS["bursts"][0], LENGTHS_S["bursts"])

    assert ours.core_seconds < celery.core_seconds
    assert p95_s(ours) < p95_s(celery)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_request_is_served(outcomes: dict[str, dict[str, Outcome]], pattern: str) -> None:
    served = {len(outcome.waits) for outcome in outcomes[pattern].values()}

    assert len(served) == 1
    assert served.pop() > 1000


def test_pods_are_simulated_as_the_manifests_have_them() -> None:
    (manifest,) = documents(KUBERNETES / "keda" / "scaling.yaml")
    (workers,) = documents(KUBERNETES / "keda" / "workers.yaml")
    (container,) = workers["spec"]["template"]["spec"]["containers"]
    behaviour = manifest["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    up, down = behaviour["scaleUp"], behaviour["scaleDown"]

    assert container["env"] == [{"name": "CELERIAC_SCALE_DRAIN_S", "value": f"{scaling.PODS_DRAIN_S:g}"}]
    assert up["stabilizationWindowSeconds"] == 0
    assert down["stabilizationWindowSeconds"] == scaling._PODS_WINDOW_S
    assert {policy["type"]: policy["value"] for policy in up["policies"]} == {
        "Percent": (scaling._PODS_UP - 1) * 100,
        "Pods": scaling._PODS_UP_LEAST,
    }
    assert {policy["periodSeconds"] for policy in up["policies"]} == {scaling._HPA_SYNC_S}
    assert {policy["type"]: policy["value"] for policy in down["policies"]} == {
        "Percent": (1 - scaling._PODS_DOWN) * 100,
        "Pods": 1,
    }
    assert {policy["periodSeconds"] for policy in down["policies"]} == {scaling._PODS_DOWN_S}
