"""Random operations in a directory. Run inside a sandbox, as text, with any Python; or imported.

Arguments: the directory, another outside of it, a seed, how many operations. Prints as JSON the
tree at the end, and the files that were written to in this burst and are still there.
"""

import json
import os
import random
import shutil
import stat
import sys

NAMES = "abcdefgh"


def kind(path):
    mode = os.lstat(path).st_mode
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else "other"


def tree(top):
    found = {}
    for base, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(base, name)
            found[path] = kind(path)
    return found


def opener(path, flags):
    # A FIFO that nobody reads must not be waited for.
    return os.open(path, flags | os.O_NONBLOCK, 0o644)


class Chaos:
    def __init__(self, root, outside, seed):
        self.root = root
        self.outside = outside
        self.pick = random.Random(seed)
        self.written = set()
        self.moved = 0
        self.operations = (
            [self.create] * 6
            + [self.append] * 5
            + [self.mkdir] * 5
            + [self.makedirs] * 2
            + [self.remove] * 3
            + [self.remove_tree]
            + [self.rename] * 6
            + [self.swap] * 2
            + [self.move_out]
            + [self.move_in] * 2
            + [self.chmod] * 2
            + [self.symlink, self.fifo]
        )

    def run(self, count):
        done = 0
        while done < count:
            try:
                self.pick.choice(self.operations)()
                done += 1
            except OSError:
                continue

    def touched(self):
        found = []
        for path, what in tree(self.root).items():
            about = os.lstat(path)
            if what == "file" and (about.st_dev, about.st_ino) in self.written:
                found.append(path)
        return found

    def directory(self):
        path = self.root
        while self.pick.random() < 0.75:
            inside = [one.path for one in os.scandir(path) if one.is_dir(follow_symlinks=False)]
            if not inside:
                break
            path = self.pick.choice(sorted(inside))
        return path

    def entry(self):
        path = self.directory()
        inside = sorted(os.listdir(path))
        return os.path.join(path, self.pick.choice(inside)) if inside else self.new()

    def new(self):
        return os.path.join(self.directory(), self.pick.choice(NAMES) * self.pick.randint(1, 3))

    def put(self, path, mode, text):
        with open(path, mode, opener=opener) as file:
            file.write(text)
            about = os.fstat(file.fileno())
            self.written.add((about.st_dev, about.st_ino))

    def create(self):
        self.put(self.new(), "w", "x" * self.pick.randint(1, 200))

    def append(self):
        path = self.entry()
        if kind(path) == "file":
            self.put(path, "a", "y" * self.pick.randint(1, 200))

    def mkdir(self):
        os.mkdir(self.new())

    def makedirs(self):
        path = os.path.join(self.new(), self.pick.choice(NAMES), self.pick.choice(NAMES))
        os.makedirs(path)
        self.put(os.path.join(path, self.pick.choice(NAMES)), "w", "deep")
        if self.pick.random() < 0.3:
            os.rename(os.path.dirname(path), self.new())

    def remove(self):
        path = self.entry()
        if kind(path) == "directory":
            os.rmdir(path)
        else:
            os.unlink(path)

    def remove_tree(self):
        path = self.directory()
        if self.pick.random() < 0.5 and path != self.root:
            shutil.rmtree(path)

    def rename(self):
        os.rename(self.entry(), self.new())

    def swap(self):
        """Several names in a row change their meaning."""
        first, second = self.new(), self.new()
        os.rename(first, second)
        os.mkdir(first)
        os.rename(second, os.path.join(first, self.pick.choice(NAMES)))

    def move_out(self):
        self.moved += 1
        os.rename(self.entry(), os.path.join(self.outside, f"{self.moved}-{self.pick.random()}"))

    def move_in(self):
        there = sorted(os.listdir(self.outside))
        if there:
            os.rename(os.path.join(self.outside, self.pick.choice(there)), self.new())

    def chmod(self):
        path = self.entry()
        if kind(path) != "symlink":
            os.chmod(path, self.pick.choice((0o700, 0o755)) if os.path.isdir(path) else 0o600)

    def symlink(self):
        os.symlink(self.pick.choice((self.root, ".", "nowhere")), self.new())

    def fifo(self):
        os.mkfifo(self.new())


if __name__ == "__main__":
    chaos = Chaos(*sys.argv[1:4])
    chaos.run(int(sys.argv[4]))
    print(json.dumps({"tree": tree(chaos.root), "touched": chaos.touched()}))
