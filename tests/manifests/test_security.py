"""What a pod may do, who may change what, and who may talk to whom: no more than the work needs."""

import re

import yaml

from tests.manifests.rendered import (
    MANIFESTS,
    ROOT,
    Manifest,
    containers,
    named,
    of_kind,
    pods,
    rendered,
    selects,
)

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


def test_every_container_is_admitted_by_the_restricted_level(objects: tuple[Manifest, ...]) -> None:
    assert len(dict(containers(objects))) >= 3
    for name, found in containers(objects):
        context = found["securityContext"]
        assert context == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
    for name, template in pods(objects).items():
        context = template["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        # A number, and the one that the image has: the kubelet cannot tell whether a name is root.
        assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in (ROOT / "Containerfile").read_text()
        assert context["runAsUser"] > 0
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & template["spec"].keys()
        assert not [volume for volume in template["spec"]["volumes"] if "hostPath" in volume]


def test_every_container_writes_only_to_volumes_and_has_limits(objects: tuple[Manifest, ...]) -> None:
    for name, found in containers(objects):
        for amounts in (found["resources"]["requests"], found["resources"]["limits"]):
            assert {"cpu", "memory", "ephemeral-storage"} <= amounts.keys(), name
    for name, template in pods(objects).items():
        for volume in template["spec"]["volumes"]:
            assert volume.get("emptyDir", {"sizeLimit": ""}).keys() >= {"sizeLimit"}, name


def test_images_are_ours_and_by_digest(objects: tuple[Manifest, ...]) -> None:
    for name, found in containers(objects):
        assert re.fullmatch(r"mome-(serve|monitor)@sha256:[0-9a-f]{64}", found["image"]), name


def test_no_secret_has_a_value_and_every_reference_is_documented(objects: tuple[Manifest, ...]) -> None:
    assert of_kind(objects, "Secret") == []
    wanted = set()
    for _, found in containers(objects):
        for variable in found.get("env", []):
            if "secretKeyRef" in variable.get("valueFrom", {}):
                reference = variable["valueFrom"]["secretKeyRef"]
                assert not reference.get("optional"), "without its key the service would be open"
                wanted |= {reference["name"], reference["key"]}
        wanted |= {
            source["secretRef"]["name"] for source in found.get("envFrom", []) if "secretRef" in source
        }
    assert "mome-api-key" in wanted
    documented = (MANIFESTS / "README.md").read_text()
    assert {name for name in wanted if f"`{name}`" not in documented} == set()


def test_only_the_publishing_container_has_a_token(everything: tuple[Manifest, ...]) -> None:
    for template in pods(everything).values():
        assert template["spec"]["automountServiceAccountToken"] is False
    for account in of_kind(everything, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    mounting = {
        name
        for name, found in containers(everything)
        if TOKEN in {mount["mountPath"] for mount in found["volumeMounts"]}
    }
    assert mounting == {"mome-monitor/publish"}


def test_roles_hold_exactly_these_verbs(everything: tuple[Manifest, ...]) -> None:
    rules = {
        (role["metadata"]["name"], group, resource): (rule["verbs"], rule.get("resourceNames"))
        for role in of_kind(everything, "Role", "ClusterRole")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    trainer = "trainer.kubeflow.org"
    assert rules == {
        ("mome-scale-writer", "", "configmaps"): (["patch"], ["mome-scale"]),
        ("mome-controller", "coordination.k8s.io", "leases"): (["get", "update"], ["mome-controller"]),
        ("mome-trainjobs", trainer, "trainjobs"): (["create", "get", "delete"], None),
        ("mome-trainjobs", trainer, "trainingruntimes"): (["get"], None),
        ("mome-trainjobs", "", "pods"): (["list"], None),
        ("mome-trainjobs", "", "pods/log"): (["get"], None),
        ("mome-training-runtimes", trainer, "clustertrainingruntimes"): (["get"], ["torch-distributed"]),
    }


def test_roles_are_bound_to_whoever_does_the_work(
    cpu: tuple[Manifest, ...], everything: tuple[Manifest, ...]
) -> None:
    def bound(objects: tuple[Manifest, ...]) -> dict[str, list[str]]:
        return {
            binding["roleRef"]["name"]: [
                f"{subject['namespace']}/{subject['name']}" for subject in binding["subjects"]
            ]
            for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding")
        }

    monitor = ["mome/mome-monitor"]
    assert bound(cpu) == {"mome-scale-writer": monitor, "mome-controller": monitor}
    pipelines = {"mome-trainjobs": ["mome/default-editor"], "mome-training-runtimes": ["mome/default-editor"]}
    assert bound(rendered("kubeflow-profile")) == pipelines | {"mome-scale-writer": ["mome/default-editor"]}
    # Also outside a profile: without a namespace Kubernetes refuses the binding of the cluster.
    assert pipelines.items() <= bound(everything).items()
    # The account is Kubeflow's to make.
    accounts = of_kind(everything, "ServiceAccount")
    assert "default-editor" not in {found["metadata"]["name"] for found in accounts}


def allowed(objects: tuple[Manifest, ...], workload: str, direction: str) -> list[Manifest]:
    """Return what the policies of a pod let through, and check that a policy denies the rest."""
    labels = pods(objects)[workload]["metadata"]["labels"]
    policies = [
        policy["spec"]
        for policy in of_kind(objects, "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], labels)
        and direction.capitalize() in policy["spec"]["policyTypes"]
    ]
    assert policies, f"{workload} is not closed for {direction}"
    return [rule for policy in policies for rule in policy.get(direction) or []]


def test_serving_calls_nobody_and_is_called_on_one_port_by_clients(objects: tuple[Manifest, ...]) -> None:
    egress = allowed(objects, "mome-serving", "egress")
    with_bucket = bool([found for found in objects if found["metadata"]["name"] == "mome-serving-registry"])
    assert bool(egress) == with_bucket
    ports = [port["port"] for rule in allowed(objects, "mome-serving", "ingress") for port in rule["ports"]]
    assert set(ports) == {"http"}
    for rule in allowed(objects, "mome-serving", "ingress"):
        for peer in rule["from"]:
            labels = {
                **peer.get("namespaceSelector", {}).get("matchLabels", {}),
                **peer.get("podSelector", {}).get("matchLabels", {}),
            }
            assert labels in (
                {"mome/client": "true"},
                {"kubernetes.io/metadata.name": "monitoring", "app.kubernetes.io/name": "prometheus"},
            )


def test_the_other_pods_are_called_by_prometheus_at_most_and_only_the_monitor_calls(
    everything: tuple[Manifest, ...],
) -> None:
    assert allowed(everything, "mome-retention", "ingress") == []
    assert allowed(everything, "mome-retention", "egress") == []
    (rule,) = allowed(everything, "mome-monitor", "ingress")
    assert rule["ports"] == [{"protocol": "TCP", "port": "metrics"}]
    (peer,) = rule["from"]
    assert peer["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}
    assert [rule["ports"] for rule in allowed(everything, "mome-monitor", "egress")] == [
        [{"protocol": "TCP", "port": 443}, {"protocol": "TCP", "port": 6443}]
    ]


def test_no_pod_in_a_profile_gets_a_mesh_proxy_that_could_reach_nobody() -> None:
    profile = rendered("kubeflow-profile")
    assert {"mome-serving", "mome-tools", "mome-retention", "mome-volumes"} == pods(profile).keys()
    for name, template in pods(profile).items():
        assert template["metadata"]["labels"].get("sidecar.istio.io/inject") == "false", name


def test_a_namespace_of_our_own_is_restricted_and_closed() -> None:
    for overlay in ("cpu", "gpu"):
        labels = named(rendered(overlay), "Namespace", "mome")["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        assert named(rendered(overlay), "NetworkPolicy", "default-deny")["spec"]["podSelector"] == {}
    # A profile's namespace has pods of others.
    assert of_kind(rendered("kubeflow-profile"), "Namespace") == []


def test_the_gateway_publishes_the_api_and_the_page_but_no_metrics(everything: tuple[Manifest, ...]) -> None:
    (route,) = of_kind(everything, "HTTPRoute")
    (rule,) = route["spec"]["rules"]
    assert [match["path"] for match in rule["matches"]] == [
        {"type": "PathPrefix", "value": "/v1"},
        {"type": "Exact", "value": "/"},
    ]
    service = named(everything, "Service", rule["backendRefs"][0]["name"])
    assert rule["backendRefs"][0]["port"] == service["spec"]["ports"][0]["port"]


def test_every_answer_to_checkov_gives_its_reason() -> None:
    answers = [
        answer
        for path in MANIFESTS.rglob("*.yaml")
        for found in yaml.safe_load_all(path.read_text())
        if isinstance(found, dict)
        for key, answer in (found.get("metadata", {}).get("annotations") or {}).items()
        if key.startswith("checkov.io/skip")
    ]
    assert answers
    for answer in answers:
        check, _, reason = answer.partition("=")
        assert re.fullmatch(r"CKV2?_K8S_\d+", check)
        assert len(reason.split()) > 5
