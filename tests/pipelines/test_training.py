"""The graph of the pipelines: order, verdicts, what is reused, what a person sees, and one truth with DVC."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import catalogue
from mome.config import Params, load_params
from pipelines.compile import NO_CHANGES, PIPELINES, compile_pipeline
from pipelines.training import PARALLEL_SHARDS

ROOT = Path(__file__).parents[2]
ORDER = ["configure", "version-corpus", "prepare", "validate", "require", "build-foundation", "train"]
ORDER += ["evaluate", "gate", "require-2", "package", "rehearse", "promote"]
# The names that DVC's stages have in the pipeline, where they differ.
STAGES = {"version": "version-corpus", "foundation": "build-foundation"}
# Steps that serve the form, the verdict, the chat, the running service and the registry: they leave
# nothing that a later stage of DVC could depend on.
KUBEFLOW_ONLY = {"configure", "require", "require-2", "notify", "rehearse", "promote"}

# Steps whose page would say nothing.
PAGELESS = {"require", "notify", "plan-shards", "prepare-shard"}


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.fixture(scope="module")
def spec(params: Params) -> dict[str, Any]:
    return compiled("training", params)


def compiled(name: str, params: Params) -> dict[str, Any]:
    found: dict[str, Any] = next(yaml.safe_load_all(compile_pipeline(name, params)))
    return found


def tasks(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tasks of all graphs by name; names are unique here."""
    graphs = [spec["root"], *spec["components"].values()]
    found = [item for graph in graphs for item in graph.get("dag", {}).get("tasks", {}).items()]
    assert len(dict(found)) == len(found)
    return {name: task for name, task in found if not name.startswith(("exit-handler", "for-loop", "cond"))}


def upstream(name: str, spec: dict[str, Any]) -> set[str]:
    """Return every task that ends before this one starts."""
    direct = set(tasks(spec).get(name, {}).get("dependentTasks", []))
    return direct.union(*(upstream(earlier, spec) for earlier in direct))


def test_each_step_waits_for_all_before_it(spec: dict[str, Any]) -> None:
    assert set(tasks(spec)) == {*ORDER, "notify"}
    for number, name in enumerate(ORDER[2:], start=2):
        assert upstream(name, spec) >= set(ORDER[:number]) - {"build-foundation"}, name
    assert "build-foundation" in upstream("train", spec)


def test_a_verdict_is_its_stages_own_and_stands_before_all_that_costs(spec: dict[str, Any]) -> None:
    for judge, stage in (("require", "validate"), ("require-2", "gate")):
        given = tasks(spec)[judge]["inputs"]["parameters"]
        assert given["stage"]["runtimeValue"]["constant"] == stage
        for name in ("passed", "reason"):
            assert given[name]["taskOutputParameter"] == {"outputParameterKey": name, "producerTask": stage}
    assert "require" in upstream("build-foundation", spec)
    assert "require" in upstream("train", spec)
    assert "require-2" in upstream("package", spec)


def test_people_are_told_whatever_happens(spec: dict[str, Any]) -> None:
    root = spec["root"]["dag"]["tasks"]
    assert set(root) == {"exit-handler-1", "notify"}
    assert root["notify"]["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    assert root["notify"]["inputs"]["parameters"]["status"] == {
        "taskFinalStatus": {"producerTask": "exit-handler-1"}
    }


def test_a_version_remembers_the_images_that_its_steps_ran_in(spec: dict[str, Any], params: Params) -> None:
    def ran_in(name: str, spec: dict[str, Any]) -> str:
        label = spec["components"][tasks(spec)[name]["componentRef"]["name"]]["executorLabel"]
        return str(spec["deploymentSpec"]["executors"][label]["container"]["image"])

    given = tasks(spec)["promote"]["inputs"]["parameters"]
    said = {name: given[name]["runtimeValue"]["constant"] for name in ("trained_in", "serve_with")}
    assert said == {"trained_in": ran_in("train", spec), "serve_with": ran_in("rehearse", spec)}
    watching = given["monitor_with"]["runtimeValue"]["constant"]
    assert watching == ran_in("check-drift", compiled("monitoring", params))


def test_what_looks_at_a_changing_world_is_never_reused(spec: dict[str, Any], params: Params) -> None:
    def uncached(spec: dict[str, Any]) -> set[str]:
        return {name for name, task in tasks(spec).items() if not task["cachingOptions"].get("enableCache")}

    assert uncached(spec) == {
        "configure",
        "version-corpus",
        "gate",
        "require",
        "require-2",
        "promote",
        "notify",
    }
    assert uncached(compiled("training_sharded", params)) == uncached(spec)
    monitoring = compiled("monitoring", params)
    assert uncached(monitoring) == set(tasks(monitoring))


def test_data_is_named_by_the_commit_that_was_resolved_first(spec: dict[str, Any], params: Params) -> None:
    for task in ("prepare", "plan-shards", "collect-shards"):
        graph = tasks(spec if task == "prepare" else compiled("training_sharded", params))
        said = str(graph[task]["inputs"]["parameters"]["revision"])
        assert "version-corpus" in said
        assert "revision" in said


def test_only_the_registry_and_the_corpus_are_asked_for_before_the_sections(spec: dict[str, Any]) -> None:
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert all("defaultValue" in each for each in inputs.values()), "a run must start with nothing given"
    sections = {name for name, each in inputs.items() if each["description"].startswith("SECTION of params")}
    first = {name for name, each in inputs.items() if each["description"].startswith("START HERE.")}
    assert sections == set(load_params(ROOT / "params.yaml").sections())
    assert first == set(inputs) - sections
    # Kubeflow lists parameters by the alphabet: what a person needs most comes first of all.
    assert sorted(inputs)[:2] == ["changes", "corpus"]


def test_the_defaults_of_the_form_are_the_numbers_of_the_experiment(
    spec: dict[str, Any], params: Params
) -> None:
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    defaults = {name: each["defaultValue"] for name, each in inputs.items()}
    assert {name: defaults[name] for name in params.sections()} == params.sections()
    assert defaults["changes"] == NO_CHANGES["changes"] == {}


def test_every_section_goes_through_the_check_and_to_its_own_step(
    spec: dict[str, Any], params: Params
) -> None:
    given = tasks(spec)["configure"]["inputs"]["parameters"]
    for name in ("changes", *params.sections()):
        assert given[name]["componentInputParameter"] in (name, f"pipelinechannel--{name}")
    for name, task in tasks(spec).items():
        for parameter, value in task.get("inputs", {}).get("parameters", {}).items():
            produced = value.get("taskOutputParameter", {})
            if produced.get("producerTask") == "configure":
                section = produced["outputParameterKey"]
                own = {"version-corpus": "prepare", "build-foundation": "foundation"}.get(name, name)
                assert section == (own if parameter == "params" else parameter)


def test_steps_that_may_read_a_file_are_not_reused_for_another_one(spec: dict[str, Any]) -> None:
    for name in ("build-foundation", "train", "evaluate"):
        given = tasks(spec)[name]["inputs"]["parameters"]["files"]
        assert given["taskOutputParameter"] == {"outputParameterKey": "files", "producerTask": "configure"}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_step_shows_one_page_and_one_card(name: str, params: Params) -> None:
    spec = compiled(name, params)
    for step, task in tasks(spec).items():
        component = spec["components"][task["componentRef"]["name"]]
        outputs = component.get("outputDefinitions", {}).get("artifacts", {})
        kinds = [each["artifactType"]["schemaTitle"] for each in outputs.values()]
        expected = 0 if step.removesuffix("-2") in PAGELESS else 1
        assert kinds.count("system.HTML") == kinds.count("system.Markdown") == expected, step


def test_a_step_without_a_page_has_its_reason_on_record() -> None:
    record = (ROOT / "docs" / "adr" / "0008-verdicts-are-steps.md").read_text()
    paragraph = record.partition("Every step shows one page and one card")[2].partition("\n\n")[0]
    named = re.findall("`([a-z_]+)`", paragraph)
    assert set(named) & set(catalogue.__all__) == {step.replace("-", "_") for step in PAGELESS}


@pytest.mark.parametrize("name", ["training", "training_sharded"])
def test_the_first_step_knows_the_values_that_the_form_came_with(name: str, params: Params) -> None:
    other = params.model_copy(update={"train": params.train.model_copy(update={"steps": 7})})
    given = tasks(compiled(name, other))["configure"]["inputs"]["parameters"]
    assert given["defaults"]["runtimeValue"]["constant"] == other.sections()


def test_the_sharded_form_differs_in_its_preparation_alone(spec: dict[str, Any], params: Params) -> None:
    sharded = compiled("training_sharded", params)
    assert set(tasks(sharded)) - set(tasks(spec)) == {"plan-shards", "prepare-shard", "collect-shards"}
    assert set(tasks(spec)) - set(tasks(sharded)) == {"prepare"}
    ((loop, graph),) = [
        (task, name) for name, part in sharded["components"].items()
        for task in part.get("dag", {}).get("tasks", {}).values() if "parameterIterator" in task
    ]  # fmt: skip
    assert loop["parameterIterator"]["items"]["inputParameter"].endswith("plan-shards-Output")
    assert loop["iteratorPolicy"]["parallelismLimit"] == PARALLEL_SHARDS
    assert graph == "comp-exit-handler-1"
    with_dataset = {"validate", "train", "evaluate", "rehearse"}
    for name in with_dataset:
        made = tasks(sharded)[name]["inputs"]["artifacts"]["dataset"]["taskOutputArtifact"]
        assert made == {"outputArtifactKey": "dataset", "producerTask": "collect-shards"}


def dvc_stages() -> dict[str, Any]:
    """Return them without `machine`: on a cluster each step asks the node that it runs on."""
    stages: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    del stages["machine"]
    return stages


def test_results_of_two_kinds_of_machine_are_never_mixed_by_dvc() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    (about,) = stages["machine"]["outs"]
    assert stages["machine"]["always_changed"]
    assert [name for name, stage in stages.items() if about in stage.get("deps", ())] == [
        "foundation",
        "train",
    ]


def test_dvc_kubeflow_and_params_name_the_same_stages(spec: dict[str, Any], params: Params) -> None:
    dvc = dvc_stages()
    assert {STAGES.get(stage, stage) for stage in dvc} == set(tasks(spec)) - KUBEFLOW_ONLY
    # A stage reads the section of its name, in DVC as in the pipeline; versioning reads that of prepare.
    read = {stage: each["params"] for stage, each in dvc.items()}
    assert read == {stage: ["prepare" if stage == "version" else stage] for stage in dvc}
    sections = {section for stage in read.values() for section in stage}
    assert set(params.sections()) == sections | {"monitor", "rehearse"}


def test_dvc_and_kubeflow_draw_the_same_arrows(spec: dict[str, Any]) -> None:
    dvc = dvc_stages()
    made = {str(out): stage for stage, each in dvc.items() for out in each["outs"]}
    for stage, each in dvc.items():
        for earlier in {made[dep] for dep in each["deps"] if dep in made} if "deps" in each else ():
            name, before = STAGES.get(stage, stage), STAGES.get(earlier, earlier)
            assert before in upstream(name, spec), f"DVC: {stage} needs {earlier}"
