"""The objects of an attempt, for servers of several versions."""

import json

import msgspec
import pytest
from kubernetes_samples import GIB, order, settings

from fenglin.drivers.kubernetes import manifests, names
from fenglin.drivers.kubernetes.manifests import Mode, choose_mode, of_task, template
from fenglin.drivers.kubernetes.views import Claim
from fenglin.errors import InputError
from fenglin.quantities.resources import Resources

ARRAY = {"tasks": "3,7-8,400", "task_count": 900}


@pytest.mark.parametrize(
    ("count", "version", "mode"),
    [
        (1, (1, 33), Mode.SINGLE),
        (2, (1, 20), Mode.TASKS),
        (2, (1, 23), Mode.TASKS),
        (2, (1, 24), Mode.INDEXED),
        (2, (1, 28), Mode.INDEXED),
        (2, (1, 29), Mode.PER_INDEX),
        (2, (2, 0), Mode.PER_INDEX),
    ],
)
def test_arrays_are_indexed_where_the_server_can(count, version, mode):
    assert choose_mode(count, version) is mode


def test_an_indexed_job_has_as_many_pods_as_slots():
    spec = template(order(**ARRAY), Mode.PER_INDEX, settings(), "")["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    assert (spec["backoffLimitPerIndex"], spec["podReplacementPolicy"]) == (0, "Failed")
    assert "backoffLimit" not in spec
    (container,) = spec["template"]["spec"]["containers"]
    assert container["command"] == ["/bin/sh", "/run/fenglin/job/run"]


def test_before_each_index_failed_for_itself_none_may_fail():
    spec = template(order(**ARRAY), Mode.INDEXED, settings(), "")["spec"]
    assert (spec["completionMode"], spec["backoffLimit"]) == ("Indexed", 0)
    assert "backoffLimitPerIndex" not in spec


def test_a_job_for_each_task_where_there_are_no_indices():
    job = template(order(**ARRAY), Mode.TASKS, settings(), "")
    before = json.dumps(job)
    own = of_task(job, "h1-a1-1", 400)
    assert own["metadata"]["name"] == "fenglin-h1-a1-1-400"
    assert own["metadata"]["labels"][names.TASK] == "400"
    assert own["spec"]["template"]["metadata"]["labels"][names.TASK] == "400"
    (container,) = own["spec"]["template"]["spec"]["containers"]
    assert container["command"][-1] == "400"
    assert (own["spec"]["completions"], own["spec"]["backoffLimit"]) == (1, 0)
    assert json.dumps(job) == before


def test_a_pod_gets_what_the_task_asked_for_and_no_more():
    need = Resources(100, GIB, 5 * GIB, 1_500)
    job = template(order(resources=need, flavor="gpu"), Mode.SINGLE, settings(), "nvidia.com/gpu")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    amounts = container["resources"]["limits"]
    assert amounts == container["resources"]["requests"] == {
        "cpu": "100m", "memory": str(GIB), "ephemeral-storage": str(5 * GIB),
        "nvidia.com/gpu": "2",
    }  # fmt: skip
    assert pod["automountServiceAccountToken"] is False
    assert pod["restartPolicy"] == "Never"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip


def test_what_the_operator_wants_of_pods():
    own = settings(
        non_root=True, run_as=1000, service_account="tasks", pull_secret="registry",
        group={"cpu": {"selector": {"pool": "batch"}, "tolerations": ["own=batch:NoSchedule"]}},
    )  # fmt: skip
    pod = template(order(), Mode.SINGLE, own, "")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["serviceAccountName"] == "tasks"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["nodeSelector"] == {"pool": "batch"}
    assert pod["tolerations"] == [
        {"key": "own", "operator": "Equal", "value": "batch", "effect": "NoSchedule"}
    ]


def test_jobs_are_handed_to_kueue_asleep():
    own = settings(queue="team", group={"gpu": {"queue": "cards"}})
    job = template(order(), Mode.SINGLE, own, "")
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    job = template(order(flavor="gpu"), Mode.SINGLE, own, "")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "cards"
    assert "suspend" not in template(order(), Mode.SINGLE, settings(), "")["spec"]


def test_the_job_image_comes_before_the_sites():
    def image(**fields):
        job = template(order(**fields), Mode.SINGLE, settings(), "")
        return job["spec"]["template"]["spec"]["containers"][0]["image"]

    assert image() == "debian:12"
    assert image(image="r.example/x@sha256:00") == "r.example/x@sha256:00"


def test_a_name_is_for_people_and_breaks_nothing():
    job = template(order(job_name="a\x1b[2J\0\n峰林" + "x" * 9_000), Mode.SINGLE, settings(), "")
    shown = job["metadata"]["annotations"][names.JOB_NAME]
    assert shown.startswith("a[2J峰林x")
    assert len(shown) == 1_000


@pytest.mark.parametrize("key", ["", "x-a1-1", "H1-a1-1", "../h1-a1-1", "h1-a1-0", "h1-a1-1\n"])
def test_only_keys_of_this_hub_become_names(key):
    with pytest.raises(InputError):
        names.checked_key(key, "h1" if key != "H1-a1-1" else "H1")
    assert names.checked_key("h1-a1-1", "h1") == "h1-a1-1"


def test_the_claim_tells_how_to_go_on():
    terms = manifests.Terms("0-9", 4, Mode.TASKS, 100, ("*.png",), "/a", ("in",))
    data = {manifests.TERMS: msgspec.json.encode(terms).decode()}
    assert manifests.terms_of(Claim(data=data)) == terms
    assert manifests.terms_of(Claim()) is None
    with pytest.raises(ValueError, match="truncated"):
        manifests.terms_of(Claim(data={manifests.TERMS: "{"}))
