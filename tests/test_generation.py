"""What is written is what the model chooses, whatever is guessed, dropped or beside it."""

import pytest
import torch

from dreamgym_nb.drafts import Habits
from dreamgym_nb.errors import UserError
from dreamgym_nb.generation import Session
from dreamgym_nb.prompts import first_turn, next_turn


def logits_of(lm, tokens):
    """The logits after each token, from one pass over one text, without cache or padding."""
    with torch.no_grad():
        return lm.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0].float()


def logprobs_of(lm, tokens, start, temperature=1.0):
    """Log-probabilities of ``tokens[start:]`` given all before, from one full pass."""
    table = torch.log_softmax(logits_of(lm, tokens) / temperature, dim=-1)
    return [table[i - 1, tokens[i]].item() for i in range(start, len(tokens))]


# ---- the session: one cache over many turns ----------------------------------------------


def talk(lm, turns, temperature, seed=0, drop=True):
    """Three turns of four rows of different length; rows leave. Returns tokens and logprobs."""
    generator = torch.Generator().manual_seed(seed)
    session, live = Session(lm, len(turns)), list(range(len(turns)))
    tokens = [[] for _ in turns]
    said = [[] for _ in turns]  # (position of its first token, logprobs)
    for turn in range(3):
        chunks = [turns[i][turn] for i in live]
        session.read(chunks)
        for i, chunk, g in zip(live, chunks, session.write(5, temperature, generator), strict=True):
            tokens[i] += chunk
            said[i].append((len(tokens[i]), g.tokens, g.logprobs))
            tokens[i] += g.tokens
        if drop and turn == 0:
            kept = [3, 0, 2]  # row 1 leaves, and the others change places
            session.keep(kept)
            live = [live[r] for r in kept]
        elif drop and turn == 1:
            session.keep([1])
            live = [live[1]]
    return tokens, said


@pytest.fixture
def turns(lm, log):
    """Chunks of four rows and three turns; lengths differ in every turn."""
    chunks = []
    for row, trajectory in enumerate([t for t in log if len(t.transitions) >= 3][:4]):
        first = first_turn(trajectory.task.instruction, trajectory.observation)
        later = [next_turn(t.observation) for t in trajectory.transitions[:2]]
        chunks.append([lm.encode(text + " x" * 7 * row) for text in (first, *later)])
    assert all(len({len(row[turn]) for row in chunks}) == 4 for turn in range(3))
    return chunks


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("drop", [True, False])
def test_logprobs_from_the_cache_equal_a_full_pass(lm, turns, temperature, drop):
    # Sharper logits than an untrained model's, and an EOS now and then, so that rows end apart.
    with torch.no_grad():
        lm.model.lm_head.weight.mul_(8.0)
    _, said = talk(lm, turns, temperature, drop=drop)
    lm.eos = said[0][0][1][1]  # the same draws again, so row 0 ends after two tokens at most
    tokens, said = talk(lm, turns, temperature, drop=drop)
    spoken = [len(row) for row in said]
    assert spoken == ([3, 1, 2, 2] if drop else [3, 3, 3, 3])
    lengths = set()
    for row, text in zip(said, tokens, strict=True):
        for start, ids, logprobs in row:
            expected = logprobs_of(lm, text[: start + len(ids)], start, temperature or 1.0)
            assert logprobs == pytest.approx(expected, abs=1e-5)
            assert len(ids) == 5 or ids[-1] == lm.eos
            assert lm.eos not in ids[:-1]
            lengths.add(len(ids))
    if temperature:
        assert len(lengths) > 1, "some rows ended before others"


def test_greedy_writes_the_likeliest_token(lm, turns):
    tokens, said = talk(lm, turns, 0.0)
    for row, text in zip(said, tokens, strict=True):
        for start, ids, _ in row:
            best = logits_of(lm, text)[start - 1 : start - 1 + len(ids)].argmax(-1).tolist()
            assert ids == best


def test_sampling_follows_the_probabilities(lm):
    """2,000 rows of one prompt: shares of the first token against the softmax, 5 sigma."""
    prompt = lm.encode("Task: find")
    with torch.no_grad():
        lm.model.lm_head.weight.mul_(8.0)
    for temperature in (1.0, 0.5):
        expected = torch.softmax(logits_of(lm, prompt)[-1] / temperature, -1)
        generator = torch.Generator().manual_seed(1)
        written = lm.generate([prompt] * 2000, 1, temperature, 2000, generator)
        counts = torch.bincount(
            torch.tensor([g.tokens[0] for g in written]), minlength=len(expected)
        )
        spread = (expected * (1 - expected) / 2000).sqrt()
        assert ((counts / 2000 - expected).abs() <= 5 * spread + 1e-3).all()
        assert expected.max() > 0.02, "the shares are not all alike"


def test_all_rows_can_change_places(lm, turns):
    session = Session(lm, 2)
    session.read([turns[0][0], turns[1][0]])
    first = session.write(3, 0.0)
    session.keep([1, 0])
    session.read([turns[1][1], turns[0][1]])
    second = session.write(3, 0.0)
    for before, after, row in ((first[0], second[1], 0), (first[1], second[0], 1)):
        text = turns[row][0] + before.tokens + turns[row][1]
        expected = logprobs_of(lm, text + after.tokens, len(text))
        assert after.logprobs == pytest.approx(expected, abs=1e-5)


# ---- generate ----------------------------------------------------------------------------


def test_generate_is_independent_of_order_and_batch(lm, texts):
    """Greedy answers and their log-probabilities, whatever else is in the batch."""
    long = [text for text in texts if len(text) > 300]
    prompts = [lm.encode(text)[: 5 + 7 * n] for n, text in enumerate(long[:10])]
    assert [len(p) for p in prompts] == list(range(5, 75, 7))
    alone = [lm.generate([p], 6)[0] for p in prompts]
    order = [3, 9, 0, 7, 1, 8, 2, 6, 5, 4]
    for batch_size in (1, 3, 128):
        written = lm.generate([prompts[i] for i in order], 6, batch_size=batch_size)
        for i, g in zip(order, written, strict=True):
            assert g.tokens == alone[i].tokens
            assert g.logprobs == pytest.approx(alone[i].logprobs, abs=1e-5)
    for prompt, g in zip(prompts, alone, strict=True):
        assert g.logprobs == pytest.approx(
            logprobs_of(lm, prompt + g.tokens, len(prompt)), abs=1e-5
        )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rows_that_are_done_leave_no_trace_in_the_others(actor, shop, texts, temperature):
    """Rows of one batch end at different times; those that are done leave the cache."""
    tasks = shop.tasks("train")[:12]
    prompts = [actor.encode(first_turn(t.instruction, "search page")) for t in tasks]
    prompts += [actor.encode(text)[:50] for text in texts if len(text) > 300][:12]
    written = actor.generate(prompts, 12, temperature, generator=torch.Generator().manual_seed(0))
    lengths = sorted(len(g.tokens) for g in written)
    assert lengths[8] < lengths[-1], "some left long before others"
    for prompt, g in zip(prompts, written, strict=True):
        expected = logprobs_of(actor, prompt + g.tokens, len(prompt))
        assert g.logprobs == pytest.approx(expected, abs=1e-5)
        assert actor.eos not in g.tokens[:-1]
        assert len(g.tokens) == 12 or g.tokens[-1] == actor.eos
        if not temperature:
            assert g.tokens == actor.generate([prompt], 12)[0].tokens


def test_generate_stops_at_eos_and_at_the_limit(lm):
    prompt = lm.encode("Task: find a mug")
    (free,) = lm.generate([prompt], 6)
    assert len(free.tokens) == len(free.logprobs) == 6
    lm.eos = free.tokens[2]
    (stopped,) = lm.generate([prompt], 6)
    assert stopped.tokens == free.tokens[: free.tokens.index(lm.eos) + 1]
    assert lm.generate([], 6) == []


def test_sampling_is_fixed_by_its_generator(lm, texts):
    prompts = [lm.encode(text)[:20] for text in texts[:6]]

    def sample(seed):
        written = lm.generate(prompts, 5, 1.0, generator=torch.Generator().manual_seed(seed))
        return [g.tokens for g in written]

    assert sample(1) == sample(1) != sample(2)


def test_rows_that_begin_alike_are_computed_once(lm, turns, monkeypatch):
    """A group's rows share their first prompt; each is then a row of its own."""
    sizes = []
    append = Session._append

    def spy(session, chunks):
        sizes.append(len(chunks))
        return append(session, chunks)

    monkeypatch.setattr(Session, "_append", spy)
    a, b = turns[0], turns[1]
    session = Session(lm, 5)
    session.read([a[0], b[0], a[0], a[0], b[0]])
    assert sizes == [2]
    first = session.write(4, [0.0, 0.0, 1.0, 1.0, 0.0], torch.Generator().manual_seed(0))
    session.read([a[1], b[1], b[1], a[2], b[2]])
    assert sizes[-1] == 5
    second = session.write(4, 0.0)
    begun, later = (a, b, a, a, b), (a[1], b[1], b[1], a[2], b[2])
    for row, more, one, two in zip(begun, later, first, second, strict=True):
        text = row[0] + one.tokens + more
        assert one.logprobs == pytest.approx(
            logprobs_of(lm, row[0] + one.tokens, len(row[0])), abs=1e-5
        )
        assert two.logprobs == pytest.approx(
            logprobs_of(lm, text + two.tokens, len(text)), abs=1e-5
        )


# ---- drafts: several tokens for each pass -------------------------------------------------


def write(lm, prompts, draft, n=24, temperature=0.0, seed=0):
    """What is written with so many guesses for each pass, and the passes that it took."""
    before = lm.passes
    session = Session(lm, len(prompts), draft)
    session.read(prompts)
    generator = torch.Generator().manual_seed(seed)
    return session.write(n, temperature, generator, last=True), lm.passes - before


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_guesses_change_the_number_of_passes_and_nothing_else(actor, texts, temperature):
    prompts = [actor.encode(text)[: 40 + 5 * i] for i, text in enumerate(texts[-12:])]
    slow, many = write(actor, prompts, 0, temperature=temperature)
    for draft in (1, 3, 9):
        fast, few = write(actor, prompts, draft, temperature=temperature)
        assert few < many
        for one, other in zip(slow, fast, strict=True):
            assert one.tokens == other.tokens
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_what_was_written_once_is_guessed_the_next_time(actor, texts):
    """A fresh copy has no habits: the first time takes more passes than the second."""
    fresh = actor.copy()
    prompts = [fresh.encode(text)[: 40 + 5 * i] for i, text in enumerate(texts[-12:])]
    (first, many), (second, few) = (write(fresh, prompts, 3) for _ in range(2))
    assert [g.tokens for g in first] == [g.tokens for g in second]
    assert few < many


def test_habits_are_what_came_last_and_ends_count():
    habits = Habits(pad=0)
    texts = torch.tensor([[5, 6, 7, 8], [6, 7, 9, 4]])
    habits.learn(texts, torch.tensor([4, 3]))
    pair = torch.tensor([5]), torch.tensor([6])
    assert habits.guess(*pair, 3).tolist() == [[7, 9, 0]], "7 9 has no successor that counts"
    habits.learn(torch.tensor([[6, 7, 8]]), torch.tensor([3]))
    assert habits.guess(*pair, 3).tolist()[0][:2] == [7, 8]


@torch.inference_mode()
def test_a_guess_is_what_followed_the_same_words_before(lm):
    rows = {
        (5, 6, 7, 8, 5, 6): [7, 8, 5, 6],
        (6, 9, 1, 5, 9, 2, 5, 9): [2, 5, 9, lm.pad],  # two words alike are more than one
        (8, 9, 1, 8, 9, 2, 8, 9): [2, 8, 9, lm.pad],  # of equally good places the latest
        (5, 6, 7, 8): [lm.pad] * 4,
        (3, 4): [3, 4, 3, 4],  # nothing in the row: habit
        (3, 5, 4, 3): [4, 3, 4, 3],  # one word alike is less than habit
    }
    lm.habits.learn(torch.tensor([[3, 4, 3, 4, 3]]), torch.tensor([5]))
    session = Session(lm, len(rows), draft=4)
    session.read([row[:-1] for row in rows])
    session._note(slice(None), session.ends[:, None], torch.tensor([row[-1:] for row in rows]))
    session.ends += 1
    assert session._guess(torch.arange(len(rows))).tolist() == list(rows.values())


def test_sampling_with_guesses_keeps_the_distribution(lm):
    """The second token given the first, where a guess is often right; 5 sigma."""
    prompt = lm.encode("Task: find a mug") * 3
    with torch.no_grad():
        lm.model.lm_head.weight.mul_(6.0)
    rows = 3000
    (written, passes) = write(lm, [prompt] * rows, 3, n=3, temperature=1.0)
    assert passes <= 3
    firsts = torch.tensor([g.tokens[0] for g in written])
    common = int(firsts.bincount().argmax())
    seconds = torch.tensor([g.tokens[1] for g in written if g.tokens[0] == common])
    expected = torch.softmax(logits_of(lm, [*prompt, common])[-1], -1)
    share = seconds.bincount(minlength=len(expected)) / len(seconds)
    spread = (expected * (1 - expected) / len(seconds)).sqrt()
    assert len(seconds) > 200 and ((share - expected).abs() <= 5 * spread + 2e-3).all()


def test_each_row_has_a_temperature_of_its_own(actor, texts):
    prompts = [actor.encode(text)[:40] for text in texts[-6:]]
    greedy = actor.generate(prompts, 12)
    generator = torch.Generator().manual_seed(3)
    mixed = actor.generate(prompts * 2, 12, [0.0] * 6 + [1.5] * 6, generator=generator)
    assert [g.tokens for g in mixed[:6]] == [g.tokens for g in greedy]
    assert [g.tokens for g in mixed[6:]] != [g.tokens for g in greedy]


@pytest.mark.parametrize("temperature", [-1.0, float("nan"), float("inf"), [0.0, -0.1]])
def test_a_temperature_below_0_is_refused(lm, temperature):
    with pytest.raises(UserError, match="at least 0"):
        lm.generate([[5, 6], [7]], 3, temperature)
