// What the JavaScript SDK does with a sandbox; prints what it found, as JSON.
import { Sandbox } from '@e2b/code-interpreter'

const found = {}
const decoder = new TextDecoder()
const code = async (doing) => {
  try {
    await doing
    return 0
  } catch (error) {
    return error.exitCode ?? error.name
  }
}

const sandbox = await Sandbox.create({ timeoutMs: 60_000, metadata: { from: 'js' }, envs: { A: '1' } })
try {
  found.output = (await sandbox.commands.run('echo $A; pwd')).stdout
  found.failed = await code(sandbox.commands.run('exit 3'))
  found.late = await code(sandbox.commands.run('sleep 100', { timeoutMs: 500 }))

  await sandbox.files.write('a/b.txt', 'hello')
  found.text = await sandbox.files.read('a/b.txt')
  found.listed = (await sandbox.files.list('a')).map((entry) => entry.path)
  await sandbox.files.write('bytes', new Uint8Array([0, 255]).buffer)
  found.bytes = [...(await sandbox.files.read('bytes', { format: 'bytes' }))]
  found.signed = await (await fetch(await sandbox.downloadUrl('a/b.txt'))).text()
  found.missing = await code(sandbox.files.read('missing'))

  const lines = []
  const execution = await sandbox.runCode('print("p"); 40+2', { onStdout: (m) => lines.push(m.line) })
  found.code = [execution.text, lines.join('')]
  const context = await sandbox.createCodeContext({ cwd: '/tmp' })
  found.context = (await sandbox.runCode('import os; os.getcwd()', { context })).text

  const cat = await sandbox.commands.run('cat', { background: true, stdin: true })
  await sandbox.commands.sendStdin(cat.pid, 'typed\n')
  await sandbox.commands.closeStdin(cat.pid)
  found.input = (await cat.wait()).stdout

  const events = []
  const seen = new Promise((resolve) => {
    sandbox.files
      .watchDir('a', (event) => {
        events.push(`${event.type} ${event.name}`)
        if (event.type === 'write') resolve()
      })
      .then(() => sandbox.files.write('a/c', 'x'))
  })
  await seen
  found.events = events

  let shown = ''
  const terminal = await sandbox.pty.create({
    cols: 80,
    rows: 24,
    onData: (data) => (shown += decoder.decode(data)),
  })
  await sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode('tty; exit 4\n'))
  found.terminal = [await code(terminal.wait()), shown.includes('/dev/pts/')]

  const pages = Sandbox.list({ query: { metadata: { from: 'js' } } })
  found.pages = [(await pages.nextItems()).length, pages.hasNext]
  found.paused = await sandbox.pause()
  found.asleep = await sandbox.isRunning()
  const again = await Sandbox.connect(sandbox.sandboxId)
  found.kept = (await again.runCode('"kept"')).text
} finally {
  found.killed = [await sandbox.kill(), await sandbox.isRunning()]
}
console.log(JSON.stringify(found))
