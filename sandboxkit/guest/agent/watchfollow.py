"""Makes what a watch tells of what inotify says.

What was told so far is kept as a tree of directories. Each event changes that tree and is told, or
is found to be in it already. As events are read late, a directory may not be what the event means
any more; so directories are compared by identity, and whatever cannot be compared is doubted and
looked at again once all events are read. In the end the tree is the real one, and so is the picture
of whoever was told all its changes. See docs/decisions/0020-a-watch-tells-a-model.md.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Callable, Deque, Dict, Optional, Tuple

from . import inotify
from .inotify import Event
from .watchscan import Scan
from .watchtree import Found, Node, Tree, file_type

CREATED = "created"
MODIFIED = "modified"
ATTRIBUTES = "attributes"
REMOVED = "removed"
RENAMED = "renamed"
OVERFLOW = "overflow"

Tell = Callable[[str, bytes, str, Optional[bytes]], None]
Place = Tuple[Node, bytes]

# The kernel queues the two events of a rename under the locks of both directories, so hardly
# anything comes between; it is not looked for further than this.
_PARTNER_WITHIN = 64
_GONE = inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.UNMOUNT


class Follower:
    """Follows what happens in a directory.

    Args:
        path: of the directory.
        recursive: also in all below it.
        tell: called with the kind, the path, the type, and the new path of what was renamed.

    Raises:
        OSError: the directory cannot be watched.

    Attributes:
        begun: everything is watched that was there at first.
        ended: the directory itself is gone; nothing more is told.
        wants_partner: it waits for the second half of a rename, see `give_up_partner`.
    """

    def __init__(self, path: bytes, recursive: bool, tell: Tell) -> None:
        self._path = path
        self._recursive = recursive
        self._tell = tell
        self._events: Deque[Event] = deque()
        self._doubts: Dict[Place, None] = {}
        self._unresolved: Dict[Place, None] = {}
        self._root_doubted = False
        self._no_partner = False
        self.begun = False
        self.ended = False
        self.wants_partner = False
        self._start()

    def _start(self) -> None:
        self._tree = Tree(self._path)
        self._scan = Scan(self._tree, self._scanned, self._scanned_other, self._doubt_node)
        self._scan.add(self._tree.root)

    @property
    def fd(self) -> int:
        """What becomes readable when there is more to do."""
        return self._tree.inotify.fd

    def close(self) -> None:
        """Watch nothing any more. Idempotent."""
        self.ended = True
        self._scan.close()
        self._tree.close()
        self._events.clear()

    def step(self) -> bool:
        """Do a little, as the watch's user; false if there is nothing to do for now.

        Raises:
            OpError: ``too_many``.
            OSError: it cannot go on.
        """
        if self.ended:
            return False
        if self._scan.busy:
            self._scan.step()
            return True
        self.begun = True
        if self._events:
            return self._handle_next()
        self._events.extend(self._tree.inotify.read())
        if self._events:
            # What was out of reach may be explained by them.
            self._doubts.update(self._unresolved)
            self._unresolved.clear()
            return True
        # All that has happened is told, so what there is now can be held against it.
        self._tree.fresh.clear()
        doubts, self._doubts = self._doubts, {}
        for place in doubts:
            self._check(*place)
        if self._root_doubted:
            self._check_root()
        # What was looked at is ahead of its events until one more read has found none.
        return any((self._doubts, self._scan.busy, self._tree.fresh))

    def pause(self) -> None:
        """Let go of what is only kept from one step to the next."""
        self._tree.release()

    # -- events -------------------------------------------------------------------------------

    def give_up_partner(self) -> None:
        """The second half of a rename has not come: it was moved out of sight."""
        self._no_partner = True

    def _handle_next(self) -> bool:
        event = self._events[0]
        partner: Optional[Event] = None
        if event.mask & inotify.MOVED_FROM:
            partner = self._partner(event)
            if partner is None and not self._no_partner and len(self._events) <= _PARTNER_WITHIN:
                more = self._tree.inotify.read()
                self._events.extend(more)
                self.wants_partner = not more
                return bool(more)
        self.wants_partner = self._no_partner = False
        self._events.popleft()
        if partner is not None:
            self._events.remove(partner)
        self._handle(event, partner)
        return True

    def _partner(self, event: Event) -> Optional[Event]:
        for position, other in enumerate(self._events):
            if position > _PARTNER_WITHIN:
                break
            if other.mask & inotify.MOVED_TO and other.cookie == event.cookie:
                return other
        return None

    def _handle(self, event: Event, partner: Optional[Event]) -> None:
        if event.mask & inotify.OVERFLOW:
            self._overflowed()
            return
        node = self._tree.by_wd(event.wd)
        target = None if partner is None else self._tree.by_wd(partner.wd)
        if node is None or not event.name:
            if target is not None and partner is not None:
                self._handle(partner, None)
            elif node is not None:
                self._handle_itself(event, node)
            return
        is_directory = bool(event.mask & inotify.IS_DIRECTORY)
        if target is not None and partner is not None:
            self._renamed((node, event.name), (target, partner.name), is_directory)
        elif event.mask & (inotify.CREATE | inotify.MOVED_TO):
            self._appeared(node, event.name, is_directory)
        elif event.mask & (inotify.DELETE | inotify.MOVED_FROM):
            self._disappeared(node, event.name, is_directory)
        elif event.mask & inotify.MODIFY:
            self._say(MODIFIED, node, event.name, node.type_of(event.name))
        elif event.mask & inotify.ATTRIB:
            self._attributes(node, event.name, is_directory)

    def _handle_itself(self, event: Event, node: Node) -> None:
        """What happens to any directory but the root is told by the one it is in."""
        if node is self._tree.root:
            if event.mask & _GONE:
                self._root_is_gone()
            elif event.mask & inotify.ATTRIB:
                self._tell(ATTRIBUTES, self._tree.path(node), "directory", None)
        elif event.mask & inotify.IGNORED:
            self._tree.unwatched(node)
            self._doubt_node(node)

    def _root_is_gone(self) -> None:
        self._tell(REMOVED, self._tree.path(self._tree.root), "directory", None)
        self.close()

    def _overflowed(self) -> None:
        """Begin anew: all that is there is told, as of an empty directory."""
        root = self._tree.root
        self._tell(OVERFLOW, self._tree.path(root), "directory", None)
        self.pause()
        still_there = self._tree.open(root)
        if still_there is None:
            self._root_is_gone()
            return
        self._scan.close()
        self._tree.close()
        self._events.clear()
        self._doubts.clear()
        self._unresolved.clear()
        os.close(still_there)
        self._start()

    # -- what they mean -----------------------------------------------------------------------

    def _appeared(self, node: Node, name: bytes, is_directory: bool) -> None:
        if not is_directory:
            self._clear(node, name)
            self._other_appeared(node, name, node.type_of(name))
        elif not self._recursive:
            node.note(name, "directory")
            self._say(CREATED, node, name, "directory")
        else:
            found = self._tree.find(node, name)
            self._directory_appeared(node, name, found)
            if found is None:
                self._doubts[node, name] = None

    def _other_appeared(self, node: Node, name: bytes, otherwise: str) -> None:
        node.note(name, self._type_now(node, name, otherwise))
        self._say(CREATED, node, name, node.type_of(name))

    def _type_now(self, node: Node, name: bytes, otherwise: str) -> str:
        try:
            found = self._tree.look(node, name)
        except LookupError:
            self._doubts[node, name] = None
            return otherwise
        kind = otherwise if found is None else file_type(found)
        # A directory has come in its place, which its own event tells.
        return otherwise if kind == "directory" else kind

    def _directory_appeared(self, node: Node, name: bytes, found: Optional[Found]) -> None:
        """There is a directory; tell it, and what is in it, unless that was told."""
        known = node.children.get(name)
        if known is not None and found is not None and known.wd == found.wd:
            return
        if found is not None:
            found = self._claim(found)
            if not self._tree.holds(node):
                return
            known = node.children.get(name)
        if known is not None and (known.wd is not None or known.seen):
            self._clear(node, name)
            known = None
        if known is None:
            known = self._tree.attach(node, name, found)
            if self.begun:
                self._say(CREATED, node, name, "directory")
        else:
            self._tree.adopt(known, found)
        self._scan_unseen(known)

    def _claim(self, found: Found) -> Optional[Found]:
        """Take a directory from where it was thought to be, unless it is there too."""
        other = None if found.wd is None else self._tree.by_wd(found.wd)
        if other is None:
            return found
        if other.parent is None:
            return None
        place = (other.parent, other.name)
        there = self._tree.find(*place)
        if there is not None and there.wd == found.wd:
            return None
        self._say(REMOVED, *place, "directory")
        self._tree.drop(other, keep=found.wd)
        self._doubts[place] = None
        return found

    def _disappeared(self, node: Node, name: bytes, is_directory: bool) -> None:
        if is_directory and self._recursive:
            self._clear(node, name)
        elif name not in node.children:
            kind = "directory" if is_directory else node.type_of(name)
            node.special.pop(name, None)
            self._say(REMOVED, node, name, kind)

    def _renamed(self, source: Place, target: Place, is_directory: bool) -> None:
        if is_directory and self._recursive:
            self._directory_renamed(source, target)
            return
        if source[0] in self._tree.fresh or source[1] in source[0].children:
            # It may never have been told of, or another of that name.
            self._disappeared(*source, is_directory)
            self._appeared(*target, is_directory)
            return
        kind = "directory" if is_directory else source[0].type_of(source[1])
        source[0].special.pop(source[1], None)
        self._clear(*target)
        target[0].note(target[1], kind if is_directory else self._type_now(*target, kind))
        if source in self._doubts:
            self._doubts[target] = None
        self._say(RENAMED, *source, target[0].type_of(target[1]), target)

    def _directory_renamed(self, source: Place, target: Place) -> None:
        moved = source[0].children.get(source[1])
        found = self._tree.find(*target)
        if (
            moved is None
            or (found is not None and found.wd != moved.wd)
            or self._tree.is_below(target[0], moved)
        ):
            # It was another one that was told of, and is somewhere else.
            self._clear(*source)
        else:
            self._clear(*target)
        if moved is None or not self._tree.holds(moved):
            # Found anew, for it may have been among what is unwatched now.
            if self._tree.holds(target[0]):
                self._appeared(*target, True)
            return
        self._say(RENAMED, *source, "directory", target)
        self._tree.move(moved, *target)
        if found is None:
            self._doubts[target] = None
        else:
            self._scan_unseen(moved)

    def _attributes(self, node: Node, name: bytes, is_directory: bool) -> None:
        kind = "directory" if is_directory else node.type_of(name)
        self._say(ATTRIBUTES, node, name, kind)
        child = node.children.get(name)
        if child is not None and child.wd is None:
            # It may be open to this user now.
            self._doubts[node, name] = None

    def _clear(self, node: Node, name: bytes) -> None:
        """A directory that was told of is not there any more."""
        child = node.children.get(name)
        if child is not None:
            self._say(REMOVED, node, name, "directory")
            self._tree.drop(child)

    # -- what is looked at --------------------------------------------------------------------

    def _scanned(self, node: Node, name: bytes, found: Optional[Found]) -> None:
        if self._recursive:
            self._directory_appeared(node, name, found)
            return
        node.note(name, "directory")
        if self.begun:
            self._say(CREATED, node, name, "directory")

    def _scanned_other(self, node: Node, name: bytes, kind: str) -> None:
        self._clear(node, name)
        node.note(name, kind)
        if self.begun:
            self._say(CREATED, node, name, kind)

    def _doubt_node(self, node: Node) -> None:
        if node.parent is not None:
            self._doubts[node.parent, node.name] = None
        elif node is self._tree.root:
            self._root_doubted = True

    def _check_root(self) -> None:
        """If it is not at its path, it was moved with one of its parents."""
        self._root_doubted = False
        fd = self._tree.open(self._tree.root)
        if fd is None:
            self._root_is_gone()
        else:
            os.close(fd)

    def _check(self, node: Node, name: bytes) -> None:
        """Hold what was told of a name against what is there."""
        if not self._tree.holds(node):
            return
        try:
            there = self._tree.look(node, name)
        except LookupError:
            # It has moved since, of which there will be an event, or is closed to this user.
            self._unresolved[node, name] = None
            self._doubt_node(node)
            return
        # It may be ahead of events that are still to be read.
        self._tree.fresh.add(node)
        kind = None if there is None else file_type(there)
        if kind != "directory":
            self._clear(node, name)
            if kind is not None and kind != node.type_of(name):
                node.note(name, kind)
                self._say(CREATED, node, name, kind)
            return
        if not self._recursive:
            return
        found = self._tree.find(node, name)
        known = node.children.get(name)
        if known is None or found is not None:
            self._directory_appeared(node, name, found)
        if known is not None and self._tree.holds(known):
            self._scan_unseen(known)

    def _scan_unseen(self, node: Node) -> None:
        """Look through it, if it was not where it should have been when that was due."""
        if node.wd is not None and not node.seen:
            self._scan.add(node)

    def _say(
        self, what: str, node: Node, name: bytes, kind: str, target: Optional[Place] = None
    ) -> None:
        new_path = None if target is None else self._tree.path(*target)
        self._tell(what, self._tree.path(node, name), kind, new_path)
