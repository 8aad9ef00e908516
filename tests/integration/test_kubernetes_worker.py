"""A real worker with the command and the environment of the manifests answers what a kubelet and KEDA ask."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from examples.local_stack import LocalServer
from tests.kubernetes_files import KUBERNETES, build
from tests.monitored_worker import MonitoredWorker

POD = "celeriac-sentiment-6c9d8b7f5-x2x4z"


def test_a_worker_from_the_manifests_answers_its_probes_and_the_autoscaler(
    own_server: LocalServer, tmp_path: Path
) -> None:
    found = {(one["kind"], one["metadata"]["name"]): one for one in build(KUBERNETES / "base", ("keda",))}
    (container,) = found["Deployment", "celeriac-sentiment"]["spec"]["template"]["spec"]["containers"]
    (trigger,) = found["ScaledObject", "celeriac-sentiment"]["spec"]["triggers"]
    environment = {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
    # What the cluster would fill in.
    environment |= {"CELERIAC_BROKER_URL": own_server.url, "CELERIAC_CORES_LEASE_DIR": str(tmp_path)}
    arguments = [argument.replace("$(POD_NAME)", POD) for argument in container["command"][4:]]

    with MonitoredWorker(arguments, environment) as worker:
        worker.wait_until_ready()
        worker.wait_for(worker.is_ready)
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert worker.get(container[probe]["httpGet"]["path"])[0] == 200, probe
        scale = urlsplit(trigger["metadata"]["url"]).path
        worker.wait_for(lambda: worker.get(scale)[0] == 200)

        assert worker.json(scale)[1][trigger["metadata"]["valueLocation"]] == 1
        assert f"celery@{POD}" in worker.log
        own_server.stop()
        worker.wait_for(lambda: not worker.is_ready())
        assert worker.get(container["livenessProbe"]["httpGet"]["path"])[0] == 200
        own_server.start()
        worker.wait_for(worker.is_ready)
