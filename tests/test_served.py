"""A served model: the same dreams as at home, and sentences for all that may go wrong."""

import json
import threading
from contextlib import ExitStack

import httpx
import pytest
import torch

from dreamgym_nb import served, serving
from dreamgym_nb.course.help_desk import HelpDesk
from dreamgym_nb.dream import DreamWorld, start_from
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import transitions_of
from dreamgym_nb.experience_model import ExperienceModel, Question
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import EOS, Format, parse_target
from dreamgym_nb.replay_buffer import ReplayBuffer
from dreamgym_nb.served import ServedModel, worked_examples
from dreamgym_nb.serving import Server
from dreamgym_nb.worlds import collect_log
from dreamgym_nb.writer import Writer

FORMAT = Format(memories=1, history=0)


@pytest.fixture(scope="module")
def log():
    desk = HelpDesk(0)
    return collect_log(desk, desk.tasks("train"), 60, seed=0)


@pytest.fixture(scope="module")
def here(log):
    """An experience model that knows a few steps by heart."""
    steps = transitions_of(log)
    buffer = ReplayBuffer(steps)
    texts = [served.worked_examples(steps, buffer, FORMAT)]
    lm = LanguageModel.tiny(texts * 2, width=32, layers=1, heads=2)
    model = ExperienceModel(lm, buffer, FORMAT)
    model.fit(steps[:24], steps=80, learning_rate=1e-2, tokens_per_batch=2048)
    return model


@pytest.fixture(scope="module")
def server(here):
    with Server(here.lm, "desk") as server:
        yield server


@pytest.fixture
def connect():
    """`ServedModel`, whose connections are closed when the test ends."""
    with ExitStack() as opened:
        yield lambda *args, **kwargs: opened.enter_context(ServedModel(*args, **kwargs))


def asked_of(log, n=20):
    return [
        Question(t.task.instruction, t.history, t.state, t.action) for t in transitions_of(log)[:n]
    ]


# ---- the same dreams ------------------------------------------------------------------------


def test_both_kinds_are_writers(connect, here, server):
    assert isinstance(here.lm, Writer) and isinstance(connect(server.url, "desk"), Writer)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_served_model_imagines_what_it_imagines_at_home(connect, here, server, log, size):
    there = ExperienceModel(
        connect(server.url, "desk", prompts_per_request=size), here.buffer, FORMAT
    )
    mine, theirs = here.imagine(asked_of(log)), there.imagine(asked_of(log))
    assert [a.outcome for a in theirs] == [a.outcome for a in mine]
    assert [a.parsed for a in theirs] == [a.parsed for a in mine]
    assert any(a.parsed for a in mine)
    sure = [a.confidence for a in mine]
    assert [a.confidence for a in theirs] == pytest.approx(sure, abs=1e-5)


def test_a_dream_over_a_served_model_is_a_world(connect, here, server, log):
    there = ExperienceModel(connect(server.url, "desk"), here.buffer, FORMAT)
    desk, worlds = HelpDesk(0), []
    for model in (here, there):
        world = DreamWorld(model, desk.fold, start_from(log), 3)
        world.reset(options={"tasks": list(desk.tasks("test")[:3])})
        worlds.append(world.step(["show", "close", "call"])[0])
    assert worlds[0] == worlds[1]


def test_sampled_texts_repeat_with_the_seed_and_differ_without(connect, server):
    model = connect(server.url, "desk", prompts_per_request=2)
    prompts = ["Task: staff ana cannot use mail"] * 6

    def drawn(seed):
        generator = torch.Generator().manual_seed(seed)
        return [w.text for w in model.continue_texts(prompts, 12, [1.0] * 6, generator)]

    assert drawn(0) == drawn(0) != drawn(1)
    assert len(set(drawn(0))) > 1


def test_equal_prompts_get_seeds_of_their_own_and_a_second_call_other_ones():
    """A server may begin each prompt of a request with the request's seed, as vLLM does."""
    seen = []
    choice = {"index": 0, "text": "a", "finish_reason": "stop"}
    model = ServedModel(
        "http://there/v1", "m", transport=fake(lambda b: {"choices": [choice]}, seen)
    )
    for _ in range(2):
        model.continue_texts(["same"] * 3, 5, [1.0] * 3)
    assert [body["prompt"] for _, body in seen] == [["same"]] * 6
    assert len({body["seed"] for _, body in seen}) == 6


def test_temperatures_go_apart_and_come_back_in_order(connect, here, server, log):
    model = connect(server.url, "desk")
    prompts, _ = here.prompts(asked_of(log, 6))
    greedy = [w.text for w in here.lm.continue_texts(prompts, 30, [0.0] * 6)]
    mixed = model.continue_texts(prompts, 30, [0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    assert [w.text for w in mixed][::2] == greedy[::2]


def test_what_the_limit_cuts_has_no_end(connect, here, server):
    [cut] = connect(server.url, "desk").continue_texts(["Task: staff"], 2, [0.0])
    assert not cut.text.endswith(EOS)


def test_requests_that_wait_are_written_together(connect, here, log):
    prompts, _ = here.prompts(asked_of(log, 12))
    with Server(here.lm, "desk") as server:
        gate = threading.Event()
        write, server.lm = server.lm.generate, here.lm.copy()
        server.lm.generate = lambda *a, **k: (gate.wait(30), write(*a, **k))[1]
        model = connect(server.url, "desk", prompts_per_request=1, parallel=12)
        found = []
        ask = threading.Thread(
            target=lambda: found.extend(model.continue_texts(prompts, 30, [0.0] * 12))
        )
        ask.start()
        while len(server.batches) < 1 or server._waiting.qsize() < 12 - server.batches[0]:
            assert ask.is_alive()
        gate.set()
        ask.join()
        assert sum(server.batches) == 12 and len(server.batches) == 2
    assert [w.text for w in found] == [
        w.text for w in here.lm.continue_texts(prompts, 30, [0.0] * 12)
    ]


def test_the_books_are_kept(connect, here, server):
    model = connect(server.url, "desk", prompts_per_request=2)
    written = model.continue_texts(["Task: a", "Task: b", "Task: c"], 5, [0.0] * 3)
    read = sum(len(here.lm.encode(p)) for p in ("Task: a", "Task: b", "Task: c"))
    assert model.requests == 2 and model.tokens[0] == read
    assert 3 <= model.tokens[1] <= 15 and len(written) == 3


def test_a_served_model_is_not_trained(connect, server, here, log):
    there = ExperienceModel(connect(server.url, "desk"), here.buffer, FORMAT)
    with pytest.raises(UserError, match="asked, not trained"):
        there.fit(transitions_of(log), steps=1)


# ---- a model that never saw the format ----------------------------------------------------------


def test_worked_examples_show_the_format_and_no_memory_of_their_own(here, log):
    steps = transitions_of(log)
    text = worked_examples(steps[:3], here.buffer, FORMAT)
    asked, *shown, rest = text.split(served.BETWEEN)
    assert asked == served.ASKED and len(shown) == 3 and rest == ""
    for t, example in zip(steps[:3], shown, strict=True):
        assert example.startswith(f"Task: {t.task.instruction}")
        outcome = parse_target(example[example.index("\nReasoning:") :])
        assert (outcome.observation, outcome.reward) == (t.observation, t.reward)
    with pytest.raises(UserError, match="at least one transition"):
        worked_examples([], here.buffer, FORMAT)


def fake(answer, seen=None, status=200):
    """A transport that answers each request with ``answer(body)``."""

    def handle(request):
        body = json.loads(request.content)
        if seen is not None:
            seen.append((request, body))
        return httpx.Response(status, json=answer(body))

    return httpx.MockTransport(handle)


TARGET = "Reasoning: shows it\nNext: account open\nReward: 0\nDone: no"


def test_a_chat_is_asked_with_the_examples_as_its_systems_words(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    seen = []
    choice = {"index": 0, "message": {"content": f" {TARGET}\n"}, "finish_reason": "stop"}
    model = ServedModel(
        "http://there/v1/",
        "big",
        preamble="examples",
        chat=True,
        transport=fake(lambda body: {"choices": [choice]}, seen),
    )
    one, two = model.continue_texts(["a", "b"], 9, [0.0, 0.7])
    assert one.text == f"\n{TARGET}{EOS}" and one.confidence is None
    assert parse_target(two.text).observation == "account open"
    told = {body["messages"][1]["content"]: (request, body) for request, body in seen}
    request, body = told["a"]
    assert str(request.url) == "http://there/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer secret"
    assert body["messages"][0] == {"role": "system", "content": "examples"}
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("big", 9, 0.0)
    assert "seed" not in body and told["b"][1]["seed"] >= 0


def test_a_chat_model_that_knows_the_format_needs_no_examples():
    choice = {"index": 0, "message": {"content": TARGET}, "finish_reason": "stop"}
    reply = fake(lambda body: {"choices": [choice]})
    [written] = ServedModel("http://there/v1", "m", chat=True, transport=reply).continue_texts(
        ["a"], 9, [0.0]
    )
    assert parse_target(written.text).observation == "account open"


def test_a_completion_stands_behind_the_examples_and_stops_before_the_next():
    seen = []
    model = ServedModel(
        "http://there/v1",
        "big",
        key="",
        preamble="examples\n\n",
        extra={"add_special_tokens": False},
        transport=fake(
            lambda body: {"choices": [{"index": 0, "text": TARGET, "finish_reason": "stop"}]}, seen
        ),
    )
    [written] = model.continue_texts(["a"], 9, [0.0])
    request, body = seen[0]
    assert parse_target(written.text).reward == 0.0
    assert body["prompt"] == ["examples\n\na"] and body["stop"] == [served.BETWEEN]
    assert body["add_special_tokens"] is False and "authorization" not in request.headers


def test_a_proxy_is_not_asked_for_what_is_on_this_machine(connect, here, server, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert connect(server.url, "desk", tries=1).continue_texts(["Task: a"], 3, [0.0])


def test_choices_are_put_in_order():
    def answer(body):
        made = [
            {"index": i, "text": p, "finish_reason": "length", "logprobs": None}
            for i, p in enumerate(body["prompt"])
        ]
        return {"choices": made[::-1]}

    model = ServedModel("http://there/v1", "m", transport=fake(answer))
    assert [w.text for w in model.continue_texts(["a", "b"], 3, [0.0] * 2)] == ["a", "b"]


# ---- what may go wrong --------------------------------------------------------------------------


@pytest.fixture
def no_sleep(monkeypatch):
    slept = []
    monkeypatch.setattr(served.time, "sleep", slept.append)
    return slept


def test_a_busy_server_is_asked_again(no_sleep):
    answers = iter([503, 429, 200])

    def handle(request):
        status = next(answers)
        done = {"choices": [{"index": 0, "text": "x", "finish_reason": "length"}]}
        return httpx.Response(status, json=done if status == 200 else {})

    model = ServedModel("http://there/v1", "m", transport=httpx.MockTransport(handle))
    assert model.continue_texts(["a"], 3, [0.0])[0].text == "x"
    assert model.requests == 3 and no_sleep == [1, 2]


def test_a_server_that_refuses_is_not_asked_again(no_sleep):
    model = ServedModel(
        "http://there/v1", "m", transport=fake(lambda b: {"error": "no such model"}, status=404)
    )
    with pytest.raises(UserError, match=r"404 .*no such model.*OPENAI_API_KEY"):
        model.continue_texts(["a"], 3, [0.0])
    assert model.requests == 1 and not no_sleep


def test_a_server_that_is_not_there_gets_a_sentence(no_sleep):
    def handle(request):
        raise httpx.ConnectError("refused")

    model = ServedModel("http://there/v1", "m", tries=3, transport=httpx.MockTransport(handle))
    with pytest.raises(UserError, match="ConnectError refused.*Is the server there"):
        model.continue_texts(["a"], 3, [0.0])
    assert model.requests == 3 and no_sleep == [1, 2]


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda body: {"choices": []}, "0 texts for 1 prompts"),
        (lambda body: {"text": "x"}, "no 'choices'"),
        (lambda body: {"choices": [{"index": 0, "finish_reason": "stop"}]}, "no 'text'"),
        (lambda body: [], "list"),
    ],
)
def test_an_answer_in_another_form_gets_a_sentence(answer, said):
    model = ServedModel("http://there/v1", "m", transport=fake(answer))
    with pytest.raises(UserError, match=f"OpenAI interface does: .*{said}"):
        model.continue_texts(["a"], 3, [0.0])


def test_an_answer_that_is_no_json_gets_a_sentence():
    page = httpx.MockTransport(lambda request: httpx.Response(200, text="<html>"))
    with pytest.raises(UserError, match="no JSON but '<html>'"):
        ServedModel("http://there/v1", "m", transport=page).continue_texts(["a"], 3, [0.0])


@pytest.mark.parametrize(
    "body, status, said",
    [
        ({"model": "other", "prompt": "a"}, 400, "no model 'other' here but 'desk'"),
        ({"model": "desk"}, 400, "prompt is a text"),
        ({"model": "desk", "prompt": []}, 400, "prompt is a text"),
        ({"model": "desk", "prompt": "a", "max_tokens": -1}, 400, "max_tokens is 1 to"),
        ({"model": "desk", "prompt": "a", "max_tokens": 0}, 400, "max_tokens is 1 to"),
        ({"model": "desk", "prompt": "a", "seed": 2**64}, 400, "64 bits"),
        ({"model": "desk", "prompt": "a", "temperature": -1}, 400, "temperature 0 or more"),
        ({"model": "desk", "prompt": "a", "stream": True}, 400, "stream=True is not done"),
        ({"model": "desk", "prompt": "a", "stop": ["x"]}, 400, "is not done here"),
        ({"model": "desk", "prompt": "a", "logit_bias": {"1": 2}}, 400, "is not done here"),
        ({"model": "desk", "prompt": "a " * 3000}, 400, "at most 2048 tokens"),
        ([], 400, "no attribute"),
    ],
)
def test_the_server_says_what_it_does_not_do(server, body, status, said):
    answer = httpx.post(f"{server.url}/completions", json=body)
    assert answer.status_code == status and said in answer.json()["error"]["message"]


def test_the_server_knows_its_addresses(server):
    assert httpx.get(f"{server.url}/models").json()["data"][0]["id"] == "desk"
    assert httpx.get(f"{server.url}/nothing").status_code == 404
    assert httpx.post(f"{server.url}/chat/completions", json={}).status_code == 404
    assert httpx.post(f"{server.url}/completions", content=b"{").status_code == 400


def test_a_failure_belongs_to_who_asked_and_the_server_goes_on(here):
    with Server(here.lm.copy(), "desk") as server:
        write = server.lm.generate
        server.lm.generate = lambda *a, **k: (_ for _ in ()).throw(MemoryError("full"))
        body = {"model": "desk", "prompt": "Task: a", "max_tokens": 3}
        answer = httpx.post(f"{server.url}/completions", json=body)
        assert answer.status_code == 500 and "MemoryError: full" in answer.text
        server.lm.generate = write
        assert httpx.post(f"{server.url}/completions", json=body).status_code == 200


def test_a_taken_port_gets_a_sentence(server, here):
    port = int(server.url.split(":")[2].split("/")[0])
    with pytest.raises(UserError, match=f"Port {port} of 127.0.0.1 cannot be listened on"):
        serving.Server(here.lm, "again", port=port)


def test_after_the_end_an_open_connection_is_refused_not_left_waiting(connect, here, no_sleep):
    with Server(here.lm, "desk") as server:
        model = connect(server.url, "desk", tries=1, timeout=20.0)
        assert model.continue_texts(["Task: a"], 3, [0.0])
    with pytest.raises(UserError, match="503 .*this server is closed"):
        model.continue_texts(["Task: a"], 3, [0.0])
