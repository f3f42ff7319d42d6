"""Cells that a real ipykernel runs too, grouped into sessions that share their variables.

A cell that must look different says why: `ipython` where our IPython does, `plain` where the
interpreter without IPython does. Such a cell has to differ, or its reason is no longer true.
"""

from __future__ import annotations

from typing import NamedTuple


class Cell(NamedTuple):
    """A cell, and the reasons why it may differ from a kernel's."""

    name: str
    code: str
    ipython: str = ""
    plain: str = ""


MAGIC = "magics and ! are IPython's"
PRETTY = "text is what repr makes of it, not IPython's pretty printer"
DISPLAY = "IPython.display is IPython's"
HISTORY = "In, Out and numbered results are IPython's"
FORMATTER = "a form that fails is left out in silence"
STRICT = "a form of the wrong type is left out in silence"
INPUT = "without IPython, input() fails with Python's own EOFError"
LOOP = "no event loop runs around a cell, so asyncio.run works"
NO_WARNING = "IPython adds a hint to SystemExit"
PAGER = "help is printed; a kernel asks its client to show it"
FRAME = "pandas wraps for a notebook only where it sees one"
OURS = "the frame that refuses is ours"
TRACE = "IPython's words of its own"

VALUES = [
    Cell("integer", "6 * 7"),
    Cell("float", "0.1 + 0.2"),
    Cell("string", "'it\\'s'"),
    Cell("unicode", "'é😀\\u4e2d'"),
    Cell("bytes", "b'\\xff\\x00a'"),
    Cell("none", "None"),
    Cell("statement", "x = 5"),
    Cell("several lines", "y = x + 1\nx * y"),
    Cell("value in the middle", "1\nz = 2"),
    Cell("semicolon", "x;"),
    Cell("semicolon and comment", "x; # quiet"),
    Cell("comment with semicolon", "x # loud;"),
    Cell("empty", ""),
    Cell("only a comment", "# nothing"),
    Cell("tuple", "(1, 'a', None)"),
    Cell("list", "[1, 2, [3]]"),
    Cell("dict", "{'a': 1, 2: [3]}"),
    Cell("set", "{3, 1, 2}"),
    Cell("long list", "list(range(200))", plain=PRETTY),
    Cell("wide dict", "{f'key{i}': 'v' * 20 for i in range(10)}", plain=PRETTY),
    Cell("unsorted keys", "{'b': 1, 'a': 2}"),
    Cell("not for JSON", "[{1, 2}, object]", plain=PRETTY),
    Cell("recursive list", "r = [1]; r.append(r)\nr"),
    Cell("ellipsis", "..."),
    Cell("complex", "1 + 2j"),
    Cell("range", "range(3)"),
    Cell("class", "class C: pass\nC", plain=PRETTY),
    Cell("instance", "C()", plain=PRETTY),
    Cell("function", "def f(a, b=1): pass\nf", plain=PRETTY),
    Cell("lambda", "lambda: 0", plain=PRETTY),
    Cell("module", "import math\nmath"),
    Cell("dataclass", "import dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int = 1\nP()"),
    Cell("named tuple", "import collections\ncollections.namedtuple('N', 'a b')(1, 2)"),
    Cell("counter", "collections.Counter('aab')"),
    Cell("exception as value", "ValueError('v')"),
    Cell("date", "import datetime\ndatetime.date(2026, 1, 2)"),
    Cell("fraction", "import fractions\nfractions.Fraction(1, 3)"),
    Cell("numpy array", "import numpy as np\nnp.arange(6).reshape(2, 3)"),
    Cell("numpy scalar", "np.float64(1.5)"),
    Cell("underscore", "_"),
    Cell("two underscores", "1\n__"),
    Cell("walrus", "(w := 3)"),
    Cell("annotated name", "v: int = 3\nv"),
    Cell("main", "__name__"),
    Cell("long string", "'x' * 100_000"),
    Cell("output history", "Out[1]", plain=HISTORY),
    Cell("input history", "In[1]", plain=HISTORY),
]

PRINTING = [
    Cell("print", "print('hello')"),
    Cell("print without newline", "print('a', end='')"),
    Cell("print unicode", "print('é😀')"),
    Cell("stderr", "import sys\nprint('err', file=sys.stderr)"),
    Cell("both", "print('o'); print('e', file=sys.stderr); print('p')"),
    Cell("write", "sys.stdout.write('w\\n');"),
    Cell("value of write", "sys.stdout.write('w\\n')"),
    Cell("flush", "print('f', flush=True)"),
    Cell("carriage return", "print('a\\rb')"),
    Cell("large output", "for i in range(20_000): print(i)"),
    Cell("large line", "print('y' * 300_000)"),
    Cell(
        "redirected",
        "import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()) as s:\n    print('in')\ns.getvalue()",
    ),
    Cell(
        "thread",
        "import threading\nt = threading.Thread(target=lambda: print('from a thread'))\nt.start(); t.join()",
    ),
    Cell(
        "many threads",
        "ts = [threading.Thread(target=print, args=('same',)) for _ in range(8)]\nfor t in ts: t.start(); t.join()",
    ),
    Cell(
        "error in a thread",
        "threading.excepthook = lambda a: print('hook', a.exc_type.__name__)\nt = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
    ),
    Cell("child's status", "import subprocess\nsubprocess.run(['false']).returncode"),
    Cell("captured child", "subprocess.run(['echo', 'hi'], capture_output=True, text=True).stdout"),
    Cell("check_output", "subprocess.check_output('exit 0; echo no', shell=True)"),
    Cell("failing child", "subprocess.run(['false'], check=True)"),
    Cell("pprint", "import pprint\npprint.pprint({'a': list(range(40))})"),
    Cell("logging", "import logging\nlogging.getLogger('l').warning('careful')"),
    Cell("warning", "import warnings\nwarnings.warn('careful')"),
    Cell("same warning again", "warnings.warn('careful')"),
    Cell(
        "warning as error",
        "with warnings.catch_warnings():\n    warnings.simplefilter('error')\n    warnings.warn('now')",
    ),
]

ERRORS = [
    Cell("division", "1 / 0"),
    Cell("name", "undefined_name"),
    Cell("in a function", "def g(n):\n    return h(n)\ndef h(n):\n    return 1 / n\ng(0)"),
    Cell("from an earlier cell", "g(0)"),
    Cell("own class", "class Mine(Exception):\n    pass\nraise Mine('m')"),
    Cell("message of lines", "raise ValueError('one\\ntwo')"),
    Cell("no message", "raise KeyError"),
    Cell("key", "{}['k']"),
    Cell("attribute", "(1).nope"),
    Cell("type", "'a' + 1"),
    Cell("index", "[][0]"),
    Cell("import", "import no_such_module"),
    Cell("file", "open('/no/such/file')"),
    Cell("assertion", "assert 1 == 2, 'not equal'"),
    Cell("chained", "try:\n    {}['k']\nexcept KeyError as e:\n    raise ValueError('v') from e"),
    Cell("during handling", "try:\n    1 / 0\nexcept ZeroDivisionError:\n    [][1]"),
    Cell(
        "suppressed context",
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise ValueError('x') from None",
    ),
    Cell("unicode error", "raise ValueError('é😀')"),
    Cell(
        "str that raises",
        "class Bad(Exception):\n    def __str__(self): raise RuntimeError('no')\nraise Bad",
        plain=TRACE,
    ),
    Cell("output before", "print('before')\n1 / 0"),
    Cell("value before", "5\n1 / 0"),
    Cell("syntax", "x = = 1"),
    Cell("unfinished", "def f(:"),
    Cell("indentation", "if True:\nx = 1"),
    Cell("return outside", "return 5"),
    Cell("nothing of it ran", "ran = 1\n)"),
    Cell("so it did not", "'ran' in globals()"),
    Cell("recursion", "def deep(): return deep()\ndeep()"),
    Cell("system exit", "import sys\nsys.exit(3)", plain=NO_WARNING),
    Cell("system exit with text", "sys.exit('bye')"),
    Cell("bare system exit", "raise SystemExit"),
    Cell("still alive", "'alive'"),
    Cell("keyboard interrupt", "raise KeyboardInterrupt"),
    Cell("generator exit", "raise GeneratorExit('g')"),
    Cell(
        "signal to itself",
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT); time.sleep(5)",
    ),
    Cell(
        "own signal handler",
        "got = []\nold = signal.signal(signal.SIGUSR1, lambda *a: got.append(1))\nos.kill(os.getpid(), signal.SIGUSR1); got",
    ),
    Cell(
        "alarm",
        "signal.signal(signal.SIGALRM, lambda *a: print('rang'))\nsignal.setitimer(signal.ITIMER_REAL, 0.05); time.sleep(0.3)",
    ),
    Cell("group", "raise ExceptionGroup('g', [ValueError('a'), KeyError('b')])", plain=TRACE),
    Cell("note", "e = ValueError('v'); e.add_note('a note')\nraise e"),
    Cell("input", "input('name? ')", ipython=OURS, plain=INPUT),
    Cell(
        "traceback module",
        "import traceback\ntry: 1 / 0\nexcept ZeroDivisionError: print(traceback.format_exc().splitlines()[-1])",
    ),
]

ASYNC = [
    Cell("await", "import asyncio\nawait asyncio.sleep(0.01, 'slept')"),
    Cell("await in an expression", "[await asyncio.sleep(0, i) for i in range(3)]"),
    Cell(
        "async for",
        "async def numbers():\n    for i in range(3): yield i\n[n async for n in numbers()]",
    ),
    Cell(
        "async with",
        "import contextlib\n@contextlib.asynccontextmanager\nasync def c():\n    print('in'); yield 1; print('out')\nasync with c() as v: print(v)",
    ),
    Cell("gather", "await asyncio.gather(*(asyncio.sleep(0, i) for i in range(3)))"),
    Cell("error in await", "async def bad(): raise ValueError('in a task')\nawait bad()"),
    Cell("error in a task", "await asyncio.create_task(bad())"),
    Cell("timeout", "await asyncio.wait_for(asyncio.sleep(5), 0.01)"),
    Cell("print in a coroutine", "async def say(): print('said')\nawait say()"),
    Cell("coroutine as value", "import inspect\nk = say(); inspect.iscoroutine(k), k.close()"),
    Cell("queue", "q = asyncio.Queue(); await q.put(1); await q.get()"),
    Cell("run inside", "asyncio.run(say())", ipython=LOOP, plain=LOOP),
]

R = "class R:\n    def __repr__(self): return 'plain'\n    "
RICH = [
    Cell("html", R + "def _repr_html_(self): return '<b>é</b>'\nR()"),
    Cell("markdown", R + "def _repr_markdown_(self): return '*m*'\nR()"),
    Cell("svg", R + "def _repr_svg_(self): return '<svg/>'\nR()"),
    Cell("png", R + "def _repr_png_(self): return b'\\x89PNG'\nR()"),
    Cell("jpeg", R + "def _repr_jpeg_(self): return b'\\xff\\xd8'\nR()"),
    Cell("pdf", R + "def _repr_pdf_(self): return b'%PDF'\nR()"),
    Cell("latex", R + "def _repr_latex_(self): return '$x$'\nR()"),
    Cell("json", R + "def _repr_json_(self): return {'a': [1]}\nR()"),
    Cell("javascript", R + "def _repr_javascript_(self): return 'x()'\nR()"),
    Cell(
        "several",
        R + "def _repr_html_(self): return '<b>'\n    def _repr_latex_(self): return '$y$'\nR()",
    ),
    Cell(
        "mimebundle",
        R
        + "def _repr_mimebundle_(self, include=None, exclude=None): return {'text/html': '<i>', 'x/y': 'z'}\nR()",
    ),
    Cell(
        "mimebundle with metadata",
        R + "def _repr_mimebundle_(self, **k): return {'x/y': 'z'}, {'x/y': {'m': 1}}\nR()",
    ),
    Cell(
        "mimebundle wins",
        R
        + "def _repr_html_(self): return 'no'\n    def _repr_mimebundle_(self, **k): return {'text/html': 'yes'}\nR()",
    ),
    Cell("with metadata", R + "def _repr_html_(self): return '<b>', {'m': 1}\nR()"),
    Cell("none", R + "def _repr_html_(self): return None\nR()"),
    Cell(
        "html that raises", R + "def _repr_html_(self): raise ValueError('h')\nR()", plain=FORMATTER
    ),
    Cell("html of a wrong type", R + "def _repr_html_(self): return 5\nR()", plain=STRICT),
    Cell("not implemented", R + "def _repr_html_(self): raise NotImplementedError\nR()"),
    Cell(
        "mimebundle that raises",
        R + "def _repr_mimebundle_(self, **k): raise ValueError('m')\nR()",
        plain=FORMATTER,
    ),
    Cell("repr that raises", "class Q:\n    def __repr__(self): raise KeyError('q')\nQ()"),
    Cell("displays itself", R + "def _ipython_display_(self): print('myself')\nR()"),
    Cell(
        "any attribute",
        "class Any:\n    def __getattr__(self, name): return lambda *a, **k: 'any'\n    def __repr__(self): return 'any'\nAny()",
    ),
    Cell("class with a form", "class K:\n    def _repr_html_(self): return '<b>'\nK", plain=PRETTY),
    Cell("display", "display('shown')"),
    Cell("display of several", "display(1, [2], None)"),
    Cell("display in a loop", "for i in range(3): display(i)"),
    Cell("display, print and value", "print('p'); display('d'); 'v'"),
    Cell("display of a form", "display(R())"),
    Cell("raw display", "display({'text/plain': 'p', 'text/html': '<b>'}, raw=True)"),
    Cell(
        "display in a thread",
        "import threading\nt = threading.Thread(target=display, args=('t',)); t.start(); t.join()",
    ),
    Cell("large html", R + "def _repr_html_(self): return 'h' * 2_000_000\nR()"),
    Cell(
        "HTML",
        "from IPython.display import HTML, Markdown, Latex, JSON, SVG, Image, Javascript, Math\nHTML('<b>b</b>')",
        plain=DISPLAY,
    ),
    Cell("Markdown", "Markdown('**m**')", plain=DISPLAY),
    Cell("Latex", "Latex('$x$')", plain=DISPLAY),
    Cell("Math", "Math('x^2')", plain=DISPLAY),
    Cell("JSON", "JSON({'a': 1})", plain=DISPLAY),
    Cell("SVG", "SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')", plain=DISPLAY),
    Cell("Javascript", "Javascript('alert(1)')", plain=DISPLAY),
    Cell("display HTML", "display(HTML('<i>'))", plain=DISPLAY),
    Cell("update display", "h = display('one', display_id='d'); h.update('two')", plain=DISPLAY),
]

MAGICS = [
    Cell("shell", "!echo hi", plain=MAGIC),
    Cell("shell with a variable", "w = 'word'\n!echo {w} $w", plain=MAGIC),
    Cell("captured shell", "lines = !printf 'a\\nb\\n'\nlines", plain=MAGIC),
    Cell("shell status", "!true\n_exit_code", plain=MAGIC),
    Cell("env", "%env NEW_ONE=5", plain=MAGIC),
    Cell("env read back", "import os; os.environ['NEW_ONE']", plain=MAGIC),
    Cell("capture", "%%capture kept\nprint('caught')", plain=MAGIC),
    Cell("captured", "kept.stdout", plain=MAGIC),
    Cell("writefile", "%%writefile corpus.txt\nline", plain=MAGIC),
    Cell(
        "run a file",
        "open('corpus.py', 'w').write('print(40 + 2); v = 9');\n%run corpus.py",
        plain=MAGIC,
    ),
    Cell("pwd", "import os\nos.chdir('/tmp')\n%pwd", plain=MAGIC),
    Cell("cd", "%cd /usr", plain=MAGIC),
    Cell("who", "%who_ls int", plain=MAGIC),
    Cell("bash cell", "%%bash\necho one\necho two", plain=MAGIC),
    Cell("no such magic", "%nosuch", plain=MAGIC),
    Cell("no such cell magic", "%%nosuch\nx", plain=MAGIC),
    Cell("question mark", "len?", ipython=PAGER, plain=MAGIC),
    Cell("html magic", "%%html\n<b>x</b>", plain=MAGIC),
    Cell("latex magic", "%%latex\n$x$", plain=MAGIC),
    Cell("precision", "%precision 3\n3.14159", plain=MAGIC),
    Cell("get_ipython", "type(get_ipython()).__mro__[1].__name__", plain=MAGIC),
    Cell("xmode", "%xmode Plain\n1/0", plain=MAGIC),
]

PLT = "import matplotlib.pyplot as plt\nimport numpy as np\n"
FIGURES = [
    Cell("line", PLT + "plt.plot([1, 2, 3]);"),
    Cell("line with value", "plt.plot([1, 2, 3])", plain=PRETTY),
    Cell("scatter", "plt.scatter([1, 2], [3, 4]); plt.title('T'); plt.xlabel('X (s)');"),
    Cell("bar", "plt.bar(['a', 'b'], [1, 2]);"),
    Cell("horizontal bar", "plt.barh(['a', 'b'], [1, 2]);"),
    Cell("pie", "plt.pie([1, 2, 3], labels=list('abc'));"),
    Cell("box", "plt.boxplot([[1, 2, 3], [2, 3, 9]]);"),
    Cell("histogram", "plt.hist([1, 1, 2, 5]);"),
    Cell("image", "plt.imshow(np.eye(4));"),
    Cell("contour", "plt.contour(np.outer(range(5), range(5)));"),
    Cell("error bars", "plt.errorbar([1, 2], [1, 2], yerr=0.1);"),
    Cell("fill", "plt.fill_between([1, 2, 3], [1, 2, 1]);"),
    Cell("stem", "plt.stem([1, 2, 3]);"),
    Cell("violin", "plt.violinplot([[1, 2, 3]]);"),
    Cell("polar", "plt.subplot(projection='polar').plot([0, 1], [1, 2]);"),
    Cell(
        "surface",
        "plt.figure().add_subplot(projection='3d').plot_surface(*np.meshgrid([0, 1], [0, 1]), np.eye(2));",
    ),
    Cell("subplots", "fig, axes = plt.subplots(2, 2); axes[0, 0].plot([1, 2]);"),
    Cell("two figures", "plt.figure(); plt.plot([1]); plt.figure(); plt.plot([2]);"),
    Cell("show", "plt.plot([1, 2]); print('before'); plt.show(); print('after')"),
    Cell("figure as value", "fig, ax = plt.subplots(); ax.plot([1, 2]); fig"),
    Cell("closed", "plt.plot([1]); plt.close()"),
    Cell("an empty figure", "plt.figure();"),
    Cell("interactive off", "plt.ioff(); plt.plot([1]);"),
    Cell("and on again", "plt.ion(); plt.close('all');"),
    Cell("figure and error", "plt.plot([1, 2]); 1 / 0"),
    Cell("none is left", "plt.get_fignums()"),
    Cell(
        "facecolor and size", "plt.figure(figsize=(2, 1), facecolor='red').add_subplot().plot([1]);"
    ),
    Cell(
        "log scale and dates",
        "import datetime\nplt.plot([datetime.date(2026, 1, d) for d in (1, 2, 3)], [1, 10, 100]); plt.yscale('log');",
    ),
    Cell(
        "display a figure",
        "fig = plt.figure(); fig.add_subplot().plot([3]); display(fig); plt.close(fig)",
    ),
    Cell(
        "drawing that fails",
        "plt.title('$\\\\nosuchcommand$');",
        plain="the error of drawing is the cell's own",
    ),
]

FRAMES = [
    Cell(
        "frame",
        "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2], 'b': ['x', None], 'c': [0.5, float('nan')]})\ndf",
    ),
    Cell("series", "df['a']"),
    Cell("head", "df.head(1)"),
    Cell("empty frame", "pd.DataFrame()"),
    Cell("long frame", "pd.DataFrame({'n': range(1000)})"),
    Cell("wide frame", "pd.DataFrame([range(50)])", plain=FRAME),
    Cell("dates", "pd.DataFrame({'t': pd.date_range('2026-01-01', periods=2, tz='UTC')})"),
    Cell("index", "df.index"),
    Cell("multi-index", "df.set_index(['a', 'b'])"),
    Cell("group", "df.groupby('a')['c'].sum()"),
    Cell("describe", "df.describe()"),
    Cell("info", "df.info(memory_usage=False)"),
    Cell("style", "df[['a', 'c']].style.highlight_max()", plain=PRETTY),
    Cell("style with caption", "df.style.set_caption('C').format(precision=1)", plain=PRETTY),
    Cell("timestamp", "pd.Timestamp('2026-01-02')"),
    Cell("missing column", "df['zz']"),
    Cell("plot", "df.plot();"),
    Cell("display of frames", "display(df, df.T)"),
    Cell("unicode frame", "pd.DataFrame({'é': ['😀']})"),
    Cell("picture", "from PIL import Image\nImage.new('RGB', (2, 2), 'red')", plain=PRETTY),
    Cell("grey picture", "Image.new('L', (3, 1))", plain=PRETTY),
    Cell(
        "plotly figure",
        "import plotly.graph_objects as go\nfig = go.Figure(go.Bar(x=['a'], y=[1]))\nsorted(fig.to_dict())",
    ),
]

SESSIONS = {
    "values": VALUES,
    "printing": PRINTING,
    "errors": ERRORS,
    "async": ASYNC,
    "rich": RICH,
    "magics": MAGICS,
    "figures": FIGURES,
    "frames": FRAMES,
}
