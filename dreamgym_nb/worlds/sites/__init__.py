"""Three small sites: the admin of a shop, a forum and a code host."""

from dreamgym_nb.worlds.sites.loopback import serve
from dreamgym_nb.worlds.sites.server import SITES, Response, SiteState, make_state

__all__ = ["SITES", "Response", "SiteState", "make_state", "serve"]
