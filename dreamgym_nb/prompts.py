"""Every text format that a model reads or writes, in one place.

Four formats, all plain text:

* the agent's transcript: the task, then observation and action turns;
* the experience model's prompt, the right-hand side of Eq. 4: memories, task,
  history, state, action;
* its target: reasoning, next observation, reward, done;
* the task generator's prompt, Eq. 6: what was seen where a task was solved, and some
  seed tasks, a list that it continues with one more.

A target that does not parse is no crash: `parse_target` says so, and the
dream gives it a meaning (nothing changes, reward 0) and counts it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Transition, Turn

TASK, OBSERVATION, ACTION = "Task:", "\nObservation:", "\nAction:"
MEMORY, BEFORE, STATE, GIVES = "\nMemory:", "\nBefore:", "\nState:", "\ngives"
REASONING, NEXT, REWARD, DONE = "\nReasoning:", "\nNext:", "\nReward:", "\nDone:"
EOS = "<eos>"  # ends every action and every target

# Written as one token each by the tiny tokenizer: markers, and the words that always go together.
PHRASES = tuple(
    p.replace("\n", "\n ").strip(" ")
    for p in (TASK, OBSERVATION, ACTION, MEMORY, BEFORE, STATE, GIVES, REASONING, NEXT, REWARD)
) + ("\n Done: no", "\n Done: yes", "search page", "back to search", "< prev", "next >", "buy now")


@dataclass(frozen=True)
class Format:
    """What the experience model reads and writes; each part of Eq. 4 has its switch.

    Attributes:
        memories: k, how many retrieved transitions stand in the prompt, 0 for none.
        history: how many earlier actions stand in the prompt, 0 for none.
        reasoning: whether the trace R_t is written before the outcome.
        task: whether the task τ stands in the prompt; without it a prompt begins with a line
            end, so that the markers stay the tokens they are.

    Raises:
        UserError: a number below 0.
    """

    memories: int = 1
    history: int = 2
    reasoning: bool = True
    task: bool = True

    def __post_init__(self) -> None:
        for name in ("memories", "history"):
            if getattr(self, name) < 0:
                raise UserError(f"Format({name}=…) is how many; 0 switches them off, none is less.")


def first_turn(instruction: str, observation: str) -> str:
    """The transcript up to the first action."""
    return f"{TASK} {instruction}{OBSERVATION} {observation}{ACTION}"


def next_turn(observation: str) -> str:
    """What the world adds to the transcript after an action."""
    return f"{OBSERVATION} {observation}{ACTION}"


def action_text(action: str) -> str:
    """What the agent adds to the transcript; ends with EOS."""
    return f" {action}{EOS}"


def memory_text(memory: Transition) -> str:
    """One retrieved transition d_j: where, what was done, what it gave."""
    where = memory.state.split("\n", 1)[0]
    return f"{MEMORY} {where}{ACTION} {memory.action}{GIVES} {memory.observation}"


def experience_prompt(
    instruction: str,
    history: Sequence[Turn],
    state: str,
    action: str,
    memories: Sequence[Transition],
    format: Format,
) -> str:
    """The prompt of M_exp, Eq. 4: ``{d_j}, τ, H_t, s_t, a_t``.

    Args:
        instruction: the task τ.
        history: turns so far, oldest first.
        state: abstract state s_t.
        action: action a_t.
        memories: retrieved transitions, best first.  They are written last, the
            best nearest to the answer: what is to be copied then lies at an
            almost constant distance, which a small model learns far sooner.
        format: which parts are written.
    """
    parts = [f"{TASK} {instruction}"] if format.task else []
    if format.history:
        parts.append(f"{BEFORE} " + " ".join(a for _, a in history[-format.history :]))
    parts.append(f"{STATE} {state}{ACTION} {action}")
    parts += [memory_text(m) for m in reversed(memories[: format.memories])]
    return "".join(parts).replace(f"{BEFORE} \n", f"{BEFORE}\n")


def experience_target(
    reasoning: str, observation: str, reward: float, terminated: bool, format: Format
) -> str:
    """The target of M_exp, Eq. 5: the trace, then the outcome; ends with EOS."""
    trace = f"{REASONING} {reasoning}" if format.reasoning else ""
    done = "yes" if terminated else "no"
    return f"{trace}{NEXT} {observation}{REWARD} {reward:g}{DONE} {done}{EOS}"


@dataclass(frozen=True)
class Outcome:
    """What the experience model said will happen.

    Attributes:
        reasoning: the trace R_t, empty without reasoning.
        observation: the next observation.
        reward: 0.0 or 1.0.
        terminated: the episode is over.
    """

    reasoning: str
    observation: str
    reward: float
    terminated: bool


_TARGET = re.compile(
    rf"(?:{REASONING}(?P<r>.*?))?{NEXT} ?(?P<o>.*){REWARD} (?P<w>[01]){DONE} (?P<d>yes|no)",
    re.DOTALL,
)


def parse_target(text: str) -> Outcome | None:
    """Read a written target; None where it does not follow the format."""
    match = _TARGET.fullmatch(text.removesuffix(EOS))
    if match is None or not match["o"].strip():
        return None
    reasoning = (match["r"] or "").strip()
    return Outcome(reasoning, match["o"], float(match["w"]), match["d"] == "yes")


# ---- the task generator -------------------------------------------------------------------------


def variation_prompt(seeds: Sequence[str], seen: str) -> str:
    """The prompt of M_task, Eq. 6: ``{τ^i}_{i≤m}``, and what there is to ask for.

    It begins with a line end and holds a list of tasks, as no prompt of the experience model
    does: one network can tell its two jobs apart.

    Args:
        seeds: instructions of the seed tasks, the one to be varied most of all first.
        seen: the abstract state in which that one was solved, so that what is asked can be
            there; empty to write from the seeds alone.
    """
    shown = f"{STATE} {seen}" if seen else ""
    return shown + "".join(f"\n{TASK}{variation_target(seed)}" for seed in seeds) + f"\n{TASK}"


def variation_target(instruction: str) -> str:
    """What M_task is to write: one more task of the list; ends with EOS, as all of them do."""
    return f" {instruction}{EOS}"


def parse_variation(text: str) -> str | None:
    """Read a written task; None where it is empty, has several lines or was cut short."""
    instruction = text.removesuffix(EOS).strip()
    if not text.endswith(EOS) or not instruction or "\n" in instruction or EOS in instruction:
        return None
    return instruction
