"""The state of the sites and their pages: one object for each episode.

`SiteState` holds the records, answers requests and remembers what was saved.
The text browser calls `handle` in the same process; a real browser reaches
the same object over loopback through `wsgi_app` (see `loopback.py`).  GET
shows a page, POST changes a record and redirects to its page, which then says
once what was saved (the pattern Post/Redirect/Get).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote_plus

import jinja2
import numpy as np

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.sites import code_host, forum, shop_admin
from dreamgym_nb.worlds.sites.forms import refusal
from dreamgym_nb.worlds.sites.schema import NONE, Kind, Records, Site

SITES = {site.name: site for site in (shop_admin.SITE, forum.SITE, code_host.SITE)}
SAVED = "saved: "
PAGE_SIZE = 4
STYLE, ICON = "/static/style.css", "/favicon.ico"
_MAX_BODY = 100_000  # bytes of a form
_HOST = re.compile("^https?://[^/?]*")
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Response:
    """What a request gave.

    Attributes:
        status: HTTP status.
        url: path and query of the page, after redirects.
        html: the page.
    """

    status: int
    url: str
    html: str


@dataclass(frozen=True)
class _Answer:
    status: int
    body: str = ""
    location: str = ""
    type: str = "text/html; charset=utf-8"


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(_HERE / "templates")
    return jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@lru_cache(maxsize=1)
def _style() -> str:
    return (_HERE / "static" / "style.css").read_text(encoding="utf-8")


def slug(text: str) -> str:
    """A name as it stands in a URL."""
    return text.replace(" ", "-")


def make_state(seed: int = 0, sites: Sequence[str] = tuple(SITES)) -> SiteState:
    """The sites of a seed as they are before anyone has visited them.

    Args:
        seed: fixes the contents; a site's contents do not depend on the others.
        sites: names of sites, at least one.

    Raises:
        UserError: no site, or one that does not exist.
    """
    sites = (sites,) if isinstance(sites, str) else sites  # one name is a choice of one
    unknown = [name for name in sites if name not in SITES]
    if unknown or not sites:
        raise UserError(f"Name at least one of the sites {list(SITES)}, not {list(sites)}.")
    chosen = [SITES[name] for name in SITES if name in sites]
    records: Records = {}
    for number, site in enumerate(SITES.values()):
        if site in chosen:
            records |= site.fill(np.random.default_rng([seed, 3, number]))
    return SiteState(chosen, records)


class SiteState:
    """The contents of the sites, and the pages that show and change them.

    Attributes:
        sites: their descriptions.
        records: plural → key → field → value.
        journal: what was saved, oldest first: (title of the page, field, value).
    """

    def __init__(self, sites: Sequence[Site], records: Records) -> None:
        self.sites = tuple(sites)
        self.kinds: dict[str, Kind] = {k.plural: k for site in sites for k in site.kinds}
        self._by_slug = {(k.site, slug(k.plural)): k for k in self.kinds.values()}
        self.records = records
        self.journal: list[tuple[str, str, str]] = []
        self._said: list[str] = []
        self._lock = threading.Lock()

    def copy(self) -> SiteState:
        """An independent copy, with an empty journal."""
        records = {p: {k: dict(r) for k, r in rs.items()} for p, rs in self.records.items()}
        return SiteState(self.sites, records)

    # ---- what the sites hold ----------------------------------------------------

    def title(self, plural: str, key: str) -> str:
        """The title of a record's page."""
        return self.kinds[plural].title.format(key)

    def value(self, plural: str, key: str, field: str) -> str:
        """The present value of a field of a record, computed fields included."""
        compute = self.kinds[plural].computed.get(field)
        return compute(self.records, key) if compute else self.records[plural][key][field]

    def kind_at(self, prefix: str, name: str) -> Kind | None:
        """The kind whose list is at ``/prefix/name``."""
        return self._by_slug.get((prefix, name))

    def url(self, plural: str, key: str | None = None, list: str | None = None) -> str:
        """Path of a list, of a record's page, or of a list on a record's page."""
        kind = self.kinds[plural]
        parts = [kind.site, slug(plural)]
        if key is not None and not kind.single:
            parts.append(slug(key))
        return "/" + "/".join(parts + ([slug(list)] if list else []))

    # ---- requests -----------------------------------------------------------------

    def handle(self, method: str, url: str, form: Mapping[str, str] | None = None) -> Response:
        """Answer a request and follow its redirects, as a browser does.

        Args:
            method: ``"GET"`` or ``"POST"``.
            url: path and query; a scheme and host in front are ignored.
            form: the fields of a POST.
        """
        answer = self.dispatch(method, url, form)
        while answer.location:
            url = answer.location
            answer = self.dispatch("GET", url)
        return Response(answer.status, url, answer.body)

    def dispatch(self, method: str, url: str, form: Mapping[str, str] | None = None) -> _Answer:
        """Answer one request, redirects not followed."""
        address, _, rest = _HOST.sub("", url).partition("?")
        path = [part for part in address.split("/") if part]
        query = dict(parse_qsl(rest))
        if address == STYLE:
            return _Answer(200, _style(), type="text/css; charset=utf-8")
        if address == ICON:  # which browsers ask for between two pages; it needs some body
            return _Answer(404, "<title>not found</title>")
        if method not in ("GET", "POST"):
            return _Answer(405, self._page("missing.html", title="not allowed", site=""))
        if not path:
            return _Answer(200, self._home())
        kind = self._by_slug.get(tuple(path[:2])) if len(path) > 1 else None
        if kind is None or len(path) > 4:
            return self._missing()
        key = kind.plural if kind.single else None
        rest = path[2:]
        if rest and not kind.single:
            key = self._key(kind, rest.pop(0))
            if key is None:
                return self._missing()
        if method == "POST":
            if key is None or rest:
                return self._missing()
            return self._change(kind, key, form or {})
        if not rest and key is not None:
            return _Answer(200, self._record(kind, key, {}))
        return self._list(kind, key, rest, query)

    def _key(self, kind: Kind, name: str) -> str | None:
        if name in self.records[kind.plural]:
            return name
        key = name.replace("-", " ")
        return key if key in self.records[kind.plural] else None

    def _missing(self) -> _Answer:
        return _Answer(404, self._page("missing.html", title="not found", site=""))

    # ---- pages --------------------------------------------------------------------

    def _page(self, template: str, **values: Any) -> str:
        said, self._said = self._said, []
        page = _templates().get_template(template)
        return page.render(style=STYLE, said=said, **{"wrong": "", **values})

    def _home(self) -> str:
        groups = [
            (site.prefix, [(k.plural, self.url(k.plural)) for k in site.kinds])
            for site in self.sites
        ]
        return self._page("home.html", title="home", site="home", groups=groups)

    def _link(self, plural: str, key: str) -> tuple[str, str]:
        """Text and address of a link to a record; no address where there is no record."""
        if key not in self.records[plural]:
            return key, ""
        return self.title(plural, key), self.url(plural, key)

    def _record(self, kind: Kind, key: str, typed: Mapping[str, str], wrong: str = "") -> str:
        rows = []
        for field in kind.fields:
            value = self.value(kind.plural, key, field)
            linked = kind.links.get(field)
            rows.append((field, *(self._link(linked, value) if linked else (value, ""))))
        lists = [
            (f"{plural} of {key}", self.url(kind.plural, key, plural)) for plural in kind.lists
        ]
        up = [] if kind.single else [(kind.plural, self.url(kind.plural))]
        return self._page(
            "record.html",
            title=self.title(kind.plural, key),
            site=kind.site,
            nav=[("home", "/"), *up],
            action=self.url(kind.plural, key),
            rows=rows,
            lists=lists,
            buttons=[b.label for b in kind.buttons],
            boxes=[(b.label, typed.get(b.label, "")) for b in kind.boxes],
            wrong=wrong,
        )

    def _list(
        self, kind: Kind, key: str | None, rest: list[str], query: Mapping[str, str]
    ) -> _Answer:
        nav = [("home", "/")]
        if key is None:  # all records of a kind, or those that a search finds
            shown, url = kind, self.url(kind.plural)
            keys = list(self.records[kind.plural])
            title, more = shown.plural, ""
            if words := query.get("q", "").split():
                keys = [k for k in keys if self._matches(kind, k, words)]
                title = f"{shown.plural} for {' '.join(words)}"
                more = f"q={quote_plus(' '.join(words))}&"
        else:
            plurals = {slug(p): p for p in kind.lists}
            if len(rest) != 1 or rest[0] not in plurals:
                return self._missing()
            shown, url = self.kinds[plurals[rest[0]]], self.url(kind.plural, key, rest[0])
            field = kind.lists[shown.plural]
            keys = [k for k, r in self.records[shown.plural].items() if r[field] == key]
            title, more = f"{shown.plural} of {key}", ""
            nav.append((self.title(kind.plural, key), self.url(kind.plural, key)))
        pages = max(1, -(-len(keys) // PAGE_SIZE))
        page = int(query["page"]) if re.fullmatch(r"[0-9]{1,3}", query.get("page", "")) else 1
        page = min(max(page, 1), pages)

        def turn(to: int) -> str:
            return url + (f"?{more}page={to}" if to > 1 else f"?{more[:-1]}" if more else "")

        links = [("previous", turn(page - 1))] if page > 1 else []
        links += [("next", turn(page + 1))] if page < pages else []
        rows = [
            (self.title(shown.plural, k), self.url(shown.plural, k), self._column(shown, k))
            for k in keys[PAGE_SIZE * (page - 1) : PAGE_SIZE * page]
        ]
        html = self._page(
            "list.html",
            title=title if pages == 1 else f"{title} page {page}",
            site=shown.site,
            nav=nav,
            search=url if key is None else "",
            rows=rows,
            links=links,
        )
        return _Answer(200, html)

    def _column(self, kind: Kind, key: str) -> str:
        return self.value(kind.plural, key, kind.column) if kind.column else ""

    def _matches(self, kind: Kind, key: str, words: Iterable[str]) -> bool:
        have = f"{self.title(kind.plural, key)} {self._column(kind, key)}".lower().split()
        return all(word.lower() in have for word in words)

    # ---- changes ------------------------------------------------------------------

    def _change(self, kind: Kind, key: str, form: Mapping[str, str]) -> _Answer:
        """A POST to a record's page: one button, or what was typed into the boxes."""
        button = next((b for b in kind.buttons if b.label == form.get("set")), None)
        if button is not None:
            return self._save(kind, key, [(button.field, button.value, "")])
        typed = {b.label: " ".join(form.get(b.label, "").split()) for b in kind.boxes}
        wrong, edits = refusal(self.records, kind, typed)
        if wrong:
            return _Answer(422, self._record(kind, key, typed, wrong))
        return self._save(kind, key, edits)

    def _save(self, kind: Kind, key: str, edits: Iterable[tuple[str, str, str]]) -> _Answer:
        title = self.title(kind.plural, key)
        for field, value, creates in edits:
            self.records[kind.plural][key][field] = value
            if creates:
                self._create(kind, key, creates, value)
            self.journal.append((title, field, value))
            self._said.append(f"{SAVED}{title} | {field} | {value}")
        return _Answer(303, location=self.url(kind.plural, key))

    def _create(self, owner: Kind, key: str, plural: str, title: str) -> None:
        """A new record of a kind whose records are numbered and belong to `owner`'s."""
        records, kind = self.records[plural], self.kinds[plural]
        number = max(int(k) for k in records) + 1
        records[str(number)] = {**kind.fresh, "title": title, owner.lists[plural]: key}

    # ---- over HTTP ----------------------------------------------------------------

    def wsgi_app(
        self, environ: Mapping[str, Any], start_response: Callable[..., Any]
    ) -> list[bytes]:
        """The sites as a WSGI application, for a real browser."""
        url = environ.get("PATH_INFO", "/")
        if environ.get("QUERY_STRING"):
            url += f"?{environ['QUERY_STRING']}"
        form: dict[str, str] = {}
        if environ["REQUEST_METHOD"] == "POST":
            length = environ.get("CONTENT_LENGTH") or "0"
            body = environ["wsgi.input"].read(
                min(int(length), _MAX_BODY) if length.isdigit() else 0
            )
            form = dict(parse_qsl(body.decode("utf-8", "replace")))
        with self._lock:
            answer = self.dispatch(environ["REQUEST_METHOD"], url, form)
        body = answer.body.encode("utf-8")
        headers = [
            ("Content-Type", answer.type),
            ("Content-Length", str(len(body))),
            # Going back must show what is true now, as in the text browser.
            ("Cache-Control", "no-store"),
        ]
        if answer.location:
            headers.append(("Location", answer.location))
        start_response(f"{answer.status} {_REASONS[answer.status]}", headers)
        return [body]


_REASONS = {
    200: "OK",
    303: "See Other",
    404: "Not Found",
    405: "Method Not Allowed",
    422: "Unprocessable Content",
}


__all__ = ["NONE", "PAGE_SIZE", "SAVED", "SITES", "Response", "SiteState", "make_state", "slug"]
