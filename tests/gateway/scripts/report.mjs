// A day of work in a sandbox, written for E2B alone; prints what came of it, as JSON.
import { CommandExitError, NotFoundError, Sandbox } from '@e2b/code-interpreter'

const DRAW = `
import matplotlib.pyplot as plt
import pandas as pd

frame = pd.read_csv("sales.csv")
plt.bar(frame["month"], frame["sales"], label="2026")
plt.title("Sales")
plt.xlabel("Month")
plt.ylabel("Sales (EUR)")
plt.show()
frame
`
const STREAM = 'for word in one two three; do echo "$GREETING $word"; sleep 0.2; done; echo late >&2'

const found = {}
const sandbox = await Sandbox.create({
  timeoutMs: 300_000,
  metadata: { script: 'report' },
  envs: { GREETING: 'hello' },
})
try {
  const lines = []
  const errors = []
  await sandbox.commands.run(STREAM, {
    onStdout: (text) => void lines.push(text),
    onStderr: (text) => void errors.push(text),
  })
  found.streamed = [lines.join(''), errors.join(''), lines.length > 1]
  try {
    await sandbox.commands.run('exit 3')
  } catch (failed) {
    if (!(failed instanceof CommandExitError)) throw failed
    found.failed = failed.exitCode
  }

  await sandbox.files.write('sales.csv', 'month,sales\nJan,3\nFeb,5\n')
  found.listed = (await sandbox.files.list('.')).map((entry) => entry.name).filter((name) => name === 'sales.csv')

  const told = []
  const drawn = await sandbox.runCode(DRAW, { onResult: (result) => void told.push(result.formats()) })
  if (drawn.error) throw new Error(drawn.error.traceback)
  const picture = drawn.results.find((result) => result.png)
  const chart = picture.chart
  found.chart = [chart.type, chart.title, chart.x_label, chart.y_unit]
  found.bars = chart.elements.map((bar) => [bar.label, bar.value])
  found.png = Buffer.from(picture.png, 'base64').subarray(1, 4).toString()
  const frame = drawn.results.find((result) => result.data)
  found.frame = [frame.data, frame.html.includes('<table')]
  found.told = told.length === drawn.results.length

  const taken = await sandbox.createSnapshot({ name: 'report-done' })
  const copy = await Sandbox.create(taken.snapshotId, { timeoutMs: 300_000 })
  try {
    found.copied = (await copy.files.read('sales.csv')).split('\n').length - 1
    await copy.files.write('sales.csv', 'changed')
  } finally {
    await copy.kill()
  }
  const snapshots = await sandbox.listSnapshots().nextItems()
  found.snapshots = snapshots.some((one) => one.snapshotId === taken.snapshotId)
  found.deleted = await Sandbox.deleteSnapshot(taken.snapshotId)

  const mine = { metadata: { script: 'report' } }
  const listed = await Sandbox.list({ query: mine }).nextItems()
  found.running = listed.map((one) => one.sandboxId === sandbox.sandboxId)
  await sandbox.runCode('kept = 41')
  const server = await sandbox.commands.run('sleep 1000', { background: true, timeoutMs: 0 })
  await sandbox.pause()
  const asleep = await Sandbox.list({ query: { ...mine, state: ['paused'] } }).nextItems()
  found.paused = asleep.map((one) => one.state)
  const again = await Sandbox.connect(sandbox.sandboxId)
  found.resumed = (await again.runCode('kept + 1')).text
  found.alive = (await again.commands.list()).some((one) => one.pid === server.pid)
  found.unchanged = (await again.files.read('sales.csv')).startsWith('month')
} finally {
  found.killed = await sandbox.kill()
}
try {
  await Sandbox.connect(sandbox.sandboxId)
} catch (missing) {
  if (!(missing instanceof NotFoundError)) throw missing
  found.gone = !(await sandbox.isRunning())
}
console.log(JSON.stringify(found))
process.exit(0)
