"""A code host: projects, issues, merge requests, files, developers and an overview."""

from __future__ import annotations

from collections import Counter

import numpy as np

from dreamgym_nb.worlds.sites import words
from dreamgym_nb.worlds.sites.schema import (
    NONE,
    YOU,
    Box,
    Button,
    Change,
    Kind,
    Question,
    Records,
    Site,
    Visit,
)

ROLES = ("guest", "member", "owner")
LABELS = ("bug", "feature", "task")


def _open(plural: str):
    return lambda records, _: str(sum(r["state"] == "open" for r in records[plural].values()))


def _busiest(records: Records, _: str) -> str:
    """The project with most open issues; ties go to the first in the alphabet."""
    counts = Counter(i["project"] for i in records["issues"].values() if i["state"] == "open")
    return min(records["projects"], key=lambda p: (-counts[p], p))


KINDS = (
    Kind(
        "code",
        "projects",
        "{}",
        ("maintainer", "language", "license", "visibility", "starred", "newest issue"),
        links={"maintainer": "developers"},
        column="language",
        lists={"issues": "project", "merge requests": "project", "files": "project"},
        buttons=(
            Button("star", "starred", "yes"),
            Button("unstar", "starred", "no"),
            Button("public", "visibility", "public"),
            Button("private", "visibility", "private"),
        ),
        boxes=(Box("new issue", "newest issue", creates="issues"),),
    ),
    Kind(
        "code",
        "issues",
        "issue {}",
        ("title", "project", "author", "assignee", "label", "state", "last comment"),
        links={"project": "projects", "author": "developers"},
        column="title",
        buttons=(
            Button("close", "state", "closed"),
            Button("reopen", "state", "open"),
            *(Button(label, "label", label) for label in LABELS),
        ),
        boxes=(Box("assignee", "assignee", "developers"), Box("comment", "last comment")),
        fresh={
            "author": YOU,
            "assignee": NONE,
            "label": NONE,
            "state": "open",
            "last comment": NONE,
        },
    ),
    Kind(
        "code",
        "merge requests",
        "merge request {}",
        ("title", "project", "author", "branch", "reviewer", "state"),
        links={"project": "projects", "author": "developers"},
        column="title",
        buttons=(Button("merge", "state", "merged"), Button("close", "state", "closed")),
        boxes=(Box("reviewer", "reviewer", "developers"),),
    ),
    Kind(
        "code",
        "files",
        "{}",
        ("project", "lines", "editor"),
        links={"project": "projects", "editor": "developers"},
    ),
    Kind(
        "code",
        "developers",
        "{}",
        ("team", "commits", "role", "status"),
        column="team",
        lists={"issues": "author"},
        buttons=tuple(Button(role, "role", role) for role in ROLES),
        boxes=(Box("status", "status"),),
    ),
    Kind(
        "code",
        "overview",
        "overview",
        ("open issues", "open merge requests", "busiest project"),
        links={"busiest project": "projects"},
        computed={
            "open issues": _open("issues"),
            "open merge requests": _open("merge requests"),
            "busiest project": _busiest,
        },
        single=True,
    ),
)


def fill(rng: np.random.Generator) -> Records:
    """Draw the contents: 5 projects, 15 issues, 10 merge requests, 15 files, 8 developers."""
    developers = sorted(words.draw(rng, words.DEVELOPERS, 8))
    projects = sorted(words.draw(rng, words.PROJECTS, 5))
    titles = words.pairs(rng, words.FAULTS, words.PARTS, 25)
    issues = {
        key: {
            "title": titles.pop(),
            "project": projects[int(place) % 5],
            "author": words.one(rng, developers),
            "assignee": words.one(rng, developers),
            "label": words.one(rng, LABELS),
            "state": words.one(rng, ("open", "open", "closed")),
            "last comment": words.remark(rng),
        }
        for key, place in zip(words.numbers(rng, 15), rng.permutation(15), strict=True)
    }
    merges = {
        key: {
            "title": titles.pop(),
            "project": projects[int(place) % 5],
            "author": words.one(rng, developers),
            "branch": words.one(rng, words.BRANCHES),
            "reviewer": words.one(rng, developers),
            "state": words.one(rng, ("open", "open", "closed", "merged")),
        }
        for key, place in zip(words.numbers(rng, 10), rng.permutation(10), strict=True)
    }
    newest = {i["project"]: i["title"] for i in issues.values()}
    return {
        "projects": {
            project: {
                "maintainer": words.one(rng, developers),
                "language": words.one(rng, words.LANGUAGES),
                "license": words.one(rng, words.LICENSES),
                "visibility": words.one(rng, ("public", "private")),
                "starred": words.one(rng, ("no", "no", "yes")),
                "newest issue": newest[project],
            }
            for project in projects
        },
        "issues": issues,
        "merge requests": merges,
        "files": {
            f"{project} {name}": {
                "project": project,
                "lines": str(10 * int(rng.integers(1, 60))),
                "editor": words.one(rng, developers),
            }
            for project in projects
            for name in sorted(words.draw(rng, words.FILES, 3))
        },
        "developers": {
            name: {
                "team": words.one(rng, words.TEAMS),
                "commits": str(int(rng.integers(10, 100))),
                "role": words.one(rng, ROLES),
                "status": NONE,
            }
            for name in developers
        },
        "overview": {"overview": {}},
    }


TEMPLATES = (
    Question("projects", "maintainer", "who is the maintainer of {}"),
    Question("projects", "language", "what is the language of {}"),
    Question("projects", "license", "what is the license of {}"),
    Question("projects", "newest issue", "what is the newest issue of {}"),
    Question("issues", "title", "what is the title of {}"),
    Question("issues", "author", "who is the author of {}"),
    Question("issues", "assignee", "who is the assignee of {}"),
    Question("issues", "label", "what is the label of {}"),
    Question("issues", "author", "who wrote the issue {}", named="title"),
    Question("issues", "assignee", "who is the assignee of the issue {}", named="title"),
    Question("merge requests", "branch", "what is the branch of {}"),
    Question("merge requests", "reviewer", "who is the reviewer of {}"),
    Question("merge requests", "author", "who is the author of {}"),
    Question("files", "lines", "how many lines has the file {}"),
    Question("files", "editor", "who is the editor of the file {}"),
    Question("developers", "team", "what is the team of {}"),
    Question("developers", "commits", "how many commits has {}"),
    Question("overview", "open issues", "how many open issues are there"),
    Question("overview", "busiest project", "what is the busiest project"),
    Question(
        "projects", "language", "what is the language of the project of {}", ("issues", "project")
    ),
    Question("developers", "team", "what is the team of the author of {}", ("issues", "author")),
    Visit("projects", "go to the page of {}"),
    Visit("issues", "go to the page of {}"),
    Visit("issues", "go to the issue {}", named="title"),
    Visit("merge requests", "go to the page of {}"),
    Visit("files", "go to the file {}"),
    Visit("developers", "go to the page of {}"),
    Visit("overview", "go to the {} of the code host"),
    Visit("projects", "go to the issues of {}", list="issues"),
    Visit("projects", "go to the merge requests of {}", list="merge requests"),
    Visit("projects", "go to the files of {}", list="files"),
    Visit("projects", "go to the page of the project of {}", via=("merge requests", "project")),
    Change("projects", "star {}", (("starred", "yes"),)),
    Change("projects", "unstar {}", (("starred", "no"),)),
    Change("projects", "make {} {}", (("visibility", None),)),
    Change("projects", "open the issue {1} in {0}", (("newest issue", None),)),
    Change("issues", "close {}", (("state", "closed"),)),
    Change("issues", "reopen {}", (("state", "open"),)),
    Change("issues", "close the issue {}", (("state", "closed"),), named="title"),
    Change("issues", "label {} as {}", (("label", None),)),
    Change("issues", "assign {} to {}", (("assignee", None),)),
    Change("issues", "write the comment {1} on {0}", (("last comment", None),)),
    Change(
        "issues",
        "assign {} to {} and write the comment {}",
        (("assignee", None), ("last comment", None)),
    ),
    Change("merge requests", "merge {}", (("state", "merged"),)),
    Change("merge requests", "close {}", (("state", "closed"),)),
    Change("merge requests", "make {1} the reviewer of {0}", (("reviewer", None),)),
    Change("developers", "make {} a {}", (("role", None),)),
    Change("developers", "set the status of {} to {}", (("status", None),)),
)

SITE = Site("code", "code", KINDS, fill, TEMPLATES)
