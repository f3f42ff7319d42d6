"""What a sandbox must not see or reach."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from tests.local.harness import KIND, Harness


@pytest.fixture
def sandbox(local: Harness) -> str:
    return local.create().id


def status(local: Harness, sandbox: str, user: str | None = None) -> dict[str, str]:
    text = local.sh(sandbox, "cat /proc/self/status", user=user)
    return {name: value.strip() for name, _, value in (s.partition(":") for s in text.splitlines())}


USERS = ["user"] if KIND == "single" else ["user", "root"]


@pytest.mark.parametrize("user", USERS)
def test_processes_have_no_capabilities_and_can_gain_none(local: Harness, sandbox: str, user: str):
    found = status(local, sandbox, user)
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(found[kind], 16) == 0, kind
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2"


def test_no_id_inside_is_the_hosts_root(local: Harness, sandbox: str):
    maps = [
        [int(number) for number in line.split()]
        for name in ("uid_map", "gid_map")
        for line in local.sh(sandbox, f"cat /proc/self/{name}").splitlines()
    ]
    assert maps
    # Seen from inside, the second column is in the zygote's namespace, where 0 is the zygote.
    if KIND != "single":
        assert all(outside > 0 for _, outside, _ in maps)


def test_hosts_processes_are_not_visible(local: Harness, sandbox: str):
    pids = local.sh(sandbox, "cd /proc && echo [0-9]*").split()
    assert "1" in pids
    assert len(pids) < 6
    for pid in pids:
        assert str(os.getpid()) != local.run(sandbox, f"readlink /proc/{pid}/cwd").stdout.strip()


def test_hosts_files_are_not_visible(local: Harness, sandbox: str, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("host only")
    for path in (
        secret,
        Path(__file__),
        Path.home() / ".ssh",
        Path("/etc/shadow"),
        "/var/run",
        "/sys",
    ):
        assert local.run(sandbox, ("test", "-e", str(path))).code == 1, path
    assert local.sh(sandbox, "ls /home").split() == ["user"]
    assert local.sh(sandbox, "grep -c . /etc/passwd").strip() == "3"


def test_only_the_interpreter_is_below_its_private_parents(local: Harness, sandbox: str):
    script = (
        "import os, sys\n"
        "for top in {p.split('/')[1] for p in (sys.prefix, sys.base_prefix)} - {'usr'}:\n"
        "    for path, names, files in os.walk('/' + top):\n"
        "        if os.path.ismount(path):\n"
        "            names.clear()\n"
        "        else:\n"
        "            assert not {*files} - {'pyvenv.cfg'}, (path, files)\n"
    )
    local.sh(sandbox, ("python", "-c", script))


def test_there_is_no_network_but_loopback(local: Harness, sandbox: str):
    assert local.sh(sandbox, "cat /proc/net/dev").count(":") == 1
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        connect = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)"
        assert "ConnectionRefused" in local.run(sandbox, ("python", "-c", connect)).stderr
    beyond = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    assert "unreachable" in local.run(sandbox, ("python", "-c", beyond)).stderr
    for family in ("AF_VSOCK", "AF_PACKET", "AF_ALG"):
        ran = local.run(sandbox, ("python", "-c", f"import socket; socket.socket(socket.{family})"))
        assert "Address family not supported" in ran.stderr


def test_loopback_works_on_any_port(local: Harness, sandbox: str):
    script = (
        "import socket\n"
        "a = socket.create_server(('127.0.0.1', 80))\n"
        "b = socket.create_connection(a.getsockname())\n"
        "a.accept()[0].sendall(b'through')\n"
        "print(b.recv(10).decode())"
    )
    assert local.sh(sandbox, ("python", "-c", script)).strip() == "through"


def test_abstract_sockets_of_the_host_are_out_of_reach(local: Harness, sandbox: str):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(b"\0sandboxkit-test")
        listener.listen()
        connect = "import socket; socket.socket(socket.AF_UNIX).connect(b'\\0sandboxkit-test')"
        assert "ConnectionRefused" in local.run(sandbox, ("python", "-c", connect)).stderr


REFUSED = """
import ctypes, json
libc = ctypes.CDLL(None, use_errno=True)
def attempt(call, *args):
    ctypes.set_errno(0)
    result = getattr(libc, call)(*args)
    return result if result >= 0 else -ctypes.get_errno()
print(json.dumps({
    "unshare_user": attempt("unshare", 0x10000000),
    "unshare_net": attempt("unshare", 0x40000000),
    "mount": attempt("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None),
    "umount": attempt("umount2", b"/proc/sys", 2),
    "ptrace": attempt("ptrace", 0, 0, 0, 0),
    "personality": attempt("personality", 0x0400000),
    "bpf": attempt("syscall", 321 if ctypes.sizeof(ctypes.c_void_p) == 8 else 357, 0, 0, 0),
    "setns": attempt("setns", 0, 0),
    "chroot": attempt("chroot", b"/tmp"),
    "tiocsti": attempt("ioctl", 0, 0x5412, b"x"),
}))
"""


@pytest.mark.parametrize("user", USERS)
def test_ways_out_are_refused(local: Harness, sandbox: str, user: str):
    results = json.loads(local.sh(sandbox, ("python", "-c", REFUSED), user=user))
    assert set(results.values()) == {-1}, results


def test_namespaces_cannot_be_made_even_without_the_filter(local: Harness, sandbox: str):
    assert local.sh(sandbox, "cat /proc/sys/user/max_user_namespaces").strip() == "0"


def test_ordinary_programs_still_work(local: Harness, sandbox: str):
    script = (
        "import threading, subprocess, multiprocessing, os, pty\n"
        "thread = threading.Thread(target=lambda: None); thread.start(); thread.join()\n"
        "assert subprocess.run(['true']).returncode == 0\n"
        "pool = multiprocessing.get_context('fork').Pool(2)\n"
        "print(pool.map(abs, [-1, -2])); pool.terminate()\n"
        "print(os.isatty(pty.openpty()[1]))\n"
        "os.memfd_create('x')\n"
    )
    assert local.sh(sandbox, ("python", "-c", script)).split() == ["[1,", "2]", "True"]


def test_kernel_settings_are_read_only(local: Harness, sandbox: str):
    for user in USERS:
        for path in (
            "/proc/sys/kernel/core_pattern",
            "/proc/sysrq-trigger",
            "/proc/irq/default_smp_affinity",
        ):
            if local.run(sandbox, ("test", "-e", path)).code == 0 and path != "/proc/sysrq-trigger":
                assert local.run(sandbox, f"echo 1 > {path}", user=user).code != 0, path
        for name in ("kcore", "cmdline", "interrupts", "keys", "kallsyms", "modules"):
            assert local.sh(sandbox, f"wc -c < /proc/{name} 2>/dev/null || echo 0").strip() == "0"


def test_agent_cannot_be_inspected_or_killed(local: Harness, sandbox: str):
    for user in USERS:
        for path in ("environ", "fd", "mem", "root", "cwd"):
            assert local.run(sandbox, f"cat /proc/1/{path}/ /proc/1/{path}", user=user).code != 0
        local.run(sandbox, "kill -9 1; kill -15 1", user=user)
    assert local.sh(sandbox, "echo alive").strip() == "alive"


def test_template_is_read_only(local: Harness, sandbox: str):
    for user in USERS:
        ran = local.run(sandbox, "touch /usr/x", user=user)
        assert "Read-only" in ran.stderr
        assert local.run(sandbox, "touch /dev/x /proc/acpi/x", user=user).code != 0


def test_two_sandboxes_do_not_see_each_other(local: Harness, sandbox: str):
    other = local.create().id
    local.write(sandbox, "/tmp/mine", b"x")
    assert local.run(other, "test -e /tmp/mine").code == 1
    assert local.sh(other, "hostname") != local.sh(sandbox, "hostname")
    namespaces = "readlink /proc/self/ns/*"
    mine, others = (set(local.sh(one, namespaces).split()) for one in (sandbox, other))
    shared = {name.partition(":")[0] for name in mine & others}
    assert shared <= {"time", "time_for_children"}


def test_random_numbers_differ_between_sandboxes(local: Harness):
    # What is forked from a warm interpreter must not share its generators' state.
    from sandboxkit.provider import RunCodeRequest

    seen = []
    for _ in range(3):
        sandbox_id = local.create().id
        code = (
            "import random, ssl, tempfile; (random.random(), ssl.RAND_bytes(8), tempfile.mktemp())"
        )

        async def main(sandbox_id: str = sandbox_id, code: str = code) -> list[object]:
            stream = await local.provider.run_code(RunCodeRequest(sandbox_id=sandbox_id, code=code))
            return [event async for event in stream.events()]

        seen.append(str(local.do(main())))
    assert len(set(seen)) == 3


def test_users_are_apart_as_on_any_system(local: Harness, sandbox: str):
    if KIND == "single":  # there is nobody else
        return
    local.sh(
        sandbox,
        "install -m 600 /dev/null /root/private && echo secret > /root/private",
        user="root",
    )
    assert local.run(sandbox, "cat /root/private").code != 0
    assert local.sh(sandbox, "id -u; id -u", user="1234").split() == ["1234", "1234"]


PRLIMIT = """
import os, resource
kind = resource.RLIMIT_NOFILE
soft, hard = resource.prlimit(1, kind)
assert resource.prlimit(os.getpid(), kind) and hard > 0
resource.prlimit(0, kind, (soft - 1, hard))
assert resource.getrlimit(kind)[0] == soft - 1
resource.setrlimit(kind, (soft - 2, hard))
try:
    resource.prlimit(1, kind, (3, hard))
except PermissionError:
    print("refused")
"""


def test_limits_of_the_first_process_cannot_be_set(local: Harness, sandbox: str):
    ran = local.run(sandbox, ("python", "-c", PRLIMIT), user=USERS[-1])
    assert (ran.code, ran.stdout, ran.stderr) == (0, "refused\n", "")
