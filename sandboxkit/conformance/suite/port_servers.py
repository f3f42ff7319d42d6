"""Programs that listen inside a sandbox; they need the standard library alone."""

from __future__ import annotations

import textwrap

from sandboxkit import Sandbox

ECHO = textwrap.dedent("""
    import socketserver, sys

    class Echo(socketserver.BaseRequestHandler):
        def handle(self):
            while data := self.request.recv(65536):
                self.request.sendall(data)
            self.request.sendall(b"<end>")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        request_queue_size = 512

    Server(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
""")

WEB = textwrap.dedent('''
    import base64, hashlib, http.server, json, struct, sys, time, zlib

    PAGE = b"""<!doctype html><title>loading</title>
    <link rel="stylesheet" href="/style.css"><p id="styled">text</p><img src="/pixel.svg" id="i">
    <script src="/script.js"></script>"""

    SCRIPT = b"""
    const loaded = new Promise(done => addEventListener("load", done));
    async function check() {
      await loaded;
      const found = {location: location.href, width: document.getElementById("i").naturalWidth};
      found.colour = getComputedStyle(document.getElementById("styled")).color;
      found.fetched = await (await fetch("/headers", {method: "POST", body: "x"})).json();
      found.echoed = await new Promise((done, failed) => {
        const socket = new WebSocket(`ws://${location.host}/socket`);
        socket.onopen = () => socket.send("hello");
        socket.onmessage = event => { done(event.data); socket.close(); };
        socket.onerror = () => failed(new Error("no websocket"));
      });
      return found;
    }
    check().then(found => { window.found = JSON.stringify(found); document.title = "done"; },
                 error => { window.found = String(error); document.title = "failed"; });
    """

    ATTACK = b"""<!doctype html><title>loading</title><script>
    const victim = "http://" + location.search.slice(1), tried = {};
    const settle = (name, promise) =>
      promise.then(() => tried[name] = "worked", () => tried[name] = "failed");
    const event = (element, source) => new Promise((done, failed) => {
      element.onload = done; element.onerror = failed;
      if (source) element.src = source;
      if (element.tagName) document.documentElement.append(element);
    });
    const post = () => new Promise(done => {
      const frame = document.createElement("iframe"), form = document.createElement("form");
      frame.name = "f";
      form.action = victim + "/hit?form"; form.method = "post"; form.target = "f";
      document.documentElement.append(frame, form);
      form.submit();
      setTimeout(done, 500);
    });
    const socket = () => new Promise((done, failed) => {
      const made = new WebSocket(victim.replace("http", "ws") + "/socket");
      made.onopen = done; made.onerror = failed;
    });
    const credentials = "include";
    Promise.all([
      settle("fetch", fetch(victim + "/hit?fetch", {credentials})),
      settle("image", event(new Image(), victim + "/pixel.svg")),
      settle("script", event(document.createElement("script"), victim + "/script.js")),
      settle("socket", socket()),
      settle("opaque", fetch(victim + "/hit?no-cors", {mode: "no-cors", credentials})),
      settle("post", fetch(victim + "/hit?post", {mode: "no-cors", credentials, method: "POST"})),
      settle("frame", event(document.createElement("iframe"), victim + "/hit?frame")),
      settle("form", post()),
    ]).then(() => { window.found = JSON.stringify(tried); document.title = "done"; });
    </script><a id="link" href="">link</a>"""

    hits = []

    class Web(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        streaming = False

        def answer(self, body, kind="text/plain", status=200, **headers):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def chunk(self, data):
            self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(data), data))

        def body(self):
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                while size := int(self.rfile.readline(), 16):
                    yield self.rfile.read(size)
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return
            left = int(self.headers.get("Content-Length", 0))
            while left:
                data = self.rfile.read(min(left, 65536))
                left -= len(data)
                yield data

        def do_GET(self):
            self.server.cookies.append(self.headers.get("Cookie", ""))
            name = self.path.strip("/").partition("?")[0].replace(".", "_") or "page"
            getattr(self, "on_" + name, self.on_unknown)()

        do_POST = do_PUT = do_HEAD = do_OPTIONS = do_GET

        def on_unknown(self):
            self.answer(b"no such page", status=404)

        def on_page(self):
            self.answer(PAGE, "text/html")

        def on_attack(self):
            self.answer(ATTACK, "text/html")

        def on_hits(self):
            self.answer(json.dumps(hits).encode(), "application/json")

        def on_seen_cookies(self):
            self.answer(json.dumps(self.server.cookies).encode(), "application/json")

        def on_hit(self):
            hits.append(self.path)
            self.answer(b"hit")

        def on_script_js(self):
            self.answer(SCRIPT, "text/javascript")

        def on_style_css(self):
            self.answer(b"#styled { color: rgb(1, 2, 3) }", "text/css")

        def on_pixel_svg(self):
            body = b'<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>'
            self.answer(body, "image/svg+xml")

        def on_headers(self):
            body = b"".join(self.body()).decode()
            told = {"headers": self.headers.items(), "method": self.command, "body": body,
                    "path": self.path}
            self.answer(json.dumps(told).encode(), "application/json")

        def on_sum(self):
            size = crc = 0
            for data in self.body():
                size, crc = size + len(data), zlib.crc32(data, crc)
            self.answer(b"%d %d" % (size, crc))

        def on_big(self):
            size = int(self.path.partition("?")[2])
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            piece = bytes(range(256)) * 256
            while size:
                self.wfile.write(piece[:min(size, len(piece))])
                size -= min(size, len(piece))

        def on_chunks(self):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Trailer", "X-Sum")
            self.end_headers()
            for text in (b"one", b"two", b"three"):
                self.chunk(text)
            self.wfile.write(b"0\\r\\nX-Sum: 11\\r\\n\\r\\n")

        def on_endless(self):
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"until the end")
            self.close_connection = True

        def on_events(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"data: tick\\n\\n")
                    time.sleep(0.1)
            except OSError:
                open("/tmp/events-ended", "w").close()
            self.close_connection = True

        def on_silent(self):
            open("/tmp/silent", "w").close()
            try:
                self.connection.recv(1)
            except OSError:
                pass
            open("/tmp/silent-ended", "w").close()
            self.close_connection = True

        def on_cookies(self):
            self.send_response(200)
            self.send_header("Set-Cookie", "own=1")
            self.send_header("Set-Cookie", "sandboxkit-1234=stolen")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def on_refuse(self):
            self.answer(b"too large", status=413, Connection="close")
            self.close_connection = True

        def on_broken(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"only this")
            self.close_connection = True

        def on_garbage(self):
            self.wfile.write(b"SSH-2.0-nothing\\r\\n\\r\\n")
            self.close_connection = True

        def on_nothing(self):
            self.answer(b"", status=204)

        def on_socket(self):
            hits.append(self.path)
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", accept)
            self.end_headers()
            while True:
                first, second = self.rfile.read(2)
                size = second & 127
                if size == 126:
                    size, = struct.unpack(">H", self.rfile.read(2))
                mask = self.rfile.read(4)
                data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(size)))
                answer = data if first & 15 == 8 else b"echo: " + data
                self.wfile.write(bytes([first, len(answer)]) + answer)
                if first & 15 == 8:
                    break
            self.close_connection = True

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 512
        daemon_threads = True
        cookies = []

    Server(("127.0.0.1", int(sys.argv[1])), Web).serve_forever()
''')


def serve(sandbox: Sandbox, program: str, port: int) -> None:
    """Start one of the programs; it may not listen yet."""
    name = f"/tmp/server-{port}.py"
    sandbox.files.write(name, program)
    sandbox.start(["python3", name, str(port)])
