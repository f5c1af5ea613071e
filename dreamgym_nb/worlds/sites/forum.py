"""A forum: boards, posts, votes, comments and users."""

from __future__ import annotations

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


def _posts_of(records: Records, user: str) -> str:
    return str(sum(p["author"] == user for p in records["posts"].values()))


KINDS = (
    Kind(
        "forum",
        "boards",
        "{}",
        ("moderator", "members", "membership", "newest post"),
        links={"moderator": "users"},
        column="members",
        lists={"posts": "board"},
        buttons=(Button("join", "membership", "joined"), Button("leave", "membership", "left")),
        boxes=(Box("new post", "newest post", creates="posts"),),
    ),
    Kind(
        "forum",
        "posts",
        "post {}",
        ("title", "author", "board", "score", "state", "your vote", "last comment"),
        links={"author": "users", "board": "boards"},
        column="title",
        buttons=(
            Button("upvote", "your vote", "up"),
            Button("downvote", "your vote", "down"),
            Button("lock", "state", "locked"),
            Button("unlock", "state", "open"),
        ),
        boxes=(Box("comment", "last comment"),),
        fresh={
            "author": YOU,
            "score": "0",
            "state": "open",
            "your vote": NONE,
            "last comment": NONE,
        },
    ),
    Kind(
        "forum",
        "users",
        "{}",
        ("city", "points", "number of posts", "relation", "last message"),
        column="city",
        lists={"posts": "author"},
        buttons=(Button("follow", "relation", "followed"), Button("block", "relation", "blocked")),
        boxes=(Box("message", "last message"),),
        computed={"number of posts": _posts_of},
    ),
)


def fill(rng: np.random.Generator) -> Records:
    """Draw the contents: 6 boards, 18 posts, 8 users."""
    users = sorted(words.draw(rng, words.USERS, 8))
    boards = sorted(words.draw(rng, words.BOARDS, 6))
    keys = words.numbers(rng, 18)
    titles = words.pairs(rng, words.POST_STYLES, words.POST_THINGS, 18)
    # Three posts a board, so that its list of posts is one page.
    places = [boards[int(i) % 6] for i in rng.permutation(18)]
    posts = {
        key: {
            "title": title,
            "author": words.one(rng, users),
            "board": board,
            "score": str(int(rng.integers(0, 90))),
            "state": words.one(rng, ("open", "open", "locked")),
            "your vote": NONE,
            "last comment": words.remark(rng),
        }
        for key, title, board in zip(keys, titles, places, strict=True)
    }
    newest = {p["board"]: p["title"] for p in posts.values()}
    return {
        "boards": {
            board: {
                "moderator": words.one(rng, users),
                "members": str(int(rng.integers(10, 100))),
                "membership": NONE,
                "newest post": newest[board],
            }
            for board in boards
        },
        "posts": posts,
        "users": {
            user: {
                "city": words.one(rng, words.CITIES),
                "points": str(int(rng.integers(10, 100))),
                "relation": NONE,
                "last message": NONE,
            }
            for user in users
        },
    }


TEMPLATES = (
    Question("boards", "moderator", "who is the moderator of {}"),
    Question("boards", "members", "how many members has {}"),
    Question("boards", "newest post", "what is the newest post of {}"),
    Question("posts", "title", "what is the title of {}"),
    Question("posts", "author", "who is the author of {}"),
    Question("posts", "score", "what is the score of {}"),
    Question("posts", "board", "in which board is {}"),
    Question("posts", "last comment", "what is the last comment of {}"),
    Question("posts", "author", "who wrote the post {}", named="title"),
    Question("posts", "score", "what is the score of the post {}", named="title"),
    Question("users", "city", "in which city lives {}"),
    Question("users", "points", "how many points has {}"),
    Question("users", "number of posts", "what is the number of posts of {}"),
    Question("users", "points", "how many points has the author of {}", ("posts", "author")),
    Question("users", "city", "in which city lives the moderator of {}", ("boards", "moderator")),
    Visit("boards", "go to the page of {}"),
    Visit("posts", "go to the page of {}"),
    Visit("posts", "go to the post {}", named="title"),
    Visit("users", "go to the page of {}"),
    Visit("boards", "go to the posts of {}", list="posts"),
    Visit("users", "go to the posts of {}", list="posts"),
    Visit("users", "go to the page of the author of {}", via=("posts", "author")),
    Visit("boards", "go to the page of the board of {}", via=("posts", "board")),
    Change("boards", "join {}", (("membership", "joined"),)),
    Change("boards", "leave {}", (("membership", "left"),)),
    Change("boards", "write the post {1} in {0}", (("newest post", None),)),
    Change("posts", "upvote {}", (("your vote", "up"),)),
    Change("posts", "downvote {}", (("your vote", "down"),)),
    Change("posts", "upvote the post {}", (("your vote", "up"),), named="title"),
    Change("posts", "lock {}", (("state", "locked"),)),
    Change("posts", "unlock {}", (("state", "open"),)),
    Change("posts", "write the comment {1} on {0}", (("last comment", None),)),
    Change(
        "posts",
        "upvote {0} and write the comment {1}",
        (("your vote", "up"), ("last comment", None)),
    ),
    Change("users", "follow {}", (("relation", "followed"),)),
    Change("users", "block {}", (("relation", "blocked"),)),
    Change("users", "send the message {1} to {0}", (("last message", None),)),
)

SITE = Site("forum", "forum", KINDS, fill, TEMPLATES)
