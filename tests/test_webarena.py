"""WebArena's task files: what is in them, how addresses and answers are judged."""

import json
import lzma
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds import browser_env, webarena
from dreamgym_nb.worlds.webarena import (
    WebArenaTask,
    addresses,
    answer_score,
    load,
    resolve,
    url_score,
    without,
    world,
)

WHERE = {name: f"http://host.test:{port}" for port, name in enumerate(webarena.ADDRESSES, 7770)}
RAW = {
    "sites": ["shopping_admin"],
    "task_id": 7,
    "require_login": True,
    "storage_state": None,
    "start_url": "__SHOPPING_ADMIN__",
    "geolocation": None,
    "intent_template": "How many {{things}} are there?",
    "instantiation_dict": {"things": "hats"},
    "intent": "How many hats are there?",
    "require_reset": False,
    "eval": {
        "eval_types": ["string_match"],
        "reference_answers": {"must_include": ["0"]},
        "reference_url": "",
        "program_html": [],
    },
    "intent_template_id": 3,
}


def made(**eval):
    return webarena._read({**RAW, "eval": {**RAW["eval"], **eval}})


def by_answer(**answers):
    return made(reference_answers=answers)


def by_url(url):
    return made(eval_types=["url_match"], reference_answers=None, reference_url=url)


# ---- the real files ----------------------------------------------------------------


@pytest.fixture(scope="module")
def real():
    folder = os.environ.get("DREAMGYM_DATA")
    if not folder or not (Path(folder) / "webarena").is_dir():
        pytest.skip(f"WebArena's task files are not here. {webarena.WHERE}")
    return {name: load(name) for name in webarena.FILES}


def test_the_sets_have_their_sizes_and_templates(real):
    assert {name: len(tasks) for name, tasks in real.items()} == {
        "webarena": 812,
        "lite": 165,
        "verified": 812,
    }
    assert {name: len({t.template for t in tasks}) for name, tasks in real.items()} == {
        "webarena": 190,
        "lite": 165,
        "verified": 190,
    }
    for tasks in real.values():
        assert len({t.id for t in tasks}) == len(tasks) and all(t.intent for t in tasks)


def test_tasks_by_site(real):
    assert Counter(s for t in real["webarena"] for s in t.sites) == {
        "gitlab": 204,
        "shopping": 192,
        "shopping_admin": 184,
        "reddit": 129,
        "map": 128,
        "wikipedia": 23,
    }
    assert Counter(s for t in real["lite"] for s in t.sites) == {
        "shopping": 46,
        "shopping_admin": 36,
        "gitlab": 34,
        "map": 31,
        "reddit": 24,
        "wikipedia": 4,
    }
    assert Counter(t.sites for t in real["webarena"])[("shopping",)] == 187
    assert sum(len(t.sites) > 1 for t in real["webarena"]) == 48


def test_tasks_by_how_they_are_judged(real):
    assert Counter(t.eval_types for t in real["webarena"]) == {
        ("string_match",): 325,
        ("program_html",): 282,
        ("url_match", "program_html"): 129,
        ("url_match",): 66,
        ("string_match", "url_match"): 10,
    }
    assert Counter(t.eval_types for t in real["lite"]) == {
        ("string_match",): 78,
        ("program_html",): 48,
        ("url_match", "program_html"): 19,
        ("url_match",): 18,
        ("string_match", "url_match"): 2,
    }
    assert Counter(tuple(sorted(t.answers)) for t in real["webarena"]) == {
        (): 477,
        ("must_include",): 172,
        ("fuzzy_match",): 114,
        ("exact_match",): 45,
        ("fuzzy_match", "must_include"): 4,
    }
    assert sum(t.needs_judge for t in real["webarena"]) == 118
    assert sum(t.needs_judge for t in real["lite"]) == 36
    first = Counter(t.eval_types[0] for t in real["verified"])
    assert first == {"AgentResponseEvaluator": 812}
    assert Counter(t.checks[0]["expected"]["task_type"] for t in real["verified"]) == {
        "mutate": 374,
        "retrieve": 325,
        "navigate": 113,
    }


def test_every_address_can_be_filled_in(real):
    for task in real["webarena"] + real["lite"]:
        assert all(resolve(u, WHERE).startswith("http://host.test:") for u in task.start_urls)
    assert sum(len(t.start_urls) > 1 for t in real["webarena"]) == 5


def test_the_references_themselves_are_right_and_silence_is_wrong(real):
    tried = 0
    for task in real["webarena"] + real["lite"]:
        if "string_match" in task.eval_types and not task.needs_judge:
            right = " , ".join(r for rs in task.answers.values() for r in rs)
            assert answer_score(task, right) == 1.0, task
            assert answer_score(task, f'"{right.upper()}"') == 1.0, task
            assert answer_score(task, "I do not know") == 0.0 and answer_score(task, "") == 0.0
            tried += 1
    assert tried == 335 - 118 + 80 - 36


def test_the_reference_addresses_are_right_and_others_are_not(real):
    tried = 0
    for task in real["webarena"] + real["lite"]:
        if "url_match" in task.eval_types:
            for url in task.url.split(" |OR| "):
                if "?" not in task.url or task.url.count("http") < 2:
                    assert url_score(task, resolve(url, WHERE), WHERE) == 1.0, task
            assert url_score(task, "http://host.test:1/", WHERE) == 0.0
            tried += 1
    assert tried == 205 + 39


def test_lite_is_a_part_of_the_whole_and_the_rest_is_for_training(real):
    rest = without(real["webarena"], real["lite"])
    assert len(rest) == 812 - 165
    assert not {t.original for t in rest} & {t.original for t in real["lite"]}
    originals = {t.id: t for t in real["webarena"]}
    assert all(originals[t.original].sites == t.sites for t in real["lite"])


# ---- loading ------------------------------------------------------------------------


def test_a_task_is_read_whole():
    task = made()
    assert task == WebArenaTask(
        id=7,
        set="webarena",
        original=7,
        template=3,
        intent="How many hats are there?",
        intent_template="How many {{things}} are there?",
        values={"things": "hats"},
        sites=("shopping_admin",),
        start_urls=("__SHOPPING_ADMIN__",),
        eval_types=("string_match",),
        answers={"must_include": ("0",)},
    )
    assert task.env == "browsergym/webarena.7"
    asked = task.task()
    assert (asked.id, asked.instruction) == ("webarena/0007", "How many hats are there?")
    assert asked.goal["env"] == "browsergym/webarena.7" and asked.world == "browser"
    lite = webarena._read({**RAW, "old_task_id": 44, "start_url": "__A__ |AND| __B__/x"})
    assert (lite.set, lite.env) == ("lite", "browsergym/webarenalite.44")
    assert lite.start_urls == ("__A__", "__B__/x")
    with pytest.raises(UserError, match="webarena-verified"):
        replace(task, set="verified").task()


def test_plain_and_packed_files_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("DREAMGYM_DATA", str(tmp_path))
    with pytest.raises(UserError, match="web-arena-x/webarena"):
        load("lite")
    folder = tmp_path / "webarena"
    folder.mkdir()
    (folder / "test.raw.json").write_text(json.dumps([RAW]))
    assert load("webarena") == load(folder / "test.raw.json") == [made()]
    with lzma.open(folder / "test.raw.json.xz", "wt") as f:
        json.dump([RAW, {**RAW, "task_id": 8}], f)
    assert [t.id for t in load("webarena")] == [7, 8]


@pytest.mark.parametrize("content", [b"no json", b"[{}]", b'{"a": 1}', b"\xff\xfe", b"[3]"])
def test_another_file_is_refused_with_a_sentence(tmp_path, content):
    path = tmp_path / "tasks.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="tasks.json"):
        load(path)
    packed = tmp_path / "tasks.json.xz"
    packed.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        load(packed)


def test_without_the_folder_a_sentence_says_where_the_files_are(monkeypatch):
    monkeypatch.delenv("DREAMGYM_DATA", raising=False)
    with pytest.raises(UserError, match="DREAMGYM_DATA"):
        load("webarena")


# ---- addresses -----------------------------------------------------------------------


def test_missing_addresses_are_named(monkeypatch):
    for name in webarena.ADDRESSES:
        monkeypatch.setenv(f"WA_{name}", f"http://{name.lower()}.test/")
    assert addresses()["GITLAB"] == "http://gitlab.test/"
    assert resolve("__GITLAB__/a/b", addresses()) == "http://gitlab.test/a/b"
    monkeypatch.delenv("WA_REDDIT")
    monkeypatch.setenv("WA_MAP", "")
    with pytest.raises(UserError, match="set WA_REDDIT, WA_MAP to"):
        addresses()
    with pytest.raises(UserError, match="WA_REDDIT, WA_MAP"):
        world([made()])
    with pytest.raises(UserError, match="set WA_ELSEWHERE"):
        resolve("__ELSEWHERE__/x", WHERE)


def test_a_world_names_the_package_that_it_lacks(monkeypatch):
    for name in webarena.ADDRESSES:
        monkeypatch.setenv(f"WA_{name}", "http://127.0.0.1:1/")

    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(browser_env.importlib, "import_module", missing)
    lite = webarena._read({**RAW, "old_task_id": 44})
    with pytest.raises(UserError, match="pip install browsergym-webarenalite"):
        world([], [lite])


def test_a_world_that_needs_a_judge_says_so(monkeypatch):
    for name in webarena.ADDRESSES:
        monkeypatch.setenv(f"WA_{name}", "http://127.0.0.1:1/")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(webarena, "register", lambda env: None)
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        world([by_answer(fuzzy_match=["yes"])])


# ---- the rules -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer, score",
    [
        ("Quest Band", 1.0),
        ("  quest band ", 1.0),
        ("'Quest Band'", 1.0),
        ("\"'Quest Band'\"", 1.0),  # two pairs of quotes, as upstream
        ("the Quest Band", 0.0),
        ("Quest", 0.0),
        ("'", 0.0),
        ("", 0.0),
    ],
)
def test_exact_match(answer, score):
    assert answer_score(by_answer(exact_match="Quest Band"), answer) == score


@pytest.mark.parametrize(
    "references, answer, score",
    [
        (["red", "blue"], "Blue and RED", 1.0),
        (["red", "blue"], "red", 0.0),
        (["0"], "0", 1.0),
        (["0"], "There are 0 hats.", 1.0),
        (["0"], "0.", 1.0),
        (["0"], "$0", 1.0),
        (["0"], "(0)", 1.0),
        (["0"], "10", 0.0),
        (["0"], "0.5", 0.0),
        (["0"], "10:00", 0.0),
        (["0"], "none", 0.0),
        (["0", "1"], "10", 1.0),  # the rule for words holds for a single reference only
        (["12"], "$120", 1.0),
    ],
)
def test_must_include(references, answer, score):
    assert answer_score(by_answer(must_include=references), answer) == score


def test_all_rules_of_a_task_must_hold():
    task = by_answer(must_include=["red"], fuzzy_match=["it is warm"])
    heard = []

    def judge(reference, answer, intent):
        heard.append((reference, answer, intent))
        return "warm" in answer

    assert answer_score(task, "Red, warm", judge) == 1.0
    assert answer_score(task, "Red, cold", judge) == 0.0
    assert answer_score(task, "blue, warm", judge) == 0.0
    assert heard[0] == ("it is warm", "red, warm", "How many hats are there?")
    with pytest.raises(UserError, match="language model"):
        answer_score(task, "red")


def test_not_available_is_right_without_a_judge():
    task = by_answer(fuzzy_match="N/A")
    assert answer_score(task, "n/a") == 1.0
    assert answer_score(task, "There is none", lambda *_: False) == 0.0
    with pytest.raises(UserError, match="language model"):
        answer_score(task, "There is none")


def test_another_answer_to_what_cannot_be_done_must_give_the_reason():
    task = replace(by_answer(fuzzy_match="N/A"), why_not="there is no such review")
    heard = []
    assert answer_score(task, "None of them", lambda *a: heard.append(a) or True) == 1.0
    assert heard == [("there is no such review", "none of them", "How many hats are there?")]
    for blank in ("", "  ", "''"):
        assert answer_score(by_answer(fuzzy_match=["warm"]), blank, lambda *_: True) == 0.0


@pytest.mark.parametrize(
    "reference, path, score",
    [
        ("__GITLAB__/a/b", "/a/b", 1.0),
        ("__GITLAB__/a/b", "/a/b/", 1.0),
        ("__GITLAB__/a/b", "/a/b/c?x=1#y", 1.0),
        ("__GITLAB__/a/b", "/a", 0.0),
        ("__GITLAB__/a/?s=open", "/a/?s=open&p=2", 1.0),
        ("__GITLAB__/a/?s=open", "/a/?s=closed", 0.0),
        ("__GITLAB__/a/?s=open", "/a/", 0.0),
        ("__GITLAB__/a?l%5B%5D=help%20me", "/a?l[]=help+me", 1.0),
        ("__GITLAB__/a?s=1 |OR| __GITLAB__/b?s=2", "/b?s=1", 1.0),  # any value, as upstream
        ("__GITLAB__/a |OR| __GITLAB__/b", "/b", 1.0),
        ("__GITLAB__/a |OR| __GITLAB__/b", "/c", 0.0),
    ],
)
def test_url_match(reference, path, score):
    assert url_score(by_url(reference), WHERE["GITLAB"] + path, WHERE) == score


def test_another_host_is_another_place():
    assert url_score(by_url("__GITLAB__/a"), WHERE["REDDIT"] + "/a", WHERE) == 0.0


def test_a_rule_is_not_used_on_a_task_that_it_does_not_judge():
    with pytest.raises(UserError, match="not judged by its address"):
        url_score(by_answer(exact_match="x"), "http://x/", WHERE)
    with pytest.raises(UserError, match="not judged by its answer"):
        answer_score(by_url("__GITLAB__/a"), "x")
