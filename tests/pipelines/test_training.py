"""The graph of the pipelines: order, verdicts, what is reused, what a person sees, and one truth with DVC."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import catalogue
from mome.config import PARAMS_FILE, Params, load_params, profiles
from mome.records import Promise
from pipelines.compile import NO_CHANGES, PIPELINES, compile_pipeline
from pipelines.groups import PARALLEL_SHARDS

ROOT = Path(__file__).parents[2]
ORDER = [
    "configure",
    "version-corpus",
    "prepare",
    "validate",
    "require-validate",
    "build-foundation",
    "train",
]
ORDER += ["evaluate", "gate", "require-gate", "package", "rehearse", "promote"]
# The names that DVC's stages have in the pipeline, where they differ.
STAGES = {"version": "version-corpus", "foundation": "build-foundation"}
# Steps that serve the form, the verdict, the chat, the running service and the registry: they leave
# nothing that a later stage of DVC could depend on.
VERDICTS = {"require-validate", "require-gate"}
KUBEFLOW_ONLY = {"configure", *VERDICTS, "notify", "rehearse", "promote"}

# Steps whose page would say nothing.
PAGELESS = {*VERDICTS, "notify", "plan-shards", "prepare-shard"}


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.fixture(scope="module")
def spec(params: Params) -> dict[str, Any]:
    return compiled("training", params)


def compiled(name: str, params: Params) -> dict[str, Any]:
    found: dict[str, Any] = next(yaml.safe_load_all(compile_pipeline(name, params)))
    return found


def layers(spec: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the tasks of every layer of the page, by the name of the box that opens it."""

    def walk(component: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        yield name, component["dag"]["tasks"]
        for task in component["dag"]["tasks"].values():
            if "dag" in (inner := spec["components"][task["componentRef"]["name"]]):
                yield from walk(inner, task["taskInfo"]["name"])

    return dict(walk(spec["root"], "root"))


def tasks(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the steps of all layers by name; names are unique here."""
    found = [
        (name, task)
        for layer in layers(spec).values()
        for name, task in layer.items()
        if "dag" not in spec["components"][task["componentRef"]["name"]]
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def upstream(name: str, spec: dict[str, Any]) -> set[str]:
    """Return every step that ends before this one starts: those of whole groups, too."""
    around = {
        task["taskInfo"]["name"]: (key, layer)
        for layer in layers(spec).values()
        for key, task in layer.items()
    }

    def inside(key: str, layer: dict[str, dict[str, Any]]) -> set[str]:
        held = layers(spec).get(layer[key]["taskInfo"]["name"], {})
        return {key}.union(*(inside(each, held) for each in held))

    def before(key: str, layer: dict[str, dict[str, Any]]) -> set[str]:
        direct = layer[key].get("dependentTasks", [])
        found = set[str]().union(*(inside(each, layer) | before(each, layer) for each in direct))
        title = next(title for title, held in layers(spec).items() if held is layer)
        return found if title == "root" else found | before(*around[title])

    own = [layer for layer in layers(spec).values() if name in layer]
    return before(name, own[0]) if own else set()


def test_each_step_waits_for_all_before_it(spec: dict[str, Any]) -> None:
    assert set(tasks(spec)) == {*ORDER, "notify"}
    for number, name in enumerate(ORDER[2:], start=2):
        assert upstream(name, spec) >= set(ORDER[:number]) - {"build-foundation"}, name
    assert "build-foundation" in upstream("train", spec)


def test_a_verdict_is_its_stages_own_and_stands_before_all_that_costs(spec: dict[str, Any]) -> None:
    made = layers(spec)["run"]["model"]["componentRef"]["name"]
    handed_on = spec["components"][made]["dag"]["outputs"]["parameters"]
    for stage, producer in (("validate", "validate"), ("gate", "model")):
        given = tasks(spec)[f"require-{stage}"]["inputs"]["parameters"]
        assert given["stage"]["runtimeValue"]["constant"] == stage
        for name in ("passed", "reason"):
            produced = given[name]["taskOutputParameter"]
            assert produced == {"outputParameterKey": name, "producerTask": producer}
            assert handed_on[name]["valueFromParameter"] == {
                "outputParameterKey": name,
                "producerSubtask": "gate",
            }
    assert "require-validate" in upstream("build-foundation", spec)
    assert "require-validate" in upstream("train", spec)
    assert "require-gate" in upstream("package", spec)


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
        *VERDICTS,
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


@pytest.mark.parametrize("name", ["training", "training_sharded"])
def test_the_form_has_four_fields_that_speak_and_a_run_starts_as_it_is(name: str, params: Params) -> None:
    inputs = compiled(name, params)["root"]["inputDefinitions"]["parameters"]
    values = {field: each["defaultValue"] for field, each in inputs.items()}
    # Nothing empty, which the page would take for missing; an empty {} is a value to it.
    assert values == {
        "changes": {},
        "corpus": "embedded",
        "profile": PARAMS_FILE,
        "registry": "/models/registry",
    }
    assert NO_CHANGES == {"changes": {}}
    assert inputs["profile"]["literals"] == [PARAMS_FILE, *profiles()]
    assert not any("literals" in each for field, each in inputs.items() if field != "profile")


def test_a_pipeline_for_a_profile_has_it_in_its_form(params: Params) -> None:
    spec = next(yaml.safe_load_all(compile_pipeline("training", params, "lrs3-1b")))
    assert spec["root"]["inputDefinitions"]["parameters"]["profile"]["defaultValue"] == "lrs3-1b"
    assert tasks(spec)["configure"]["inputs"]["parameters"]["defaults"]["runtimeValue"]["constant"] == (
        params.sections()
    )


@pytest.mark.parametrize("name", PIPELINES)
def test_every_layer_of_the_page_has_at_most_a_dozen_boxes_each_with_a_name_of_its_own(
    name: str, params: Params
) -> None:
    spec = compiled(name, params)
    for title, layer in layers(spec).items():
        boxes = [task["taskInfo"]["name"] for task in layer.values()]
        for task in layer.values():
            component = spec["components"][task["componentRef"]["name"]]
            boxes += component.get("outputDefinitions", {}).get("artifacts", {})
        assert len(boxes) <= 12, title
        assert len(set(boxes)) == len(boxes), title
        assert not {"report", "metrics", "card"} & set(boxes), title


def test_the_layers_are_those_that_people_think_of(spec: dict[str, Any], params: Params) -> None:
    opened = {"root", "run", "data", "model", "release"}
    assert set(layers(spec)) == opened
    assert set(layers(compiled("training_sharded", params))) == opened | {"each shard"}
    titles = {task["taskInfo"]["name"] for task in layers(spec)["run"].values()}
    assert titles == {"configure", "data", "model", "good model or stop", "release"}


@pytest.mark.parametrize("name", ["training", "training_sharded"])
def test_a_group_ends_with_a_step_that_is_never_reused(name: str, params: Params) -> None:
    # One from the cache has no launcher, and nobody else closes a group in the server's books.
    spec = compiled(name, params)
    for title in ("run", "data", "model", "release"):
        layer = layers(spec)[title]
        before = {each for task in layer.values() for each in task.get("dependentTasks", [])}
        (last,) = set(layer) - before
        is_group = "dag" in spec["components"][layer[last]["componentRef"]["name"]]
        assert is_group or not layer[last]["cachingOptions"].get("enableCache"), title


def test_every_section_goes_through_the_check_and_to_its_own_step(
    spec: dict[str, Any], params: Params
) -> None:
    given = tasks(spec)["configure"]["inputs"]["parameters"]
    for name in ("changes", "profile"):
        assert given[name]["componentInputParameter"] == f"pipelinechannel--{name}"
    reads = {}
    for title in ("data", "model", "release"):
        for name, value in layers(spec)["run"][title]["inputs"]["parameters"].items():
            produced = value.get("taskOutputParameter", {})
            if produced.get("producerTask") == "configure":
                assert produced["outputParameterKey"] == name
                reads[name] = title
    for title, layer in ((title, layers(spec)[title]) for title in ("data", "model", "release")):
        for name, task in layer.items():
            for parameter, value in task["inputs"].get("parameters", {}).items():
                section = value.get("componentInputParameter", "")
                if parameter in ("params", "monitor"):
                    own = {"version-corpus": "prepare", "build-foundation": "foundation"}.get(name, name)
                    assert section == (own if parameter == "params" else parameter)
                    assert reads[section] == title
    assert set(reads) == {*params.sections(), "files"}


def test_steps_that_may_read_a_file_are_not_reused_for_another_one(spec: dict[str, Any]) -> None:
    for name in ("build-foundation", "train", "evaluate"):
        given = tasks(spec)[name]["inputs"]["parameters"]["files"]
        assert given == {"componentInputParameter": "files"}
    given = layers(spec)["run"]["model"]["inputs"]["parameters"]["files"]
    assert given["taskOutputParameter"] == {"outputParameterKey": "files", "producerTask": "configure"}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_step_shows_one_page(name: str, params: Params) -> None:
    spec = compiled(name, params)
    for step, task in tasks(spec).items():
        component = spec["components"][task["componentRef"]["name"]]
        outputs = component.get("outputDefinitions", {}).get("artifacts", {})
        kinds = [each["artifactType"]["schemaTitle"] for each in outputs.values()]
        assert kinds.count("system.HTML") == (0 if step in PAGELESS else 1), step
        assert "system.Markdown" not in kinds, step


def test_a_step_without_a_page_has_its_reason_on_record() -> None:
    record = (ROOT / "docs" / "adr" / "0008-verdicts-are-steps.md").read_text()
    paragraph = record.partition("Every step shows one page")[2].partition("\n\n")[0]
    named = re.findall("`([a-z_]+)`", paragraph)
    assert set(named) & set(catalogue.__all__) == {
        step.partition("-validate")[0].partition("-gate")[0].replace("-", "_") for step in PAGELESS
    }


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
    assert graph == "comp-data"
    made = {"outputArtifactKey": "dataset", "producerTask": "collect-shards"}
    assert tasks(sharded)["validate"]["inputs"]["artifacts"]["dataset"]["taskOutputArtifact"] == made
    made = {"outputArtifactKey": "dataset", "producerSubtask": "collect-shards"}
    outputs = sharded["components"]["comp-data"]["dag"]["outputs"]["artifacts"]["dataset"]
    assert outputs["artifactSelectors"] == [made]
    for group in ("model", "release"):
        given = layers(sharded)["run"][group]["inputs"]["artifacts"]["dataset"]["taskOutputArtifact"]
        assert given == {"outputArtifactKey": "dataset", "producerTask": "data"}


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
    # A stage reads the section of its name, in DVC as in the pipeline; versioning reads that of prepare, and
    # packaging what the monitor promises to callers.
    read = {stage: each["params"] for stage, each in dvc.items()}
    promised = ["monitor.max_wer", "monitor.confidence"]
    assert read.pop("package") == ["package", *promised]
    assert set(promised) == {f"monitor.{name}" for name in Promise.model_fields}
    assert read == {stage: ["prepare" if stage == "version" else stage] for stage in read}
    sections = {section for stage in read.values() for section in stage}
    assert set(params.sections()) == sections | {"package", "monitor", "rehearse"}


def test_dvc_and_kubeflow_draw_the_same_arrows(spec: dict[str, Any]) -> None:
    dvc = dvc_stages()
    made = {str(out): stage for stage, each in dvc.items() for out in each["outs"]}
    for stage, each in dvc.items():
        for earlier in {made[dep] for dep in each["deps"] if dep in made} if "deps" in each else ():
            name, before = STAGES.get(stage, stage), STAGES.get(earlier, earlier)
            assert before in upstream(name, spec), f"DVC: {stage} needs {earlier}"
